"""The monitor over the reference data, in a process of its own: 1,000 nodes a minute.

    python -m benchmarks.load.ingest DATABASE_URL

Each look at a channel takes 0.6 s and brings one new entry, so that ten at once are a thousand
in a minute, evenly. What a line of standard output tells is how many readings were stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from datetime import timedelta

import anyio
from typing_extensions import override

from evara_core.alerts.defaults import default_rules
from evara_core.alerts.engine import AlertEngine
from evara_core.clock import SystemClock
from evara_core.monitor.ports import Source
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.storage.engine import engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.thingspeak.models import Entry, Position

LOOK_S = 0.6


class MadeUpSource(Source):
    """Channels that have always just got something new."""

    def __init__(self) -> None:
        self._clock = SystemClock()

    @override
    async def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: str | None
    ) -> Sequence[Entry]:
        await anyio.sleep(LOOK_S)
        now = self._clock.now().replace(microsecond=0)
        after = 1 if position is None else position.entry_id + 1
        if position is not None:
            now = max(now, position.created_at + timedelta(seconds=1))
        level = 60 + (channel_id + after) % 80
        return [Entry(entry_id=after, created_at=now, fields={1: str(level), 2: "3.9"})]


async def main(url: str) -> None:
    engine = engine_for(url)
    monitor = Monitor(
        store=SqlIngestStore(engine),
        outbox=SqlOutboxStore(engine),
        source=MadeUpSource(),
        bus=MemoryBus(),
        judge=AlertEngine(default_rules()),
        clock=SystemClock(),
        settings=MonitorSettings(),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        while True:
            await anyio.sleep(1.0)
            print(monitor.status().stored, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        anyio.run(main, sys.argv[1])
