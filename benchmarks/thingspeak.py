"""The client against the bare library beneath it, side by side in one run.

Both ask the same raw server on the loopback interface, which this starts as a process of
its own. Rounds take turns, and the order changes from round to round; a ratio is the median
of the ratios of the rounds, because on a shared machine two rounds that follow each other
have more in common than two bests.

The bare library sends the same request with the same key and takes the body as bytes; the
client turns it into entries, minds its deadline, its breakers and its slots.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import httpx
import orjson
from pyreqwest.client import ClientBuilder

from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.models import Position
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports import AsyncTransport
from evara_core.thingspeak.transports.aiohttp import AiohttpTransport
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport
from evara_core.thingspeak.transports.pyreqwest import AsyncPyreqwestTransport

try:
    import uvloop
except ModuleNotFoundError:  # on Windows
    uvloop = None

KEY = "AAAAAAAAAAAAAAAA"
HEADERS = {"THINGSPEAKAPIKEY": KEY}
LATENCY_S = 0.2
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
POSITION = Position(entry_id=100, created_at=BEGIN)
LAST = "/channels/9/feeds/last.json"
POLL = "/channels/9/feeds.json?results=100&start=2026-01-01%2000:00:00"
HISTORY = "/history/channels/9/feeds.json?results=8000"

Step = Callable[[], Awaitable[object]]


def run(*, quick: bool) -> list[dict[str, Any]]:
    server = subprocess.Popen(
        [sys.executable, __file__], stdout=subprocess.PIPE, env=os.environ.copy()
    )
    try:
        assert server.stdout is not None
        origin = f"http://127.0.0.1:{int(server.stdout.readline())}"
        runner = uvloop.run if uvloop else asyncio.run
        return runner(measured(origin, quick))
    finally:
        server.terminate()
        server.wait()


async def measured(origin: str, quick: bool) -> list[dict[str, Any]]:
    records = []
    for case in CASES:
        async with case.bare(origin, case.connections) as bare:
            records += await against_bare(case, origin, bare, quick)
    records += await one_cycle(origin, quick)
    records.append(await history(origin, quick))
    return records


@dataclass(frozen=True)
class Case:
    """One library."""

    name: str
    connections: int
    goal: float
    calls: int
    transport: Callable[..., AsyncTransport]
    bare: Callable[[str, int], Any]


@asynccontextmanager
async def bare_httpx(origin: str, connections: int) -> AsyncIterator[Callable[[str], Step]]:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits, base_url=origin) as client:

        def get(target: str) -> Step:
            async def step() -> bytes:
                response = await client.get(target, headers=HEADERS)
                assert response.status_code == 200
                return response.content

            return step

        yield get


@asynccontextmanager
async def bare_aiohttp(origin: str, connections: int) -> AsyncIterator[Callable[[str], Step]]:
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:

        def get(target: str) -> Step:
            async def step() -> bytes:
                async with session.get(origin + target, headers=HEADERS) as response:
                    assert response.status == 200
                    return await response.read()

            return step

        yield get


@asynccontextmanager
async def bare_pyreqwest(origin: str, connections: int) -> AsyncIterator[Callable[[str], Step]]:
    async with ClientBuilder().max_connections(connections).build() as client:

        def get(target: str) -> Step:
            async def step() -> bytes:
                request = client.get(origin + target).header("THINGSPEAKAPIKEY", KEY)
                response = await request.build().send()
                assert response.status == 200
                return bytes(await response.bytes())

            return step

        yield get


CASES = (
    Case("httpx", 10, 0.8, 900, AsyncHttpxTransport, bare_httpx),
    Case("aiohttp", 100, 0.6, 3000, AiohttpTransport, bare_aiohttp),
    Case("pyreqwest", 100, 0.6, 3000, AsyncPyreqwestTransport, bare_pyreqwest),
)


async def against_bare(
    case: Case, origin: str, bare: Callable[[str], Step], quick: bool
) -> list[dict[str, Any]]:
    transport = case.transport(origin=origin, connections=case.connections)
    async with AsyncClient(transport=transport) as client:
        source = ChannelSource(client)

        async def last() -> None:
            assert await client.last(9, read_key=KEY) is not None

        async def poll() -> None:
            assert len(await source.entries_since(9, POSITION, read_key=KEY)) == 4

        records = []
        for job, what, ours, target in (
            ("requests", "the newest entry (`last`), requests", last, LAST),
            ("polls", "four new entries (`entries_since`), polls", poll, POLL),
        ):
            rates, cpu_us = await in_turns(
                {"ours": ours, "bare": bare(target)},
                calls=case.calls // (3 if quick else 1),
                tasks=case.connections,
                rounds=9 if quick else 21,
            )
            ratio = statistics.median(
                mine / theirs for mine, theirs in zip(rates["ours"], rates["bare"], strict=True)
            )
            records.append({
                "id": f"thingspeak.{job}-{case.name}",
                "what": f"{what} over {case.name}, {case.connections} at once",
                "value": statistics.median(rates["ours"]),
                "unit": "1/s",
                "floor": statistics.median(rates["bare"]),
                "ratio": ratio,
                "goal": f">= {case.goal} of bare {case.name}",
                "met": ratio >= case.goal,
                "peers": {
                    f"bare {case.name}, 1/s": statistics.median(rates["bare"]),
                    f"bare {case.name}, processor us": statistics.median(cpu_us["bare"]),
                    "ours, processor us": statistics.median(cpu_us["ours"]),
                },
            })  # fmt: skip
        return records


async def in_turns(
    steps: dict[str, Step], *, calls: int, tasks: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return calls per second and processor microseconds per call, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in steps}
    cpu_us: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        await repeat(step, tasks * 2, tasks)
    for number in range(rounds):
        for name in list(steps)[:: 1 if number % 2 else -1]:
            wall_s, cpu_s = await repeat(steps[name], calls, tasks)
            rates[name].append(calls / wall_s)
            cpu_us[name].append(cpu_s / calls * 1e6)
    return rates, cpu_us


async def repeat(step: Step, calls: int, tasks: int) -> tuple[float, float]:
    supply = iter(range(calls))

    async def work() -> None:
        for _ in supply:
            await step()

    started, used = time.perf_counter(), time.process_time()
    await gathered([work() for _ in range(tasks)])
    return time.perf_counter() - started, time.process_time() - used


async def gathered(jobs: list[Coroutine[Any, Any, Any]]) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(job)


async def one_cycle(origin: str, quick: bool) -> list[dict[str, Any]]:
    """A thousand channels, each with its own key, polled once from one client."""
    walls, cpus = [], []
    transport = AiohttpTransport(origin=f"{origin}/slow", connections=100)
    async with AsyncClient(transport=transport) as client:
        source = ChannelSource(client)

        async def poll(channel_id: int) -> None:
            key = f"{channel_id:016}"
            assert len(await source.entries_since(channel_id, POSITION, read_key=key)) == 4

        for _ in range(3 if quick else 7):
            started, used = time.perf_counter(), time.process_time()
            await gathered([poll(channel_id) for channel_id in range(1, 1001)])
            walls.append(time.perf_counter() - started)
            cpus.append(time.process_time() - used)
    wall_s, cpu_s = statistics.median(walls), statistics.median(cpus)
    return [
        {
            "id": "thingspeak.cycle",
            "what": "1,000 channels polled once at 200 ms latency, aiohttp, 100 at once",
            "value": wall_s,
            "unit": "s",
            "floor": LATENCY_S * 10,
            "ratio": None,
            "goal": "< 3",
            "met": wall_s < 3,
            "peers": {},
        },
        {
            "id": "thingspeak.cycle-cpu",
            "what": "processor time for that",
            "value": cpu_s,
            "unit": "s",
            "floor": None,
            "ratio": None,
            "goal": "< 0.3",
            "met": cpu_s < 0.3,
            "peers": {},
        },
    ]


async def history(origin: str, quick: bool) -> dict[str, Any]:
    """A long history, 8,000 rows a page; the floor takes the bytes and parses the JSON."""
    transport = AiohttpTransport(origin=f"{origin}/history")
    end = BEGIN + timedelta(days=5)
    async with (
        AsyncClient(transport=transport) as client,
        bare_aiohttp(origin, 1) as bare,
    ):
        get = bare(HISTORY)

        async def ours() -> None:
            count = 0
            async for _ in client.entries(9, start=BEGIN, end=end, read_key=KEY):
                count += 1
            assert count == 7999

        async def floor() -> None:
            body = await get()
            assert isinstance(body, bytes)
            orjson.loads(body)

        rates, _ = await in_turns(
            {"ours": ours, "floor": floor}, calls=3, tasks=1, rounds=3 if quick else 9
        )
    per_s = {name: statistics.median(values) * 7999 for name, values in rates.items()}
    return {
        "id": "thingspeak.history",
        "what": "entries of a long history, 8,000 a page, over aiohttp",
        "value": per_s["ours"],
        "unit": "1/s",
        "floor": per_s["floor"],
        "ratio": per_s["ours"] / per_s["floor"],
        "goal": ">= 50000 1/s",
        "met": per_s["ours"] >= 50_000,
        "peers": {"aiohttp and orjson, no entries made": per_s["floor"]},
    }


def answer(body: bytes) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def row(number: int) -> dict[str, object]:
    at = (BEGIN + timedelta(seconds=15 * number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"created_at": at, "entry_id": 100 + number, "field1": f"{number / 4}", "field2": "4.1"}


def feed(rows: int) -> bytes:
    channel = {
        "id": 9,
        "name": "tank",
        "latitude": "0.0",
        "longitude": "0.0",
        "field1": "level",
        "field2": "battery",
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-01T00:00:00Z",
        "last_entry_id": 99 + rows,
    }
    return json.dumps({"channel": channel, "feeds": [row(n) for n in range(rows)]}).encode()


class RawServer(asyncio.Protocol):
    """Answers a GET before it has understood it. One byte string for each kind of path."""

    answers = (
        (b"GET /history", answer(feed(7999)), 0.0),
        (b"GET /slow", answer(feed(5)), LATENCY_S),
        (b"GET /channels/9/feeds/last", answer(json.dumps(row(4)).encode()), 0.0),
        (b"GET ", answer(feed(5)), 0.0),
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports have no such base.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"\r\n\r\n"):
            return
        for start, body, latency_s in self.answers:
            if data.startswith(start):
                if latency_s:
                    loop = asyncio.get_running_loop()
                    loop.call_later(latency_s, self.transport.write, body)
                else:
                    self.transport.write(body)
                return


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(RawServer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    (uvloop.run if uvloop else asyncio.run)(serve())
