"""A monitor in a process of its own, to be killed.

  python killed_worker.py URL

reads lines: `go` forks a child that runs the monitor until all channels are read, and prints
the child's pid; the parent kills it by that. Forking spares the imports of each life.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from datetime import timedelta

import anyio

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.clock import SystemClock
from evara_core.errors import StorageUnavailableError
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.storage.engine import engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.testing.samples import entry
from evara_core.testing.source import MemorySource

CHANNELS = 6
ROWS = 2_000
PAGE = 20

RULES = (
    AlertRule(id="low", kind="tank", when=expr("level_percent < 20"), hold=timedelta(minutes=2)),
    AlertRule(id="high", kind="tank", when=expr("level_percent > 90"), keep=timedelta(minutes=3)),
)
SETTINGS = MonitorSettings(
    poll_interval_s=0.2,
    min_poll_interval_s=0.2,
    batch_rows=60,
    batch_age_s=0.001,
    catch_up_rows=PAGE,
    first_backoff_s=0.05,
    max_backoff_s=0.5,
)


def level(channel: int, number: int) -> str:
    """A tank of 200 cm that fills and drains, now and then with nonsense."""
    if number % 97 == 5:
        return "Clouds"
    return f"{100 + 99 * math.sin(number / (17 + channel)):.1f}"


def rows(channel: int) -> list:
    return [entry(number, level(channel, number)) for number in range(1, ROWS + 1)]


def source() -> MemorySource:
    filled = MemorySource(page=PAGE)
    for channel in range(1, CHANNELS + 1):
        filled.write(channel, rows(channel))
    return filled


def monitor(store, outbox) -> Monitor:
    return Monitor(
        store=store,
        outbox=outbox,
        source=source(),
        bus=MemoryBus(history=100_000),
        judge=AlertEngine(RULES),
        clock=SystemClock(),
        settings=SETTINGS,
    )


async def until_read(running: Monitor, store) -> None:
    """Run until every channel is read to its end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(running.run)
        while True:
            await anyio.sleep(0.1)
            found = []
            with suppress(StorageUnavailableError):
                found = await store.watched()
            if found and all(w.position and w.position.entry_id == ROWS for w in found):
                running.stop()
                return


async def live(url: str) -> None:
    engine = engine_for(url)
    store = SqlIngestStore(engine)
    await until_read(monitor(store, SqlOutboxStore(engine)), store)
    await engine.dispose()


def main(url: str) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            anyio.run(live, url)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
