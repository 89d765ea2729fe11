"""Get it, or load it: once for all who ask at the same time.

Rules: an answer that began to load before an invalidation is never stored after it; no
caller is harmed by another one's cancellation; a store that is away makes things slower,
never wrong, and is no error to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.caching.flights import Flight, Flights
from evara_core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.caching.keys import CacheKey
    from evara_core.caching.ports import CacheStore

__all__ = ["Cache", "CacheStats", "Cached"]


@dataclass(frozen=True, slots=True)
class Cached:
    """A value, and whether it was there already."""

    value: bytes
    is_hit: bool


@dataclass(slots=True)
class CacheStats:
    """What happened so far."""

    hits: int = 0
    misses: int = 0
    """Answers that needed a load, own or shared."""

    loads: int = 0
    refused_stores: int = 0
    """Results that were not kept: something was invalidated while they were loaded."""

    store_failures: int = 0
    """Calls to the store that failed. Each made something slower, nothing wrong."""


class Cache:
    """A cache over one store."""

    def __init__(self, store: CacheStore, *, load_deadline_s: float = 30.0) -> None:
        self._store = store
        self._flights = Flights(deadline_s=load_deadline_s)
        # Keys whose drop did not reach the store. Until it does, the store is not believed.
        self._owed: set[str] = set()
        self.stats = CacheStats()

    async def get_or_load(
        self, key: CacheKey, load: Callable[[], Awaitable[bytes]], *, ttl_s: float
    ) -> Cached:
        """Return what is cached under *key*, or load it and keep it for *ttl_s* seconds.

        *load* runs in a task of its own, without the caller's context variables; it must not
        use what ends with the caller, such as the database session of a request.

        Raises:
            Exception: What *load* raised. Nothing is cached then.
            UpstreamTimeoutError: *load* took longer than the deadline of the cache.
        """
        text = key.text
        kept = await self._read(text)
        if kept is not None:
            self.stats.hits += 1
            return Cached(kept, is_hit=True)
        self.stats.misses += 1

        async def fill(flight: Flight[bytes]) -> bytes:
            self.stats.loads += 1
            value = await load()
            await self._keep(flight, text, value, ttl_s=ttl_s)
            return value

        return Cached(await self._flights.join(text, fill), is_hit=False)

    async def invalidate(self, key: CacheKey) -> None:
        """Forget *key*, and the result of a load that is under way.

        Who asks from now on gets what is loaded from now on; who asked before may still get
        the older answer. Also if the store is away: then it is told as soon as it is back.
        """
        text = key.text
        self._flights.detach(text)
        self._owed.add(text)
        await self._settle(text)

    async def aclose(self) -> None:
        """End the loads that are under way. The store is the caller's to close."""
        await self._flights.aclose()

    async def _read(self, text: str) -> bytes | None:
        if text in self._owed and not await self._settle(text):
            return None
        try:
            value = await self._store.get(text)
        except UpstreamError:
            self.stats.store_failures += 1
            return None
        # It may have been invalidated while the store was asked.
        return None if text in self._owed else value

    async def _keep(self, flight: Flight[bytes], text: str, value: bytes, *, ttl_s: float) -> None:
        if flight.is_detached or text in self._owed:
            self.stats.refused_stores += 1
            return
        try:
            await self._store.put(text, value, ttl_s=ttl_s)
        except UpstreamError:
            self.stats.store_failures += 1
        if flight.is_detached:
            # Invalidated while it was being stored: which came last, nobody knows.
            self.stats.refused_stores += 1
            self._owed.add(text)
            await self._settle(text)

    async def _settle(self, text: str) -> bool:
        """Drop what is owed; return whether the store knows now."""
        try:
            await self._store.drop(text)
        except UpstreamError:
            self.stats.store_failures += 1
            return False
        self._owed.discard(text)
        return True
