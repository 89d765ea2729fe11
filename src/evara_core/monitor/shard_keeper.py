"""Holds a fair share of a fleet's shards, and keeps a monitor to them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import TASK_STATUS_IGNORED
from typing_extensions import override

from evara_core.errors import EvaraError, LeaseLostError
from evara_core.monitor.ports import IngestStore
from evara_core.monitor.shards import (
    FencedIngestStore,
    ShardSettings,
    lease_name,
    plan,
    shard_number,
    shard_of,
)
from evara_core.monitor.waiting import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anyio.abc import TaskStatus

    from evara_core.clock import Clock
    from evara_core.monitor.leases import Lease
    from evara_core.monitor.ports import IngestReport, NodeUpdate, Watched
    from evara_core.monitor.shards import ShardStore
    from evara_core.monitor.waiting import Sleep

__all__ = ["ShardKeeper", "ShardStatus", "ShardedStore"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """How it stands with the shards of a process."""

    holder: str
    held: tuple[int, ...]
    of: int
    members: int
    """Processes alive when it was looked last. 0: it was never looked."""

    lost: int
    """Shards that were taken from us, or not renewed in time."""


class ShardKeeper:
    """Holds shards: claims, renews, makes room for others, and gives back in the end.

    Whether a shard is ours is known here without asking, by our own clock, which stops the
    time of a lease before the store's does: a process that was frozen and wakes too late
    finds that it holds nothing any more, before it has done anything.

    Args:
        store: Of all processes.
        holder: Who we are: another text for each life of a process.
        clock: Ours; only its `elapsed_s` is used.
        sleep: Waits, by *clock*.
        settings: The number of shards and the times.
    """

    def __init__(
        self,
        store: ShardStore,
        *,
        holder: str,
        clock: Clock,
        sleep: Sleep = anyio.sleep,
        settings: ShardSettings = ShardSettings(),
    ) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._sleep = sleep
        self.settings = settings
        self._leases: dict[int, Lease] = {}
        self._leaving: set[int] = set()
        self._until_s = 0.0
        self._has_joined = False
        self._members = 0
        self._lost = 0
        self._taken: Mapping[int, Lease] = {}
        self._woken = Signal()
        self.changed = Signal()
        """Happens when there are other shards than the fleet was read for."""

    def __repr__(self) -> str:
        return f"<ShardKeeper {self._holder!r}: {len(self.held())} of {self.settings.shards}>"

    @property
    def taken(self) -> Mapping[int, Lease]:
        """The leases under which the fleet was read last: what is in memory belongs to them."""
        return self._taken

    def held(self) -> Mapping[int, Lease]:
        """Return the leases that are ours now, without those that are about to be given back."""
        if self._clock.elapsed_s() >= self._until_s:
            return {}
        return {n: lease for n, lease in self._leases.items() if n not in self._leaving}

    def is_ours(self, node_id: str) -> bool:
        """Say whether a node is ours now, without asking. Ask before each thing done."""
        shard = shard_of(node_id, shards=self.settings.shards)
        return (
            self._clock.elapsed_s() < self._until_s
            and shard in self._leases
            and shard not in self._leaving
        )

    def may_write(self, lease: Lease) -> bool:
        """Say whether what was decided under *lease* may still be stored, as far as we know."""
        is_in_time = self._clock.elapsed_s() < self._until_s
        return is_in_time and self._leases.get(shard_number(lease)) == lease

    def took(self, leases: Mapping[int, Lease]) -> None:
        """Note that what is in memory belongs to *leases*, and nothing to any other."""
        self._taken = leases
        if self._leaving - leases.keys():
            self._woken.set()
        if leases != self.held():
            self.changed.set()

    def status(self) -> ShardStatus:
        """Return how it stands."""
        return ShardStatus(
            holder=self._holder,
            held=tuple(sorted(self.held())),
            of=self.settings.shards,
            members=self._members,
            lost=self._lost,
        )

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Hold shards until cancelled; then give them back.

        Raises:
            ConfigurationError: The others count other shards.
        """
        try:
            while not self._has_joined:
                await self._joined()
            task_status.started()
            while True:
                pause_s = self.settings.renew_s
                try:
                    await self.look()
                except EvaraError as error:
                    _log.warning("shards are not renewed (%s)", error.code)
                    pause_s /= 3
                await self._woken.wait(pause_s, self._sleep)
        finally:
            self._leases = {}
            with anyio.move_on_after(self.settings.margin_s, shield=True):
                await self._leave()

    async def look(self) -> None:
        """Renew what is held, and come nearer to a fair share.

        Raises:
            StorageUnavailableError: It is not known what is held. What is not renewed ends.
        """
        settings, holder = self.settings, self._holder
        # The time before the question: what the store counts begins later.
        asked_at_s = self._clock.elapsed_s()
        if asked_at_s >= self._until_s:
            self._lose(self._leases.keys() - set())
        standing = await self._store.keep(
            list(self._leases.values()), holder=holder, ttl_s=settings.ttl_s
        )
        kept = {shard_number(lease) for lease in standing.kept}
        self._lose(self._leases.keys() - kept)
        self._until_s = asked_at_s + settings.ttl_s - settings.margin_s
        self._members = standing.members
        await self._give_back()
        wanted = plan(
            self._leases.keys() - self._leaving, shards=settings.shards, members=standing.members
        )
        self._leaving.update(wanted.release)
        if wanted.claim and not self._leaving:
            for lease in await self._store.claim(
                holder=holder, ttl_s=settings.ttl_s, most=wanted.claim
            ):
                self._leases[shard_number(lease)] = lease
        if self.held() != self._taken:
            self.changed.set()

    async def _joined(self) -> None:
        try:
            await self._store.join(shards=self.settings.shards)
        except EvaraError as error:
            if not error.retryable:
                raise
            _log.warning("shards cannot be looked up (%s)", error.code)
            await self._sleep(self.settings.renew_s)
        else:
            self._has_joined = True

    async def _give_back(self) -> None:
        """Release what is about to go, once nothing in memory belongs to it."""
        ready = [
            shard for shard in self._leaving if self._taken.get(shard) != self._leases.get(shard)
        ]
        if ready:
            await self._store.release([self._leases[shard] for shard in ready])
        for shard in ready:
            del self._leases[shard]
            self._leaving.discard(shard)

    def _lose(self, shards: set[int]) -> None:
        for shard in shards:
            del self._leases[shard]
            self._leaving.discard(shard)
        if shards:
            self._lost += len(shards)
            _log.warning("%d shards are lost", len(shards))
            self.changed.set()

    async def _leave(self) -> None:
        try:
            await self._store.leave(self._holder)
        except EvaraError as error:
            _log.info("shards end by themselves (%s)", error.code)


class ShardedStore(IngestStore):
    """A store as one of several monitors sees it: the nodes of its shards, written under leases.

    Give it to a `Monitor`, which then also runs the keeper.

    Args:
        store: Of all processes.
        keeper: Of this one.
    """

    def __init__(self, store: FencedIngestStore, keeper: ShardKeeper) -> None:
        self._store = store
        self.keeper = keeper

    @override
    async def watched(self) -> Sequence[Watched]:
        keeper = self.keeper
        known = keeper.taken
        # What was lost and is ours again is left out once, so that it is then read anew: in
        # between somebody else may have moved its nodes on.
        leases = {
            shard: lease
            for shard, lease in keeper.held().items()
            if known.get(shard) in {None, lease}
        }
        found = await self._store.watched_in(leases.keys(), of=keeper.settings.shards)
        keeper.took(leases)
        return found

    @override
    async def ingest(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        leases: dict[int, Lease] = {}
        for update in updates:
            shard = shard_of(update.node.node_id, shards=self.keeper.settings.shards)
            lease = self.keeper.taken.get(shard)
            if lease is None or not self.keeper.may_write(lease):
                raise LeaseLostError(lease_name(shard))
            leases[shard] = lease
        return await self._store.ingest_under(updates, leases)
