"""Leases in memory, for tests of what holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.monitor.leases import Lease, LeaseStore

if TYPE_CHECKING:
    from evara_core.clock import Clock

__all__ = ["MemoryLeaseStore"]


@dataclass(slots=True)
class _Row:
    lease: Lease
    expires_at_s: float
    is_free: bool = False


class MemoryLeaseStore(LeaseStore):
    """Leases of one process, by its clock."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}

    @override
    async def claim(self, name: str, *, holder: str, ttl_s: float) -> Lease | None:
        now_s = self._clock.elapsed_s()
        row = self._rows.get(name)
        is_taken = row is not None and not row.is_free and row.expires_at_s > now_s
        if row is not None and is_taken and row.lease.holder != holder:
            return None
        token = 1 if row is None else row.lease.token + 1
        lease = Lease(name=name, holder=holder, token=token)
        self._rows[name] = _Row(lease, now_s + ttl_s)
        return lease

    @override
    async def renew(self, lease: Lease, *, ttl_s: float) -> bool:
        now_s = self._clock.elapsed_s()
        row = self._rows.get(lease.name)
        if row is None or row.lease != lease or row.is_free or row.expires_at_s <= now_s:
            return False
        row.expires_at_s = now_s + ttl_s
        return True

    @override
    async def release(self, lease: Lease) -> None:
        row = self._rows.get(lease.name)
        if row is not None and row.lease == lease:
            row.is_free = True
