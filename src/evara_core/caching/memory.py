"""The cache in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from evara_core.caching.ports import CacheStore
from evara_core.caching.sieve import SieveMap
from evara_core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Hashable

    from evara_core.clock import Clock

__all__ = ["MemoryStore"]

_OVERHEAD_BYTES: Final = 400  # node, map slot, key object, tuple: measured on CPython 3.11
_SWEEP: Final = 4


class MemoryStore(CacheStore):
    """A cache bounded by entries and by bytes. Safe across threads.

    Entries whose time is up leave when they are asked for, when they are the next to be
    evicted, and a few with each write: nothing ever walks through all of them.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        max_entries: int = 100_000,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        self.clock: Final = clock or SystemClock()
        self.lock = threading.Lock()
        """Held by whoever changes `map`."""

        self.map: SieveMap[Hashable, Any] = SieveMap(max_entries=max_entries, max_bytes=max_bytes)
        """Also the first level of a `Cache`, which keeps entries of its own in it."""

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self.map)} entries, {self.map.size_bytes} bytes>"

    def __len__(self) -> int:
        return len(self.map)

    @property
    def size_bytes(self) -> int:
        """What it holds, the bookkeeping included."""
        return self.map.size_bytes

    @property
    def evictions(self) -> int:
        """How many entries had to leave before their time."""
        return self.map.evictions

    @override
    async def get(self, key: str) -> bytes | None:
        entry: tuple[float, bytes] | None = self.map.get(key)
        if entry is None:
            return None
        expires_s, value = entry
        if self.clock.elapsed_s() < expires_s:
            return value
        with self.lock:
            if self.map.peek(key) is entry:
                self.map.drop(key)
        return None

    @override
    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        now_s = self.clock.elapsed_s()
        with self.lock:
            if ttl_s <= 0:
                self.map.drop(key)
                return
            self._sweep(now_s)
            size = len(key) + len(value) + _OVERHEAD_BYTES
            self.map.put(key, (now_s + ttl_s, value), size=size)

    @override
    async def drop(self, key: str) -> None:
        with self.lock:
            self.map.drop(key)

    def _sweep(self, now_s: float) -> None:
        for key, entry in self.map.oldest(_SWEEP):
            if isinstance(entry, tuple) and now_s >= entry[0]:
                self.map.drop(key)
