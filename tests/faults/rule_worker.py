"""A monitor in a process of its own, which judges by the rules of a database.

  python rule_worker.py URL

prints `ready` when it works by the rules that are there, and each alert that it tells of.
"""

from __future__ import annotations

import sys

import anyio

from evara_core.clock import SystemClock
from evara_core.monitor.operators import OperatorWatch
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.monitor.tenants import RuleWatch, TenantJudge
from evara_core.realtime.memory import MemoryBus
from evara_core.serialization import load_json
from evara_core.storage.engine import engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.operations import SqlActionStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.rules import all_rules, rules_stamp
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import entry
from evara_core.testing.source import MemorySource

CHANNELS = 2


def source() -> MemorySource:
    """Tanks that stand at 10 % since a minute ago."""
    filled = MemorySource()
    for channel in range(1, CHANNELS + 1):
        filled.write(channel, [entry(1, "20.0", at_s=-60.0, start=SystemClock().now())])
    return filled


async def main(url: str) -> None:
    database, clock, judge, bus = engine_for(url), SystemClock(), TenantJudge({}), MemoryBus()
    monitor = Monitor(
        store=SqlIngestStore(database),
        outbox=SqlOutboxStore(database),
        source=source(),
        bus=bus,
        judge=judge,
        clock=clock,
        settings=MonitorSettings(poll_interval_s=0.2, min_poll_interval_s=0.2),
    )

    async def stamp() -> str:
        async with AsyncUnit(database, reads_only=True) as unit:
            return await unit.run(rules_stamp())

    async def load():
        async with AsyncUnit(database, reads_only=True) as unit:
            found = await unit.run(all_rules())
        return {owner: loaded.rules for owner, loaded in found.items()}

    async def apply(rules) -> object:
        return await monitor.act(lambda now: judge.replace_rules(rules, now=now))

    rules = RuleWatch(stamp=stamp, load=load, apply=apply)
    people = OperatorWatch(
        store=SqlActionStore(database), judge=judge, act=monitor.act, clock=clock
    )

    async with anyio.create_task_group() as parts:
        parts.start_soon(tell, bus)
        await parts.start(monitor.run)
        await rules.look()
        parts.start_soon(rules.run)
        parts.start_soon(people.run)
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)
        parts.cancel_scope.cancel()
    await database.dispose()


async def tell(bus: MemoryBus) -> None:
    position = await bus.end()
    while True:
        batch = await bus.read(position, wait_s=5.0)
        position = batch.position
        for delivery in batch.deliveries:
            if delivery.message.kind == "alert":
                told = load_json(delivery.message.body)
                print(told["kind"], told["node_id"], told["rule_id"], told["reason"], flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
