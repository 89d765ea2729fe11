"""Shards in memory: for tests, and for several monitors in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.errors import ConfigurationError, LeaseLostError
from evara_core.monitor.leases import Lease
from evara_core.monitor.shards import (
    FencedIngestStore,
    ShardStanding,
    ShardStore,
    lease_name,
    shard_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from evara_core.clock import Clock
    from evara_core.monitor.ports import IngestReport, IngestStore, NodeUpdate, Watched

__all__ = ["FencedMemoryStore", "MemoryShardStore"]


class MemoryShardStore(ShardStore):
    """Shards of one process, by its clock."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self._held: dict[str, tuple[Lease | None, float]] = {}
        self._tokens: dict[str, int] = {}
        self._alive_until_s: dict[str, float] = {}

    @override
    async def join(self, *, shards: int) -> None:
        if self._count not in {0, shards} and self._members():
            problem = f"processes are alive that count {self._count} shards"
            raise ConfigurationError(problem)
        self._count = shards

    @override
    async def keep(self, leases: Sequence[Lease], *, holder: str, ttl_s: float) -> ShardStanding:
        until_s = self._clock.elapsed_s() + ttl_s
        self._alive_until_s[holder] = until_s
        kept = [lease for lease in leases if self.is_held(lease) and not self._is_free(lease.name)]
        for lease in kept:
            self._held[lease.name] = lease, until_s
        return ShardStanding(kept=kept, members=self._members())

    @override
    async def claim(self, *, holder: str, ttl_s: float, most: int) -> Sequence[Lease]:
        free = [name for name in map(lease_name, range(self._count)) if self._is_free(name)]
        claimed = []
        for name in free[:most]:
            token = self._tokens[name] = self._tokens.get(name, 0) + 1
            lease = Lease(name=name, holder=holder, token=token)
            self._held[name] = lease, self._clock.elapsed_s() + ttl_s
            claimed.append(lease)
        return claimed

    @override
    async def release(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            if self.is_held(lease):
                self._held[lease.name] = None, 0.0

    @override
    async def leave(self, holder: str) -> None:
        self._alive_until_s.pop(holder, None)
        await self.release(
            [held for held, _ in self._held.values() if held is not None and held.holder == holder]
        )

    def is_held(self, lease: Lease) -> bool:
        """Say whether nobody has claimed *lease* since, and it was not given back."""
        return self._held.get(lease.name, (None, 0.0))[0] == lease

    def _is_free(self, name: str) -> bool:
        held, until_s = self._held.get(name, (None, 0.0))
        return held is None or until_s <= self._clock.elapsed_s()

    def _members(self) -> int:
        now_s = self._clock.elapsed_s()
        return sum(until_s > now_s for until_s in self._alive_until_s.values())


class FencedMemoryStore(FencedIngestStore):
    """A store in memory that several monitors write to, each under leases of its own."""

    def __init__(self, store: IngestStore, shards: MemoryShardStore) -> None:
        self._store = store
        self._shards = shards

    @override
    async def watched(self) -> Sequence[Watched]:
        return await self._store.watched()

    @override
    async def watched_in(self, shards: Collection[int], *, of: int) -> Sequence[Watched]:
        found = await self._store.watched()
        return [one for one in found if shard_of(one.node.node_id, shards=of) in shards]

    @override
    async def ingest(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        return await self._store.ingest(updates)

    @override
    async def ingest_under(
        self, updates: Sequence[NodeUpdate], leases: Mapping[int, Lease]
    ) -> IngestReport:
        for lease in leases.values():
            if not self._shards.is_held(lease):
                raise LeaseLostError(lease.name)
        return await self._store.ingest(updates)
