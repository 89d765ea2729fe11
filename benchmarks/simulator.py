"""The simulator under load: 10,000 channels in one process on one core.

The server and its callers are processes of their own. The callers speak HTTP/1.1 by hand
over a few connections, so that the server is what is measured.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import multiprocessing
import os
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from evara_core.clock import SystemClock
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.simulator.fleet import FleetPlan, demo_fleet
from evara_core.thingspeak.simulator.loopback import loopback

CHANNELS = 10_000
RATE = 2000
CONNECTIONS = 20
HEAD = "Host: x\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nUser-Agent: bench\r\n"


def run(*, quick: bool) -> list[dict[str, Any]]:
    seconds = 2.0 if quick else 8.0
    return [making(), serving(seconds), history(quick)]


def making() -> dict[str, Any]:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    fleet = make_fleet()
    took_s = time.perf_counter() - started
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert len(fleet.nodes) == CHANNELS
    return {
        "id": "simulator.making",
        "what": f"making {CHANNELS:,} channels with their water",
        "value": took_s,
        "unit": "s",
        "floor": None,
        "ratio": None,
        "goal": "<= 3",
        "met": took_s <= 3,
        "peers": {"KiB per channel": round(grown_kib / CHANNELS, 1)},
    }


def serving(seconds: float) -> dict[str, Any]:
    """Closed loop for the most that it serves, open loop for the delay at the promised rate."""
    fixed = served(fixed_app, seconds / 2)
    ours = served(loopback_app, seconds)
    paced = served(loopback_app, seconds, rate=RATE)
    # By the wall clock the callers and the machine's other users are measured too.
    peers = {
        "by the wall clock": ours["per_s"],
        f"median delay at {RATE:,} requests/s, in ms": round(paced["median_s"] * 1000, 2),
        "its 99th percentile": round(paced["p99_s"] * 1000, 2),
    }
    if importlib.util.find_spec("uvicorn"):
        peers["under uvicorn"] = per_core_s(served(uvicorn_app, seconds / 2))
    return {
        "id": "simulator.requests",
        "what": f"requests served by one core in a second, {CHANNELS:,} channels",
        "value": per_core_s(ours),
        "unit": "requests/s",
        "floor": per_core_s(fixed),
        "ratio": None,
        "goal": f">= {RATE}",
        "met": per_core_s(ours) >= RATE and not ours["failed"] and not paced["failed"],
        "peers": peers,
    }


def per_core_s(found: dict[str, Any]) -> int:
    """Requests in a second of the server's own processor time."""
    return round(found["count"] / found["cpu_s"])


def history(quick: bool) -> dict[str, Any]:
    """A channel with ten years behind it answers as fast as one with a day."""
    rounds = 200 if quick else 1000

    def per_row_s(days: int) -> float:
        clock = ManualClock()
        fleet = demo_fleet(FleetPlan(epoch=clock.now(), nodes=50), clock=clock)
        clock.advance(days * 86_400.0)
        histories = [fleet.simulator.channels[node.channel_id].history for node in fleet.nodes]
        now_s = fleet.simulator.now_s()
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            for number in range(rounds):
                histories[number % len(histories)].between(0, now_s, 10, now_s=now_s)
            best = min(best, time.perf_counter() - started)
        return best / rounds / 10

    young, old = per_row_s(1), per_row_s(3650)
    return {
        "id": "simulator.history",
        "what": "a row of a channel with ten years of rows, against one with a day",
        "value": old * 1e6,
        "unit": "µs/row",
        "floor": young * 1e6,
        "ratio": old / young,
        "goal": "ratio <= 1.5",
        "met": old / young <= 1.5,
        "peers": {},
    }


def make_fleet() -> Any:
    clock = SystemClock()
    plan = FleetPlan(epoch=clock.now() - timedelta(days=1), nodes=CHANNELS)
    return demo_fleet(plan, clock=clock)


@asynccontextmanager
async def loopback_app() -> AsyncIterator[tuple[str, list[tuple[int, str]]]]:
    fleet = make_fleet()
    async with loopback(fleet.simulator) as url:
        yield url, [(node.channel_id, node.read_key) for node in fleet.nodes]


@asynccontextmanager
async def fixed_app() -> AsyncIterator[tuple[str, list[tuple[int, str]]]]:
    """The floor: the same server, and an application that always says the same."""
    body = b'{"created_at":"2026-01-01T00:00:00Z","entry_id":1,"field1":"123.4","field2":"25.1"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with loopback(app) as url:
        yield url, [(1, "X" * 16)]


@asynccontextmanager
async def uvicorn_app() -> AsyncIterator[tuple[str, list[tuple[int, str]]]]:
    uvicorn = importlib.import_module("uvicorn")
    fleet = make_fleet()
    config = uvicorn.Config(fleet.simulator, port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by this flag only
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield (
        f"http://127.0.0.1:{port}",
        [(node.channel_id, node.read_key) for node in fleet.nodes],
    )
    server.should_exit = True
    await serving


def serve(pipe: Connection, app: Callable[[], Any]) -> None:
    """Serve until told to stop; tell the CPU seconds that it took."""

    async def main() -> None:
        async with app() as (url, channels):
            pipe.send((url, channels))
            before_s = time.process_time()
            while not pipe.poll():  # noqa: ASYNC110 - the other end is another process
                await asyncio.sleep(0.05)
            pipe.recv()
            pipe.send(time.process_time() - before_s)

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asyncio.run(main())


def served(app: Callable[[], Any], seconds: float, *, rate: float | None = None) -> dict[str, Any]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, app))
    process.start()
    try:
        url, channels = ours.recv()
        asyncio.run(ask(url, channels, 0.5, None))
        found = asyncio.run(ask(url, channels, seconds, rate))
        ours.send("stop")
        found["cpu_s"] = ours.recv()
    finally:
        process.terminate()
        process.join()
    return found


async def ask(
    url: str, channels: list[tuple[int, str]], seconds: float, rate: float | None
) -> dict[str, Any]:
    """Nine polls of the last entry, then one of the last hundred, over all channels in turn."""
    port = int(url.rpartition(":")[2])
    delays: list[float] = []
    failed = 0
    started = time.perf_counter()
    turn = 0

    async def caller() -> None:
        nonlocal turn, failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            number, turn = turn, turn + 1
            due = started + number / rate if rate else time.perf_counter()
            if due - started > seconds:
                break
            if rate and (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            channel_id, key = channels[number * 7 % len(channels)]
            what = "feeds.json?results=100" if number % 10 == 9 else "feeds/last.json"
            request = f"GET /channels/{channel_id}/{what} HTTP/1.1\r\n{HEAD}"
            writer.write(f"{request}THINGSPEAKAPIKEY: {key}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r")[0]))
            # From when it was due: a server that is late is late for everybody.
            delays.append(time.perf_counter() - due)
            failed += not head.startswith(b"http/1.1 200")
        writer.close()

    await asyncio.gather(*[caller() for _ in range(CONNECTIONS)])
    took_s = time.perf_counter() - started
    delays.sort()
    return {
        "count": len(delays),
        "per_s": round(len(delays) / took_s),
        "median_s": delays[len(delays) // 2],
        "p99_s": delays[int(len(delays) * 0.99)],
        "failed": failed,
    }
