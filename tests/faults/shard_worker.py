"""Monitors that share a fleet, each in a process of its own, to be killed and frozen.

  python shard_worker.py DATABASE_URL FOLDER

reads lines `NAME HOW`: it forks a child that runs a monitor by that name, and prints its process
id. Channels are made up by the clock: a row every half second. Each child writes to a file of
its name in FOLDER what it does: `polled` with the moment, the channel and the token that the
shard had, and `refused` for each write that the database refused.

HOW is `careful`, or `trusting`: a monitor whose own clock stands still, so that nothing but the
database can find that its leases are over.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import anyio

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.clock import SystemClock
from evara_core.errors import LeaseLostError
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.monitor.shard_keeper import ShardedStore, ShardKeeper
from evara_core.monitor.shards import ShardSettings, shard_of
from evara_core.realtime.memory import MemoryBus
from evara_core.storage.engine import engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.shards import SqlShardStore
from evara_core.testing.clock import ManualClock
from evara_core.testing.samples import START, entry

TTL_S = 1.5
NODES = 24
ROW_S = 0.5
SHARDS = ShardSettings(shards=16, ttl_s=TTL_S, renew_s=0.3, margin_s=0.3)
SETTINGS = MonitorSettings(
    poll_interval_s=0.25,
    min_poll_interval_s=0.25,
    batch_age_s=0.01,
    sweep_interval_s=0.5,
    first_backoff_s=0.05,
    max_backoff_s=0.2,
)
RULES = (AlertRule(id="low", kind="tank", when=expr("level_percent < 20")),)


def node_of(channel: int) -> str:
    return f"tank-{channel}"


def newest_row() -> int:
    return int((time.monotonic() - EPOCH_S) / ROW_S)


EPOCH_S = float(os.environ.get("SHARD_WORKER_EPOCH_S", "0"))


class Told:
    """What a monitor did, line by line, seen at once by whoever reads the file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def tell(self, *words: object) -> None:
        self._file.write(" ".join(map(str, words)) + "\n")


class Channels:
    """Rows by the clock; each look takes a while, so that some are under way at any moment."""

    def __init__(self, told: Told, keeper: ShardKeeper) -> None:
        self._told = told
        self._keeper = keeper

    async def entries_since(self, channel_id, position, *, read_key):
        lease = self._keeper.taken.get(shard_of(node_of(channel_id), shards=SHARDS.shards))
        self._told.tell("polled", time.monotonic(), channel_id, lease and lease.token)
        await anyio.sleep(0.1)
        first = 1 if position is None else position.entry_id + 1
        # Every tenth row is of an empty tank.
        return [
            entry(n, "10" if n % 10 == 0 else "100", at_s=n) for n in range(first, newest_row() + 1)
        ]


class Watched(SqlIngestStore):
    """A store that tells what it refuses."""

    def __init__(self, engine, told: Told, shard: int) -> None:
        super().__init__(engine, shard=shard)
        self._told = told

    async def ingest_under(self, updates, leases):
        try:
            return await super().ingest_under(updates, leases)
        except LeaseLostError:
            self._told.tell("refused", time.monotonic())
            raise


class SlowShards(SqlShardStore):
    """Shards that take so long to renew that stale writes come first."""

    async def keep(self, leases, *, holder, ttl_s):
        await anyio.sleep(0.25)
        return await super().keep(leases, holder=holder, ttl_s=ttl_s)


async def live(url: str, folder: str, name: str, how: str) -> None:
    told = Told(Path(folder, name))
    engine = engine_for(url, processes=4)
    clock = SystemClock()
    is_trusting = how == "trusting"
    keeper = ShardKeeper(
        (SlowShards if is_trusting else SqlShardStore)(engine, clock=clock),
        holder=name,
        clock=ManualClock(START) if is_trusting else clock,
        settings=SHARDS,
    )
    monitor = Monitor(
        store=ShardedStore(Watched(engine, told, os.getpid() % 16), keeper),
        outbox=SqlOutboxStore(engine),
        source=Channels(told, keeper),
        bus=MemoryBus(history=1_000),
        judge=AlertEngine(RULES),
        clock=clock,
        settings=SETTINGS,
    )
    told.tell("alive", time.monotonic())
    await monitor.run()


def main(url: str, folder: str) -> None:
    for line in sys.stdin:
        name, how = line.split()
        child = os.fork()
        if child == 0:
            anyio.run(live, url, folder, name, how)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
