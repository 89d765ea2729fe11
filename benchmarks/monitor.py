"""From a channel to a stored, judged and published reading: the monitor over real HTTP.

The simulated ThingSpeak is a process of its own. The monitor, its database (a SQLite file in
WAL mode), its rules and its bus are this process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anyio

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.defaults import default_rules
from evara_core.alerts.engine import AlertEngine
from evara_core.clock import SystemClock
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import NodeRecord, add_distributor, add_nodes
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.migrate import migrate
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Node
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.simulator.faults import Delay, Latency
from evara_core.thingspeak.simulator.fleet import Fleet, FleetPlan, demo_fleet
from evara_core.thingspeak.simulator.loopback import loopback
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.aiohttp import AiohttpTransport

INTERVAL_S = 60
CONCURRENCY = 100
LATENCY_S = 0.2
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.05
"""How often the numbers of the monitor are looked at while it works."""


def run(*, quick: bool) -> list[dict[str, Any]]:
    nodes = 300 if quick else 1000
    found = [throughput(nodes), cycle(1000, within_s=5.0)]
    if not quick:
        found.append(cycle(10_000, within_s=60.0))
    return found


def throughput(nodes: int) -> dict[str, Any]:
    rows = 20
    found = measured(nodes, rows=rows, latency_s=0.0, interval_s=0.5)
    rows_per_s = found["stored"] / found["wall_s"]
    return {
        "id": "monitor.throughput",
        "what": f"readings polled, stored, judged and published, {nodes} nodes x {rows} rows",
        "value": rows_per_s,
        "unit": "readings/s",
        "floor": None,
        "ratio": None,
        "goal": ">= 1000",
        "met": rows_per_s >= 1000,
        "peers": {
            "CPU ms per node": found["cpu_s"] / nodes * 1e3,
            "nodes/s": nodes / found["wall_s"],
            "nodes/s only polled": found["poll_only"],
            **told(found),
        },
    }


def cycle(nodes: int, *, within_s: float) -> dict[str, Any]:
    """One turn of each node, as fast as `CONCURRENCY` looks at once allow."""
    floor_s = nodes * LATENCY_S / CONCURRENCY
    found = measured(nodes, rows=1, latency_s=LATENCY_S, interval_s=floor_s)
    return {
        "id": f"monitor.cycle_{nodes}",
        "what": f"{nodes:,} nodes polled, stored and decided once, upstream latency 200 ms",
        "value": found["wall_s"],
        "unit": "s",
        "floor": floor_s,
        "ratio": None,
        "goal": f"< {within_s:g}",
        "met": found["wall_s"] < within_s,
        "peers": {
            "CPU s": found["cpu_s"],
            "CPU ms per node": found["cpu_s"] / nodes * 1e3,
            **told(found),
        },
    }


def told(found: dict[str, float]) -> dict[str, float]:
    return {name: found[name] for name in ("stored", "transitions", "published")}


def fleet_of(nodes: int, rows: int, epoch: datetime) -> Fleet:
    plan = FleetPlan(epoch=epoch - timedelta(seconds=INTERVAL_S * rows), nodes=nodes, interval_s=60)
    return demo_fleet(plan, clock=SystemClock())


def serve(pipe: Connection, nodes: int, rows: int, epoch: datetime, latency_s: float) -> None:
    async def main() -> None:
        simulator = fleet_of(nodes, rows, epoch).simulator
        if latency_s:
            simulator.faults.add(Delay(latency=Latency(typical_s=latency_s)))
        async with loopback(simulator) as url:
            pipe.send(url)
            while not pipe.poll():  # noqa: ASYNC110 - the other end is another process
                await asyncio.sleep(0.05)

    asyncio.run(main())


def measured(nodes: int, *, rows: int, latency_s: float, interval_s: float) -> dict[str, float]:
    epoch = SystemClock().now()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, nodes, rows, epoch, latency_s))
    process.start()
    theirs.close()  # so that the end of the process is the end of what it sends
    try:
        return asyncio.run(monitored(ours.recv(), fleet_of(nodes, rows, epoch), rows, interval_s))
    finally:
        process.terminate()
        process.join()


async def monitored(url: str, fleet: Fleet, rows: int, interval_s: float) -> dict[str, float]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        engine = engine_for(f"sqlite:///{Path(folder) / 'bench.db'}")
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
        async with AsyncUnit(engine) as unit:
            await unit.run(add_distributor("d1", "Bench", created_at=clock.now()))
            records = [record(found, clock.now()) for found in fleet.nodes]
            await unit.run(add_nodes(records, dialect=engine.dialect.name))
        transport = AiohttpTransport(origin=url, connections=CONCURRENCY)
        async with AsyncClient(transport=transport) as client:
            await polled(ChannelSource(client), fleet)  # connections, and rows of the simulator
            poll_only = await polled(ChannelSource(client), fleet)
            monitor = Monitor(
                store=SqlIngestStore(engine),
                outbox=SqlOutboxStore(engine),
                source=ChannelSource(client),
                bus=MemoryBus(),
                judge=AlertEngine(default_rules()),
                clock=clock,
                settings=MonitorSettings(
                    poll_interval_s=interval_s,
                    min_poll_interval_s=0.5,
                    concurrency=CONCURRENCY,
                ),
            )
            found = await one_cycle(monitor, len(fleet.nodes), rows)
    return {**found, "poll_only": poll_only}


async def polled(source: ChannelSource, fleet: Fleet) -> float:
    """The floor: looks per second when nothing is done with what they bring."""
    limit = anyio.CapacityLimiter(CONCURRENCY)

    async def look(channel_id: int, key: str) -> None:
        async with limit:
            await source.entries_since(channel_id, None, read_key=key)

    started = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for node in fleet.nodes:
            tasks.start_soon(look, node.channel_id, node.read_key)
    return len(fleet.nodes) / (time.perf_counter() - started)


async def one_cycle(monitor: Monitor, nodes: int, rows: int) -> dict[str, float]:
    """Run until every node has been looked at and what its channel held is stored.

    Some channels of the fleet have gaps: 98 in a hundred rows are taken for all of them.
    """
    before_s = cpu_s()
    started = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        await tasks.start(monitor_run, monitor)
        with anyio.fail_after(PATIENCE_S):
            while is_busy(monitor, nodes, rows):  # noqa: ASYNC110 - it tells by numbers only
                await anyio.sleep(LOOK_AGAIN_S)
        wall_s = time.perf_counter() - started
        counters = monitor.status()
        found = {"wall_s": wall_s, "cpu_s": cpu_s() - before_s, "stored": float(counters.stored)}
        monitor.stop()
    counters = monitor.status()
    return {
        **found,
        "transitions": float(counters.transitions),
        "published": float(counters.published),
    }


def is_busy(monitor: Monitor, nodes: int, rows: int) -> bool:
    status = monitor.status()
    return status.looks < nodes or status.stored < 0.98 * nodes * rows


async def monitor_run(monitor: Monitor, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
    await monitor.run(task_status=task_status)


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def record(found: Any, at: datetime) -> NodeRecord:
    return NodeRecord(
        node=Node(
            node_id=found.node_id,
            label=found.label,
            kind=found.kind,
            category=found.category,
            tenancy=Tenancy(distributor_id="d1"),
            config=found.config,
            expected_interval_s=float(INTERVAL_S),
        ),
        created_at=at,
        mapping=ChannelMapping(
            channel_id=found.channel_id,
            fields=tuple(
                FieldMapping(
                    field=f.field, metric=f.metric, unit=f.unit, scale=f.scale, offset=f.offset
                )
                for f in found.fields
            ),
        ),
        read_key=found.read_key,
    )
