"""Two processes that serve, one that works, a real Redis, and clients: all of them suffer."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx

from evara_core.errors import UpstreamError
from evara_core.realtime.client import EventsLink, StreamClient
from evara_core.realtime.client_socket import SocketLink
from evara_core.realtime.following import Patience
from evara_core.realtime.ports import Message
from evara_core.storage.engine import engine_for
from evara_core.storage.outbox import put_messages
from evara_core.storage.units import AsyncUnit
from evara_core.testing.servers import start_redis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from evara_core.realtime.client import StreamLink
    from evara_core.realtime.following import Frame
    from evara_core.testing.processes import LocalServer

SCRIPT = Path(__file__).with_name("stream_process.py")
PATIENCE = Patience(first_pause_s=0.01, longest_pause_s=0.1)
NODES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is told, and how often clients are cut."""

    rounds: int = 30
    alerts: int = 60
    readings: int = 110
    """In each round."""

    cuts: float = 0.002
    """The chance that a connection is cut at an event."""

    pause_s: float = 0.1
    """At most, between two rounds."""

    keeps_data: bool = True
    """Whether Redis has what it held when it is back."""

    patience_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it, over all clients."""

    lost: int
    told_twice: int
    stale: int
    """Newest values that are not the newest."""

    streamed: int
    """Alerts that came by the stream, not by a snapshot."""

    snapshots: int
    cuts: int


class Process:
    """One of the deployment. It is ended by its id, and so is its successor."""

    def __init__(self, role: str, database: str, redis: str) -> None:
        self.arguments = [role, database, redis]
        self.port = 0
        self.start()

    def start(self) -> None:
        ports = [str(self.port)] if self.arguments[0] == "api" else []
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *self.arguments, *ports],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        word, _, port = self.process.stdout.readline().partition(" ")
        assert word == "ready"
        self.port = int(port)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Cut:
    """A link that breaks now and then, wherever it is."""

    link: StreamLink
    chance: float
    random: random.Random
    count: int = 0

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncGenerator[AsyncGenerator[Frame, None], None]:
        async with self.link.open(**options) as frames, aclosing(self._cut(frames)) as found:
            yield found

    async def _cut(self, frames: AsyncGenerator[Frame, None]) -> AsyncGenerator[Frame, None]:
        async for frame in frames:
            if self.random.random() < self.chance:
                self.count += 1
                raise UpstreamError("cut")
            yield frame


@dataclass
class Ear:
    """A client, and all that it knows of: by the stream, and by snapshots."""

    origin: str
    wire: str
    http: httpx.AsyncClient
    plan: Plan
    streamed: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    latest: dict[str, int] = field(default_factory=dict)
    snapshots: int = 0
    cuts: int = 0

    async def snapshot(self) -> str:
        try:
            answer = (await self.http.get(f"{self.origin}/snapshot")).raise_for_status().json()
        except httpx.HTTPError as error:
            raise UpstreamError("no snapshot") from error
        self.snapshots += 1
        self.known |= set(answer["alerts"])
        for key, number in answer["newest"].items():
            self.latest[key] = max(number, self.latest.get(key, number))
        return answer["position"]

    async def listen(self) -> None:
        async def token() -> str:
            return "u"

        link = (
            EventsLink(self.http, f"{self.origin}/stream", token=token)
            if self.wire == "events"
            else SocketLink(f"{self.origin.replace('http', 'ws')}/socket", token=token)
        )
        cut = Cut(link, self.plan.cuts, random.Random(f"{self.origin[-1]}{self.wire}"))
        client = StreamClient(cut, snapshot=self.snapshot, patience=PATIENCE)
        async with aclosing(client.events()) as events:
            async for event in events:
                self.cuts = cut.count
                if event.kind == "alert":
                    self.streamed.append(event.message_id)
                    self.known.add(event.message_id)
                else:
                    self.latest[event.key] = event.data["n"]


@contextmanager
def deployment(database: str, redis: LocalServer) -> Iterator[tuple[list[Process], Process]]:
    with ExitStack() as stack:
        apis = []
        for role in ("worker", "api", "api"):
            process = Process(role, database, redis.url)
            stack.callback(process.kill)
            apis.append(process)
        yield apis[1:], apis[0]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
        await anyio.sleep(0.05)


def messages(number: int, plan: Plan) -> list[Message]:
    alerts = [
        Message(
            message_id=f"a{number}-{n}", kind="alert", key="x", topics=("platform",), body=b"{}"
        )
        for n in range(plan.alerts)
    ]
    readings = [
        Message(
            message_id=f"r{number}-{n}",
            kind="reading",
            key=f"n{n % NODES}",
            topics=("platform",),
            body=b'{"n":%d}' % (number * plan.readings + n),
        )
        for n in range(plan.readings)
    ]
    return [*alerts, *readings]


async def suffer(database: str, plan: Plan) -> Outcome:
    """Tell *plan*'s messages while everything is killed in turn; return how clients end."""
    redis = start_redis(keeps_data=plan.keeps_data)
    engine = engine_for(database)
    chance = random.Random(7)
    wanted = {f"a{number}-{n}" for number in range(plan.rounds) for n in range(plan.alerts)}
    first = (plan.rounds - 1) * plan.readings
    newest = {f"n{n % NODES}": first + n for n in range(plan.readings)}
    troubles = dict(zip(("api 0", "redis", "worker", "api 1"), (0.2, 0.4, 0.55, 0.7), strict=True))
    at = {int(share * plan.rounds): name for name, share in troubles.items()}
    ears: list[Ear] = []
    try:
        with deployment(database, redis) as (apis, worker):
            async with httpx.AsyncClient(timeout=5) as http, anyio.create_task_group() as tasks:
                ears = [
                    Ear(f"http://127.0.0.1:{api.port}", wire, http, plan)
                    for api in apis
                    for wire in ("events", "socket")
                ]
                for ear in ears:
                    tasks.start_soon(ear.listen)
                victims = {"api 0": apis[0], "api 1": apis[1], "worker": worker}
                for number in range(plan.rounds):
                    async with AsyncUnit(engine) as unit:
                        await unit.run(put_messages(messages(number, plan), dialect="sqlite"))
                    await anyio.sleep(chance.random() * plan.pause_s)
                    trouble = at.get(number)
                    if trouble == "redis":
                        await anyio.to_thread.run_sync(redis.restart)
                    elif trouble is not None:
                        await anyio.to_thread.run_sync(victims[trouble].kill)
                        await anyio.to_thread.run_sync(victims[trouble].start)
                with anyio.move_on_after(plan.patience_s):
                    await until(
                        lambda: all(
                            len(ear.known) >= len(wanted) and ear.latest == newest for ear in ears
                        )
                    )
                tasks.cancel_scope.cancel()
    finally:
        redis.remove()
        await engine.dispose()
    return Outcome(
        lost=sum(len(wanted ^ ear.known) for ear in ears),
        told_twice=sum(len(ear.streamed) - len(set(ear.streamed)) for ear in ears),
        stale=sum(ear.latest.get(key) != value for ear in ears for key, value in newest.items()),
        streamed=sum(len(ear.streamed) for ear in ears),
        snapshots=sum(ear.snapshots for ear in ears),
        cuts=sum(ear.cuts for ear in ears),
    )
