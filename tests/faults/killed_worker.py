"""A monitor in a process of its own, to be killed.

  python killed_worker.py DATABASE_URL THINGSPEAK_URL

reads lines. `live` forks a child that runs the monitor until it is killed, `finish` one that
ends when all channels are read. It prints the child's pid, to be killed by, and that the child
is alive, in any order; and in the end its exit code. Forking spares the imports of each life.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from datetime import timedelta
from functools import partial

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
from evara_core.thingspeak.breaker import BreakerPolicy, Breakers
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.aiohttp import AiohttpTransport

CHANNELS = 6
ROWS = 700
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
PATIENCE = RetryPolicy(attempts=2, first_pause_s=0.01, attempt_s=1.0)
PAUSES = BreakerPolicy(failures=5, first_pause_s=0.05, longest_pause_s=0.2)


def level(channel: int, number: int) -> str:
    """A tank of 200 cm that fills and drains, now and then with nonsense."""
    if number % 97 == 5:
        return "Clouds"
    return f"{100 + 99 * math.sin(number / (17 + channel)):.1f}"


def rows(channel: int) -> list:
    return [entry(number, level(channel, number)) for number in range(1, ROWS + 1)]


def quiet_source() -> MemorySource:
    filled = MemorySource(page=PAGE)
    for channel in range(1, CHANNELS + 1):
        filled.write(channel, rows(channel))
    return filled


def monitor(store, outbox, source) -> Monitor:
    return Monitor(
        store=store,
        outbox=outbox,
        source=source,
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


async def live(database_url: str, thingspeak_url: str, *, is_last: bool) -> None:
    engine = engine_for(database_url)
    store = SqlIngestStore(engine)
    transport = AiohttpTransport(origin=thingspeak_url, connections=CHANNELS)
    breakers = Breakers(host=PAUSES, channel=PAUSES)
    async with AsyncClient(transport=transport, policy=PATIENCE, breakers=breakers) as client:
        source = ChannelSource(client, batch_entries=PAGE)
        print("alive", flush=True)
        running = monitor(store, SqlOutboxStore(engine), source)
        await (until_read(running, store) if is_last else running.run())
    await engine.dispose()


def main(database_url: str, thingspeak_url: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            is_last = line.strip() == "finish"
            anyio.run(partial(live, database_url, thingspeak_url, is_last=is_last))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
