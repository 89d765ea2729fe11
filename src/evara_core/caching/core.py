"""Get it, or load it: once for all who ask at the same time.

Rules: an answer that began to load before an invalidation is never served to who asks after
it; no caller is harmed by another one's cancellation; a store that is away makes things
slower, never wrong, and is no error to anybody.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from evara_core.caching.breaker import Breaker
from evara_core.caching.codecs import BytesCodec
from evara_core.caching.entries import Entry, Freshness
from evara_core.caching.filling import Filler
from evara_core.caching.flights import Flights
from evara_core.caching.listening import Listener
from evara_core.caching.memory import MemoryStore
from evara_core.caching.results import (
    Cached,
    CacheStats,
    Explanation,
    Request,
    Want,
    region_tag,
    user_tag,
)
from evara_core.caching.shared import EVERYTHING, SharedTier
from evara_core.caching.stamps import Stamps
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

    from evara_core.caching.codecs import Codec
    from evara_core.caching.flights import Flight
    from evara_core.caching.keys import CacheKey
    from evara_core.caching.ports import Ask, Backplane, Commits, SharedStore, Taken
    from evara_core.caching.stamps import Stamp
    from evara_core.clock import Clock

__all__ = ["CacheCore"]

T = TypeVar("T")

_BYTES: Final = BytesCodec()
_LEASE_MARGIN_S: Final = 5.0
_LONGEST_RETRY_S: Final = 1.0
_REFRESH: Final = "refresh "


class CacheCore:
    """A cache in this process, and if there is an *l2*, one shared with others behind it.

    With an *l2*, let `listen` run in a task of your own: it hears what other processes
    invalidate. While it does not (no *backplane*, not running, or Redis away) nothing is
    kept in this process for longer than *unheard_ttl_s*.
    """

    def __init__(
        self,
        l1: MemoryStore | None = None,
        l2: SharedStore | None = None,
        backplane: Backplane | None = None,
        *,
        clock: Clock | None = None,
        load_deadline_s: float = 30.0,
        lease_wait_s: float = 2.0,
        unheard_ttl_s: float = 1.0,
        beat_every_s: float = 5.0,
        deaf_after_s: float = 15.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.memory: Final = MemoryStore(clock=clock) if l1 is None else l1
        self.clock: Final = clock or self.memory.clock
        self.stats: Final = CacheStats()
        self.stamps: Final = Stamps()
        self._origin = secrets.token_hex(8)
        self._unheard_ttl_s = unheard_ttl_s
        self._load_deadline_s = load_deadline_s
        self._flights = Flights(deadline_s=load_deadline_s)
        self._tier = (
            None
            if l2 is None
            else SharedTier(l2, breaker=Breaker(clock=self.clock, chance=chance), clock=self.clock)
        )
        # A lease outlasts the load that it is for, and a version the lease.
        lease_s = load_deadline_s + _LEASE_MARGIN_S
        if l2 is not None and not 0 < lease_s < l2.version_life_s:
            raise ConfigurationError("a load may take no longer than versions are remembered")
        if backplane is not None and self._tier is None:
            raise ConfigurationError("a backplane without a shared store has nothing to tell")
        self._listener: Listener | None = None
        if backplane is not None and self._tier is not None:
            self._listener = Listener(
                backplane,
                self.stamps,
                origin=self._tier.origin,
                clock=self.clock,
                stats=self.stats,
                beat_every_s=beat_every_s,
                deaf_after_s=deaf_after_s,
                on_gap=self._tier.tell_again,
            )
        self._was_heard: bool | None = None
        _reset_in_child(self)
        self._filler = Filler(
            self.memory,
            self._tier,
            self._flights,
            clock=self.clock,
            stats=self.stats,
            chance=chance,
            lease_s=lease_s,
            lease_wait_s=lease_wait_s,
        )

    @property
    def is_alone(self) -> bool:
        """Whether there is no shared store."""
        return self._tier is None

    @property
    def is_heard(self) -> bool:
        """Whether invalidations of other processes are heard, or there are none to hear."""
        return self._tier is None or (self._listener is not None and self._listener.is_heard)

    async def listen(self) -> None:
        """Hear what other processes invalidate, until cancelled.

        Raises:
            ConfigurationError: There is no backplane.
        """
        if self._listener is None:
            raise ConfigurationError("a cache without a backplane has nothing to listen to")
        await self._listener.run()

    async def get_or_load(
        self,
        key: CacheKey,
        load: Callable[[], Awaitable[T]],
        *,
        ttl_s: float = 60.0,
        tags: Iterable[str] = (),
        freshness: Freshness | None = None,
        codec: Codec[T] | None = None,
    ) -> Cached[T]:
        """Return what is cached under *key*, or load it and keep it for *ttl_s* seconds.

        *load* runs in a task of its own, without the caller's context variables; it must not
        use what ends with the caller, such as the database session of a request. *freshness*
        says more than *ttl_s* and replaces it. *tags* are always the same for a key. Without
        a *codec*, values are bytes.

        Raises:
            Exception: What *load* raised. Nothing is cached then.
            UpstreamTimeoutError: *load* took longer than the deadline of the cache.
        """
        request = Request(
            key=key.text,
            text=key.text,
            tags=self.tags_of(key.region, tags),
            freshness=freshness or Freshness(ttl_s=ttl_s),
            codec=codec or _BYTES,
        )
        return await self.fetch(request, load)

    async def fetch(self, request: Request, load: Callable[[], Awaitable[Any]]) -> Cached[Any]:
        """Return what is cached for *request*, or load it. See `get_or_load`."""
        now_s = self.clock.elapsed_s()
        entry = self.kept(request.key)
        if entry is not None and now_s < entry.fresh_until_s + request.freshness.stale_for_s:
            if now_s >= entry.refresh_at_s:
                # Nobody else sets one off in the next moment, also if this one fails.
                entry.refresh_at_s = now_s + min(_LONGEST_RETRY_S, request.freshness.ttl_s * 0.1)
                self._refresh(request, load)
            return self.served(entry, now_s)
        self.stats.misses += 1

        def refresh(ask: Ask, taken: Taken) -> None:
            self._refresh(request, load, ask, taken)

        want = Want(request, load, refresh, entry)
        found: Entry[Any] = await self._flights.look(
            request.text,
            lambda flight: self._filler.begin(flight, want),
            lambda: self._stamp(request),
        )
        return Cached(found.give(), is_hit=found.was_there, is_stale=found.is_stale)

    def served(self, entry: Entry[Any], now_s: float) -> Cached[Any]:
        """Return what *entry* holds, and count it."""
        self.stats.hits += 1
        is_stale = entry.is_stale or now_s >= entry.fresh_until_s
        self.stats.stale_hits += is_stale
        return Cached(entry.give(), is_hit=True, is_stale=is_stale)

    async def reload(self, request: Request, load: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - the caller's
        """Load anew, from now on, and return it; what was kept before stays until then.

        Nothing that began to load earlier is kept afterwards.
        """
        if self._flights.under_way(request.text) is not None:
            self.stamps.touch(keys=[request.text])

        async def fill(flight: Flight[Entry[Any]]) -> Entry[Any]:
            return await self._filler.reload(flight.stamp, request, load)

        key = _REFRESH + request.text
        return (await self._flights.join_next(key, fill, lambda: self._stamp(request))).give()

    async def invalidate(
        self,
        *keys: CacheKey,
        tags: Iterable[str] = (),
        regions: Iterable[str] = (),
        settle_s: float = 0.0,
        after: Commits | None = None,
    ) -> None:
        """Forget *keys*, everything under *tags*, and everything in *regions*.

        Costs the same however much that is. Loads that are under way are not kept, here or
        elsewhere. Who asks from now on gets what is loaded from now on; who asked before may
        still get the older answer. In other processes it is so within milliseconds, or as
        soon as the shared store is back. For *settle_s* seconds nothing is kept, where what
        is loaded comes from a replica that may be behind.

        Call it after the change was committed: before, another reader loads the old state
        again. Or call it inside the transaction and give that as *after*: then it takes effect
        when that has ended, unless it was rolled back.
        """
        forget = partial(
            self.invalidate_names,
            keys=[key.text for key in keys],
            tags=[*map(user_tag, tags), *map(region_tag, regions)],
            settle_s=settle_s,
        )
        if after is None:
            await forget()
        else:
            after.after_commit(forget)

    async def invalidate_names(
        self, *, keys: list[str], tags: list[str] | None = None, settle_s: float = 0.0
    ) -> None:
        """Forget what is known by these very names. See `invalidate`."""
        tags = tags or []
        self.stamps.touch(keys=keys, tags=tags)
        if settle_s > 0:
            self._filler.holds.add([*keys, *tags], settle_s)
        if self._tier is None:
            return
        versions = await self._tier.invalidate(keys=keys, tags=tags, settle_s=settle_s)
        # Again: in between, somebody here may have read what the store still had.
        self.stamps.learn(versions)
        self.stamps.touch(keys=keys, tags=tags)

    async def versions_of(self, tags: list[str]) -> tuple[object, ...] | None:
        """Return what changes when one of *tags* is invalidated; None where it is not known.

        What is read afterwards is not older: of what was kept before, nothing is served that
        the shared store knows to be outdated.
        """
        if self._filler.holds.cover_names(tags):
            return None
        if self._tier is None:
            # Counters of tags are forgotten with their last entry. This one is not.
            return (self._origin, self.stamps.changes)
        versions = await self._tier.versions(tags)
        if versions is not None:
            self.stamps.learn(dict(zip(tags, versions, strict=True)))
        return versions

    def kept(self, key: Hashable) -> Entry[Any] | None:
        """Return what this process holds under *key*, if it may still be used."""
        if self._tier is not None:
            self._mind_hearing()
        entry: Entry[Any] | None = self.memory.map.get(key)
        if entry is None or self.clock.elapsed_s() >= entry.kept_until_s:
            return None
        return entry if entry.stamp.holds() else None

    def peek(self, key: CacheKey) -> Any:  # noqa: ANN401 - whatever was kept
        """Return what this process holds under *key*, or None. Loads nothing."""
        entry = self.kept(key.text)
        return None if entry is None else entry.give()

    def explain(self, key: CacheKey) -> Explanation:
        """Return where *key* stands in this process, and why. Changes nothing.

        For a call of a decorated function, ask the function: `function.explain(…)`.
        """
        return self.explain_kept(key.text)

    def explain_kept(self, key: Hashable) -> Explanation:
        """Return where what is kept under *key* stands. See `explain`."""
        away = self._tier is not None and self._tier.is_away
        entry = self.memory.map.peek(key)
        if entry is None:
            why = "it was never kept, or had to leave for others"
            return Explanation(
                where="nowhere", why=why, is_shared_away=away, is_heard=self.is_heard
            )
        now_s = self.clock.elapsed_s()
        if not entry.stamp.holds():
            why = "it was invalidated"
        elif now_s >= entry.kept_until_s:
            why = "its time is over"
        else:
            why = "it is fresh" if now_s < entry.fresh_until_s else "it is stale"
        return Explanation(
            where="memory" if why in {"it is fresh", "it is stale"} else "nowhere",
            why=why,
            age_s=now_s - entry.stored_at_s,
            fresh_for_s=entry.fresh_until_s - now_s,
            versions=entry.stamp.by_tag(),
            is_shared_away=away,
            is_heard=self.is_heard,
        )

    def reset_after_fork(self) -> None:
        """Forget what belongs to the parent: loads, leases, the place in the stream, locks.

        Called by itself in a child process. Clients of Redis are to be made after the fork.
        """
        self.memory.lock = threading.Lock()
        self.stamps.reset_after_fork()
        self.stamps.touch_everything()
        self._flights = Flights(deadline_s=self._load_deadline_s)
        self._filler.reset_after_fork(self._flights)
        self._origin = secrets.token_hex(8)
        self._was_heard = None
        if self._tier is not None:
            self._tier.reset_after_fork()
        if self._listener is not None and self._tier is not None:
            self._listener.reset_after_fork(self._tier.origin)

    async def aclose(self) -> None:
        """End the loads that are under way. Stores and clients are the caller's to close."""
        await self._flights.aclose()
        if self._tier is not None:
            await self._tier.aclose()

    def tags_of(self, region: str, tags: Iterable[str]) -> tuple[str, ...]:
        """Return all tags of an entry."""
        return (EVERYTHING, region_tag(region), *map(user_tag, tags))

    def _stamp(self, request: Request) -> Stamp:
        return self.stamps.take(request.text, request.tags)

    def _refresh(
        self,
        request: Request,
        load: Callable[[], Awaitable[Any]],
        ask: Ask | None = None,
        taken: Taken | None = None,
    ) -> None:
        """Load in the background. The old value stays until the new one is there."""

        async def fill(flight: Flight[Entry[Any] | None]) -> Entry[Any] | None:
            return await self._filler.refresh(flight.stamp, request, load, ask, taken)

        key = _REFRESH + request.text
        has_begun = self._flights.start(key, fill, lambda: self._stamp(request))
        if not has_begun and ask is not None and self._tier is not None:
            self._tier.release_soon(ask)

    def _mind_hearing(self) -> None:
        """Drop what is kept when hearing is lost or found: something may have been missed."""
        is_heard = self.is_heard
        if is_heard is not self._was_heard:
            self._was_heard = is_heard
            self._filler.longest_s = None if is_heard else self._unheard_ttl_s
            self.stamps.touch_everything()


def _reset_in_child(cache: CacheCore) -> None:
    known = weakref.ref(cache)

    def reset() -> None:
        if (still_there := known()) is not None:
            still_there.reset_after_fork()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
