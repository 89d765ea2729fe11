"""The races that a cache must survive, by their numbers in docs/explanation/caching-races.md.

Each is a function that runs the race and returns whether it went well, and knows how to take
out the protection that it needs. `Stand` is where it runs: in memory, or before a real Redis.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from evara_core.caching import core as core_module
from evara_core.caching import flights as flights_module
from evara_core.caching.cache import Cache
from evara_core.caching.core import CacheCore
from evara_core.caching.entries import Freshness
from evara_core.caching.filling import Filler
from evara_core.caching.flights import Flight, Flights
from evara_core.caching.holds import Holds
from evara_core.caching.keys import CacheKey
from evara_core.caching.listening import Listener
from evara_core.caching.shared import SharedTier, _Owed
from evara_core.caching.stamps import Counter, Stamp, Stamps
from evara_core.errors import ConfigurationError, UpstreamError
from evara_core.testing import shared_cache
from evara_core.testing.shared_cache import MemorySharedStore, _stamp, _Timed

__all__ = ["RACES", "Case", "Source", "Stand", "read", "turns"]

KEY = CacheKey(region="r", scope="s")
LONG = Freshness(ttl_s=3600, refresh_ahead=0)


class Stand(Protocol):
    """Where races run. Every cache is one of another process."""

    unit_s: float
    """The length of a second: real ones are short."""

    def cache(self, **options: Any) -> Cache:
        """Return a process that has the shared store. It keeps nothing, unless told to."""
        ...

    def single(self) -> Cache:
        """Return a process without others: with a shared store only where that is real."""
        ...

    def hearing(self) -> Cache:
        """Return a process that hears the others, when it is stepped."""
        ...

    async def let_pass(self, units: float) -> None: ...

    async def lose_versions(self) -> None: ...

    async def trim_news(self) -> None: ...

    async def replica(self) -> object:
        """Return the state of a replica that falls behind from now on."""
        ...

    async def fail_over(self, replica: object) -> None: ...


Race = Callable[[Stand], Awaitable[bool]]
TakeOut = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Case:
    """A race, and how to take its protection out."""

    number: int
    run: Race
    take_out: TakeOut
    is_of_the_store: bool
    """The protection is in the store in memory: it cannot be taken out of Redis."""

    def __str__(self) -> str:
        return f"{self.number:02}-{self.run.__name__}-{self.take_out.__name__}"


RACES: list[Case] = []


def race(
    number: int, take_out: TakeOut, *, is_of_the_store: bool = False
) -> Callable[[Race], Race]:
    def note(run: Race) -> Race:
        RACES.append(Case(number, run, take_out, is_of_the_store))
        return run

    return note


class Source:
    """A database that a test changes, and whose answers it can hold back."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.loads = 0
        self.cancelled = 0
        self.door = asyncio.Event()
        self.door.set()

    async def __call__(self) -> bytes:
        self.loads += 1
        seen = self.version
        try:
            await self.door.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return str(seen).encode()

    async def has_begun(self, loads: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.loads < loads:  # noqa: ASYNC110 - a race must not be helped along
                await asyncio.sleep(0.001)


async def read(
    cache: Cache, source: Callable[[], Awaitable[bytes]], freshness: Freshness = LONG
) -> int:
    return int((await cache.get_or_load(KEY, source, freshness=freshness, tags=["a"])).value)


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def hear(cache: Cache) -> None:
    assert cache._listener is not None
    await cache._listener.step()


# How protections are taken out.


def nobody_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flight, "is_joinable", property(lambda _: False))


def leases_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemorySharedStore, "_lease", lambda *_: None)


def who_leaves_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flight, "leave", lambda flight, _: flight.abandon())


def nobody_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flight, "abandon", lambda _: None)


def cancellations_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "UpstreamError", asyncio.CancelledError)


def stamps_hold_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamp, "holds", lambda _: True)


def no_identity_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_: Flights, flight: Flight[bytes]) -> None:
        flight.under_way.pop(flight.name, None)

    monkeypatch.setattr(Flights, "_forget", careless)


def leases_put_always(monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(self, ask, versions, value, *, ttl_s):
        until_s = self._clock.elapsed_s() + ttl_s
        self._entries[ask.key] = (_stamp(versions, ask), _Timed(value, until_s))
        return True

    monkeypatch.setattr(MemorySharedStore, "put_leased", put)


def versions_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    leases_put_always(monkeypatch)
    monkeypatch.setattr(shared_cache, "_stamp", lambda _, ask: ask.schema)
    monkeypatch.setitem(globals(), "_stamp", lambda _, ask: ask.schema)


def schemas_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_cache, "_stamp", lambda versions, _: str(versions))


def nothing_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamps, "learn", lambda *_: None)
    monkeypatch.setattr(Counter, "learn", lambda *_: None)


def told_before_done(monkeypatch: pytest.MonkeyPatch) -> None:
    invalidate = MemorySharedStore.invalidate

    async def early(self, *, keys, tags, origin, settle_s=0.0):
        self._tell(shared_cache.Invalidation(origin=origin, keys=tuple(keys)))
        await turns(200)
        return await invalidate(self, keys=[], tags=[], origin="later") and {}

    monkeypatch.setattr(MemorySharedStore, "invalidate", early)


def always_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "is_heard", property(lambda _: True))


def nothing_is_dropped_for_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamps, "touch_everything", lambda _: None)


def versions_begin_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        MemorySharedStore, "_version", lambda self, tag: self._versions.setdefault(tag, 1)
    )


def nothing_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedTier, "tell_again", lambda _: None)


def entries_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemorySharedStore.put_leased

    async def for_ever(self, ask, versions, value, *, ttl_s):
        return await put(self, ask, versions, value, ttl_s=1e9)

    monkeypatch.setattr(MemorySharedStore, "put_leased", for_ever)


def nothing_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    names = CacheCore.invalidate_names

    async def at_once(self, *, keys, tags=None, settle_s=0.0):
        await names(self, keys=keys, tags=tags)

    monkeypatch.setattr(CacheCore, "invalidate_names", at_once)
    monkeypatch.setattr(Holds, "cover_names", lambda *_: False)


def older_loads_are_not_outranked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> dict[str, int]:
        return {}

    monkeypatch.setattr(SharedTier, "invalidate", nothing)


def refreshes_join_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flights, "join_next", Flights.join)


def one_error_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "_copy_of", lambda error: error)


def no_reentrancy_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flights, "_refuse_circle", lambda *_: frozenset())


def the_callers_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "Context", copy_context)


def one_loop_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way: dict[str, Flight[object]] = {}
    monkeypatch.setattr(Flights, "_under_way", lambda _: under_way)


def closing_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Flights) -> None: ...

    monkeypatch.setattr(Flights, "aclose", nothing)


def leases_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedTier, "release_soon", lambda *_: None)


def leases_end_before_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_module, "_LEASE_MARGIN_S", -25.0)


def nothing_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVARA_TEST_TAKE_OUT", "reset_after_fork")


def nobody_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filler, "_mark", lambda *_: None)
    monkeypatch.setattr(Flight, "mark", lambda _: 0)


def nothing_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Owed, "note", lambda *_: None)


# The races.


@race(1, nobody_joins)
async def many_ask_for_a_cold_key(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    source.door.clear()
    readers = [asyncio.create_task(read(cache, source)) for _ in range(50)]
    await source.has_begun()
    await turns()
    source.door.set()
    return await asyncio.gather(*readers) == [1] * 50 and source.loads == 1


@race(2, leases_for_all, is_of_the_store=True)
async def many_processes_ask_for_a_cold_key(stand: Stand) -> bool:
    caches, source = [stand.cache(lease_wait_s=30) for _ in range(4)], Source()
    source.door.clear()
    readers = [asyncio.create_task(read(cache, source)) for cache in caches for _ in range(5)]
    await source.has_begun()
    await asyncio.sleep(0.02)
    source.door.set()
    return await asyncio.gather(*readers) == [1] * 20 and source.loads == 1


async def some_caller_is_cancelled(stand: Stand, victim: int) -> bool:
    cache, source = stand.single(), Source()
    source.door.clear()
    callers = [asyncio.create_task(read(cache, source)) for _ in range(3)]
    await source.has_begun()
    callers.pop(victim).cancel()
    await turns()
    source.door.set()
    return await asyncio.gather(*callers, return_exceptions=True) == [1, 1]


@race(3, who_leaves_ends_it)
async def the_leader_is_cancelled(stand: Stand) -> bool:
    return await some_caller_is_cancelled(stand, 0)


@race(3, who_leaves_ends_it)
async def a_follower_is_cancelled(stand: Stand) -> bool:
    return await some_caller_is_cancelled(stand, 1)


@race(4, nobody_is_missed)
async def all_callers_are_cancelled(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    source.door.clear()
    callers = [asyncio.create_task(read(cache, source)) for _ in range(3)]
    await source.has_begun()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await turns()
    cancelled = source.cancelled
    source.door.set()
    return cancelled == 1 and await read(cache, source) == 1


@race(5, cancellations_come_through)
async def a_load_dies_of_its_own_cancellation(stand: Stand) -> bool:
    cache = stand.single()

    async def load() -> bytes:
        await turns()
        raise asyncio.CancelledError

    waiting = (asyncio.create_task(read(cache, load)) for _ in range(3))
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    return all(isinstance(each, UpstreamError) for each in answers)


@race(6, stamps_hold_always)
async def an_invalidation_during_a_load(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    source.door.clear()
    early = asyncio.create_task(read(cache, source))
    await source.has_begun()
    source.version = 2
    await cache.invalidate(tags=["a"])
    source.door.set()
    await early
    return await read(cache, source) == 2


@race(6, stamps_hold_always)
async def a_reader_after_an_invalidation(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    source.door.clear()
    early = asyncio.create_task(read(cache, source))
    await source.has_begun()
    source.version = 2
    await cache.invalidate(tags=["a"])
    late = asyncio.create_task(read(cache, source))
    await turns()
    source.door.set()
    await early
    return await late == 2


@race(7, no_identity_check)
async def an_old_load_ends_a_newer_one(stand: Stand) -> bool:
    cache, old, new = stand.single(), Source(), Source()
    old.door.clear()
    new.door.clear()
    early = asyncio.create_task(read(cache, old))
    await old.has_begun()
    await cache.invalidate(KEY)
    late = asyncio.create_task(read(cache, new))
    await new.has_begun()
    old.door.set()
    await early
    later = asyncio.create_task(read(cache, new))
    await turns()
    new.door.set()
    await asyncio.gather(late, later)
    return new.loads == 1


@race(8, leases_put_always, is_of_the_store=True)
async def an_invalidation_elsewhere_during_a_load(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    source.door.clear()
    early = asyncio.create_task(read(one, source))
    await source.has_begun()
    source.version = 2
    await other.invalidate(KEY)
    source.door.set()
    await early
    return await read(other, source) == 2


@race(9, versions_are_not_compared, is_of_the_store=True)
async def an_invalidation_of_a_tag_elsewhere_during_a_load(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    source.door.clear()
    early = asyncio.create_task(read(one, source))
    await source.has_begun()
    source.version = 2
    await other.invalidate(tags=["a"])
    source.door.set()
    await early
    return await read(other, source) == 2


@race(10, nothing_is_learnt)
async def a_message_between_the_read_and_the_keeping(stand: Stand) -> bool:
    one, other, source = stand.hearing(), stand.cache(), Source()
    await hear(one)
    await read(other, source)
    assert one._tier is not None
    store: Any = one._tier._store
    take = store.take

    async def slow(asks: object) -> object:
        del store.take
        found = await take(asks)
        source.version = 2
        await other.invalidate(tags=["a"])
        await hear(one)
        return found

    store.take = slow
    await read(one, source)
    return await read(one, source) == 2


@race(11, told_before_done, is_of_the_store=True)
async def a_message_that_is_faster_than_the_data(stand: Stand) -> bool:
    one, other, source = stand.hearing(), stand.cache(), Source()
    await hear(one)
    await read(one, source)
    source.version = 2
    telling = asyncio.create_task(other.invalidate(KEY))
    for _ in range(5):
        await turns(5)
        await hear(one)
        await read(one, source)
    await telling
    await hear(one)
    return await read(one, source) == 2


@race(12, nothing_is_learnt)
async def the_own_message_and_anothers(stand: Stand) -> bool:
    one, other, source = stand.hearing(), stand.cache(), Source()
    await hear(one)
    await read(one, source)
    source.version = 2
    await one.invalidate(tags=["a"])
    await read(one, source)
    source.version = 3
    await other.invalidate(tags=["a"])
    await hear(one)
    return await read(one, source) == 3


@race(13, always_heard)
async def silence(stand: Stand) -> bool:
    one, other, source = stand.hearing(), stand.cache(), Source()
    await hear(one)
    await read(one, source)
    source.version = 2
    await other.invalidate(tags=["a"])
    await stand.let_pass(16)
    return await read(one, source) == 2


@race(13, nothing_is_dropped_for_a_gap)
async def a_trimmed_stream(stand: Stand) -> bool:
    one, other, source = stand.hearing(), stand.cache(), Source()
    await hear(one)
    await read(one, source)
    source.version = 2
    await other.invalidate(tags=["a"])
    await stand.trim_news()
    await hear(one)
    return await read(one, source) == 2


@race(14, versions_begin_at_one, is_of_the_store=True)
async def a_version_is_lost(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    await read(one, source)
    await stand.let_pass(1)
    source.version = 2
    await other.invalidate(tags=["a"])
    await stand.let_pass(1)
    await stand.lose_versions()
    return await read(one, source) == 2


@race(15, nothing_is_told_again)
async def a_failover_loses_an_invalidation_and_its_teller_notices(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    await read(one, source)
    replica = await stand.replica()
    source.version = 2
    await other.invalidate(tags=["a"])
    await stand.fail_over(replica)
    seen = await read(other, source)
    await read(other, source)
    return seen == 2 and await read(stand.cache(), source) == 2


@race(15, nothing_is_told_again)
async def a_failover_loses_an_invalidation_and_the_stream_shows_it(stand: Stand) -> bool:
    one, source = stand.hearing(), Source()
    await hear(one)
    await read(one, source)
    replica = await stand.replica()
    source.version = 2
    await one.invalidate(KEY)
    await hear(one)
    await stand.fail_over(replica)
    await hear(one)
    await read(one, source)
    return await read(stand.cache(), source) == 2


@race(15, entries_never_end, is_of_the_store=True)
async def a_failover_loses_an_invalidation_and_its_teller_too(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    bounded = Freshness(ttl_s=30 * stand.unit_s, refresh_ahead=0)
    await read(one, source, bounded)
    replica = await stand.replica()
    source.version = 2
    await other.invalidate(tags=["a"])
    await stand.fail_over(replica)
    await stand.let_pass(31)
    return await read(one, source, bounded) == 2


@race(16, nothing_settles)
async def a_replica_of_the_database_is_behind(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    await read(one, source)
    await other.invalidate(tags=["a"], settle_s=20 * stand.unit_s)
    await read(one, source)
    await read(other, source)
    await stand.let_pass(21)
    source.version = 2
    return await read(one, source) == await read(other, source) == 2


async def reload(cache: Cache, source: Source) -> None:
    await cache.cached(ttl=3600, scope="public", region="twice")(source.__call__).refresh()


@race(17, older_loads_are_not_outranked)
async def two_writers_refresh_in_the_other_order(stand: Stand) -> bool:
    one, other, old, new = stand.cache(), stand.cache(), Source(1), Source(2)
    old.door.clear()
    early = asyncio.create_task(reload(one, old))
    await old.has_begun()
    await reload(other, new)
    old.door.set()
    await early
    third = stand.cache().cached(ttl=3600, scope="public", region="twice")(new.__call__)
    return await third() == b"2"


@race(17, refreshes_join_older_ones)
async def a_refresh_after_a_write_meets_one_from_before(stand: Stand) -> bool:
    cache, source = stand.single(), Source(1)
    source.door.clear()
    early = asyncio.create_task(reload(cache, source))
    await source.has_begun()
    source.version = 2
    late = asyncio.create_task(reload(cache, source))
    await turns()
    source.door.set()
    await asyncio.gather(early, late)
    call = cache.cached(ttl=3600, scope="public", region="twice")(source.__call__)
    return await call() == b"2"


@race(18, stamps_hold_always)
async def an_invalidation_during_a_background_refresh(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    early = Freshness(ttl_s=20 * stand.unit_s, stale_for_s=3600, refresh_ahead=0, jitter=0)
    await read(cache, source, early)
    await stand.let_pass(21)
    source.door.clear()
    await read(cache, source, early)
    await source.has_begun(2)
    source.version = 2
    await cache.invalidate(tags=["a"])
    source.door.set()
    await turns()
    return await read(cache, source, early) == 2


@race(19, stamps_hold_always)
async def a_load_fails_after_an_invalidation(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    lasting = Freshness(ttl_s=3600, stale_on_error_s=3600, refresh_ahead=0)
    await read(cache, source, lasting)
    await cache.invalidate(tags=["a"])

    async def fail() -> bytes:
        raise UpstreamError("away")

    try:
        await read(cache, fail, lasting)
    except UpstreamError:
        return True
    return False


@race(20, one_error_for_all)
async def one_error_reaches_many(stand: Stand) -> bool:
    cache, source = stand.single(), Source()

    async def fail() -> bytes:
        await turns()
        raise UpstreamError("away")

    waiting = (asyncio.create_task(read(cache, fail)) for _ in range(3))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    all_failed = all(isinstance(each, UpstreamError) for each in errors)
    return all_failed and len(set(map(id, errors))) == 3 and await read(cache, source) == 1


@race(21, no_reentrancy_check)
async def a_load_asks_for_its_own_key(stand: Stand) -> bool:
    cache = stand.single()

    async def load() -> bytes:
        return str(await read(cache, load)).encode()

    try:
        await asyncio.wait_for(read(cache, load), 0.5)
    except TimeoutError:
        return False
    except ConfigurationError:
        return True
    return False


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@race(22, the_callers_context)
async def a_load_runs_for_more_than_its_first_caller(stand: Stand) -> bool:
    cache = stand.single()
    tenant.set("the first caller")

    async def load() -> bytes:
        return tenant.get().encode()

    return (await cache.get_or_load(KEY, load)).value == b"nobody"


@race(23, one_loop_for_all)
async def another_loop_asks_meanwhile(stand: Stand) -> bool:
    # A client of Redis belongs to one loop, so this is a race of what is in this process.
    cache, source, answers = Cache(), Source(), list[object]()
    source.door.clear()
    here = asyncio.create_task(read(cache, source))
    await source.has_begun()

    def elsewhere() -> None:
        async def ask() -> None:
            answers.append(await asyncio.wait_for(read(cache, Source(7)), 2))

        try:
            asyncio.run(ask())
        except Exception as error:  # noqa: BLE001 - what goes wrong is the answer
            answers.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    source.door.set()
    return answers == [7] and await here == 1


@race(24, closing_ends_nothing)
async def a_cache_is_closed_during_a_load(stand: Stand) -> bool:
    cache, source = stand.single(), Source()
    source.door.clear()
    waiting = asyncio.create_task(read(cache, source))
    await source.has_begun()
    await cache.aclose()
    is_over = source.cancelled == 1
    source.door.set()
    [answer] = await asyncio.gather(waiting, return_exceptions=True)
    return is_over and isinstance(answer, UpstreamError)


@race(25, leases_are_kept)
async def a_caller_is_cancelled_while_redis_is_asked(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    assert one._tier is not None
    store: Any = one._tier._store
    take, asked, answered = store.take, asyncio.Event(), asyncio.Event()

    async def slow(asks: object) -> object:
        del store.take
        found = await take(asks)
        asked.set()
        await turns()
        answered.set()
        return found

    store.take = slow
    caller = asyncio.create_task(read(one, source))
    await asked.wait()
    caller.cancel()
    async with asyncio.timeout(2):
        await answered.wait()
    await asyncio.gather(caller, return_exceptions=True)
    await one.aclose()
    return await read(other, source) == 1 and other.stats.waits == 0


@race(25, leases_are_kept)
async def a_load_fails_and_holds_a_lease(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()

    async def fail() -> bytes:
        raise UpstreamError("away")

    with pytest.raises(UpstreamError):
        await read(one, fail)
    await one.aclose()
    await read(other, source)
    return other.stats.waits == 0


@race(26, leases_end_before_loads)
async def a_load_takes_as_long_as_it_may(stand: Stand) -> bool:
    options = {"load_deadline_s": 30.0, "lease_wait_s": 60.0}
    source = Source()
    if stand.unit_s < 1:
        # Leases end by the clock of Redis: 0.4 s for a load that may take 25.4 s less a margin.
        options["load_deadline_s"] = 25.4
    one, other = stand.cache(**options), stand.cache(**options)
    source.door.clear()
    early = asyncio.create_task(read(one, source))
    await source.has_begun()
    await stand.let_pass(29 if stand.unit_s == 1 else 60)
    late = asyncio.create_task(read(other, source))
    await asyncio.sleep(0.1)
    source.door.set()
    return await asyncio.gather(early, late) == [1, 1] and source.loads == 1


FORK = textwrap.dedent(
    """
    import asyncio, os, sys
    from evara_core.caching.cache import Cache
    from evara_core.caching.core import CacheCore
    from evara_core.caching.keys import CacheKey

    if os.environ.get("EVARA_TEST_TAKE_OUT"):
        CacheCore.reset_after_fork = lambda self: None
    cache, key = Cache(), CacheKey(region="r", scope="s")

    async def load():
        return b"of " + str(os.getpid()).encode()

    asyncio.run(cache.get_or_load(key, load))
    cache.memory.lock.acquire()
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if cache.peek(key) is not None or cache.memory.lock.locked():
        os._exit(1)
    asyncio.run(cache.get_or_load(key, load))
    os._exit(0)
    """
)


@race(27, nothing_is_reset)
async def a_process_forks(stand: Stand) -> bool:
    child = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FORK],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    return child.returncode == 0


@race(28, schemas_are_not_compared, is_of_the_store=True)
async def two_versions_of_a_program_share_a_store(stand: Stand) -> bool:
    async def before() -> int:
        return 1

    async def after() -> float:
        return 2.0

    answers = []
    for function in (before, after, before):
        call: Any = stand.cache().cached(ttl=60, scope="public", region="same")(function)
        answers.append(await call())
    return answers == [1, 2.0, 1]


@race(29, nobody_is_marked)
async def who_joins_a_load_where_nothing_is_heard(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    source.door.clear()
    early = asyncio.create_task(read(one, source))
    await source.has_begun()
    source.version = 2
    await other.invalidate(tags=["a"])
    late = asyncio.create_task(read(one, source))
    await turns()
    source.door.set()
    await early
    return await late == 2


@race(30, nothing_is_owed)
async def an_invalidation_that_is_not_told(stand: Stand) -> bool:
    one, other, source = stand.cache(), stand.cache(), Source()
    await read(one, source)
    source.version = 2
    assert one._tier is not None
    store: Any = one._tier._store
    invalidate = store.invalidate

    async def away(**_: object) -> None:
        raise UpstreamError("away")

    store.invalidate = away
    await one.invalidate(tags=["a"])
    store.invalidate = invalidate
    await read(one, source)
    return await read(other, source) == 2
