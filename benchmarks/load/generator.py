"""Users that ask, in one thread, with next to no work of their own.

Users keep a connection each and send prepared bytes. A user is either paced, so that all of them
together ask so many times a second, or asks again as soon as it is answered. The time of a paced
request counts from the moment when it was due: a server that falls behind does not make fewer
requests of it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MIX = (("dashboard", 3), ("nodes", 2), ("alerts", 1))
PATHS = {
    "dashboard": "/api/v1/dashboard/stats",
    "nodes": "/api/v1/nodes?limit=20",
    "alerts": "/api/v1/alerts?limit=10",
}
SEED = 11


@dataclass(slots=True)
class Found:
    """What came of a run."""

    ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: int = 0
    bytes: int = 0
    wall_s: float = 0.0

    @property
    def requests(self) -> int:
        return sum(map(len, self.ms.values()))

    @property
    def per_s(self) -> float:
        return self.requests / self.wall_s if self.wall_s else 0.0

    def percentile(self, task: str, percent: float) -> float:
        return percentile(self.ms.get(task, []), percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank; nan of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def request_bytes(path: str, token: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Accept: application/json\r\n\r\n"
    ).encode()


class User(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: Run, token: str, chance: random.Random) -> None:
        self._run = run
        self._requests = {name: request_bytes(path, token) for name, path in PATHS.items()}
        self._chance = chance
        self._buffer = b""
        self._missing = 0
        self._task: str | None = None
        self._due = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def begin(self, due: float) -> None:
        self._due = due
        loop = self._run.loop
        wait = due - loop.time()
        if wait > 0:
            loop.call_later(wait, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if self._run.is_over or self._transport.is_closing():
            return
        if not self._run.interval_s:
            self._due = self._run.loop.time()
        self._task = self._chance.choices(self._run.names, self._run.weights)[0]
        self._transport.write(self._requests[self._task])

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
            if self._missing <= 0:
                self._done()
            return
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : (head + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
        self._run.found.bytes += length
        self._missing = length - (len(self._buffer) - end - 4)
        if head[9:12] != b"200":
            self._run.failed(head[:100])
        self._buffer = b""
        if self._missing <= 0:
            self._done()

    def _done(self) -> None:
        self._missing = 0
        run, now = self._run, self._run.loop.time()
        assert self._task is not None
        if run.is_counting:
            run.found.ms[self._task].append((now - self._due) * 1e3)
        self._task = None
        if run.interval_s:
            # Drawn anew each time, so that users do not fall into step.
            self.begin(self._due + run.interval_s * (0.5 + self._chance.random()))
        else:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None and not self._run.is_over:
            self._run.failed(b"connection lost")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Run:
    def __init__(self, users: int, per_s: float | None, mix: Sequence[tuple[str, int]]) -> None:
        self.loop = asyncio.get_running_loop()
        self.names = [name for name, _ in mix]
        self.weights = [weight for _, weight in mix]
        self.interval_s = users / per_s if per_s else 0.0
        self.found = Found()
        self.is_counting = False
        self.is_over = False
        self.last_failure = b""

    def failed(self, what: bytes) -> None:
        self.last_failure = what
        if self.is_counting:
            self.found.errors += 1


async def asked(
    port: int,
    tokens: Sequence[str],
    *,
    users: int = 100,
    per_s: float | None = None,
    seconds: float = 5.0,
    warm_up_s: float = 1.0,
    mix: Sequence[tuple[str, int]] = MIX,
) -> Found:
    """Let *users* ask: *per_s* times a second together, or as fast as they are answered."""
    run = Run(users, per_s, mix)
    chance = random.Random(SEED)
    found: list[User] = []
    for number in range(users):
        token = tokens[number % len(tokens)]
        _, user = await run.loop.create_connection(
            lambda token=token: User(run, token, random.Random(chance.random())),
            "127.0.0.1",
            port,
        )
        found.append(user)
    start = run.loop.time() + 0.05
    for user in found:
        user.begin(start + chance.random() * run.interval_s)
    run.is_counting = warm_up_s == 0
    await asyncio.sleep(warm_up_s)
    run.is_counting = True
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    run.found.wall_s = time.perf_counter() - began
    run.is_counting, run.is_over = False, True
    for user in found:
        user.close()
    await asyncio.sleep(0)
    return run.found


def ask(port: int, tokens: Sequence[str], **options: Any) -> Found:
    """The same, from code that blocks, on the fastest loop that is installed."""
    try:
        import uvloop  # noqa: PLC0415 - where it is installed
    except ImportError:
        return asyncio.run(asked(port, tokens, **options))
    return uvloop.run(asked(port, tokens, **options))
