"""A polling cycle, ours beside the original design's: the same simulated channels, in turns."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.baseline.polling import cycle
from benchmarks.monitor import CONCURRENCY, fleet_of, measured, record, serve
from evara_core.clock import SystemClock
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import add_distributor, add_nodes
from evara_core.storage.migrate import migrate
from evara_core.storage.units import AsyncUnit

LATENCY_S = 0.2


def polling(*, quick: bool) -> dict[str, Any]:
    nodes, rounds = (200, 1) if quick else (1_000, 1)
    ours, theirs = [], []
    floor_s = nodes * LATENCY_S / CONCURRENCY
    for _ in range(rounds):
        theirs.append(original(nodes))
        ours.append(
            measured(nodes, rows=1, latency_s=LATENCY_S, interval_s=max(0.5, floor_s))["wall_s"]
        )
    ratio = median(theirs) / median(ours)
    return {
        "id": "load.polling",
        "what": f"polling cycle of {nodes:,} nodes, upstream latency 200 ms",
        "value": median(ours),
        "unit": "s",
        "floor": floor_s,
        "ratio": None,
        "gain": ratio,
        "gain_of": f"polling cycle of {nodes:,} nodes, s",
        "gain_ours": median(ours),
        "gain_theirs": median(theirs),
        "goal": "< 60, and faster than the original design",
        "met": median(ours) < 60 and ratio > 1,
        "peers": {"original design, ten at once": median(theirs)},
    }


def original(nodes: int) -> float:
    epoch = SystemClock().now()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, nodes, 1, epoch, LATENCY_S))
    process.start()
    theirs.close()
    try:
        return asyncio.run(_original(ours.recv(), fleet_of(nodes, 1, epoch)))
    finally:
        process.terminate()
        process.join()


async def _original(url: str, fleet: Any) -> float:
    now = SystemClock().now()
    with tempfile.TemporaryDirectory() as folder:
        engine = engine_for(f"sqlite:///{Path(folder) / 'bench.db'}")
        await migrate(engine)
        async with AsyncUnit(engine) as unit:
            await unit.run(add_distributor("d1", "Bench", created_at=now))
            records = [record(found, now) for found in fleet.nodes]
            await unit.run(add_nodes(records, dialect=engine.dialect.name))
        found = await cycle(engine, url)
        await engine.dispose()
    assert found["stored"] > 0.9 * len(fleet.nodes), found
    return found["wall_s"]
