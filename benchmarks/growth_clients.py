"""How the cost of a delivery grows with those who listen: 1 to 5,000 clients."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import Any

from benchmarks.growth import Series, record
from benchmarks.realtime import cost_us, in_turns
from benchmarks.realtime_rig import Broadcast, Ours


def run(*, quick: bool) -> list[dict[str, Any]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sizes = [1, 10, 100, 500] + ([] if quick else [5_000])
    series: Series = {"ours": [], "websockets.broadcast": []}
    try:
        for size in sizes:
            for name, make in (("ours", Ours), ("websockets.broadcast", Broadcast)):
                found = asyncio.run(cost(make, size, 1 if quick else 3))
                series[name].append((size, found))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return [record("clients", "CPU for each delivery of an alert", "clients", series)]


async def cost(make: Callable[[], Ours | Broadcast], clients: int, rounds: int) -> float:
    """Microseconds of CPU for each alert and client, both ends of the connection included."""
    server = make()
    messages = max(20, min(300, 60_000 // clients))
    await server.start(clients)
    found = []
    for _ in range(rounds):
        work = in_turns(server.send, messages)
        found.append(await cost_us(server.clients, lambda w=work: w, each=messages))
    await server.stop()
    return min(found)
