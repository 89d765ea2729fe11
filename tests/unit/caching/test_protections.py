"""Each protection is needed: with it a race goes well, and taken out it goes wrong.

Otherwise a test of a race might pass because the race does not happen in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from evara_core.caching import flights as flights_module
from evara_core.caching.cache import Cache
from evara_core.caching.entries import Freshness
from evara_core.caching.filling import Filler
from evara_core.caching.flights import Flight, Flights
from evara_core.caching.keys import CacheKey
from evara_core.caching.listening import Listener
from evara_core.caching.shared import SharedTier, _Owed
from evara_core.caching.stamps import Counter, Stamp, Stamps
from evara_core.errors import ConfigurationError, UpstreamError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore, _stamp, _Timed

KEY = CacheKey(region="r", scope="s")
FRESHNESS = Freshness(ttl_s=60, refresh_ahead=0)
Race = Callable[[ManualClock], Awaitable[bool]]
"""Runs a race; returns whether it went well."""


class Source:
    def __init__(self) -> None:
        self.version = 1
        self.loads = 0
        self.door = asyncio.Event()
        self.door.set()

    async def __call__(self) -> bytes:
        self.loads += 1
        seen = self.version
        await self.door.wait()
        return str(seen).encode()


async def read(cache: Cache, source: Callable[[], Awaitable[bytes]]) -> int:
    return int((await cache.get_or_load(KEY, source, freshness=FRESHNESS, tags=["a"])).value)


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def shared_cache(shared: MemorySharedStore, clock: ManualClock, **options: object) -> Cache:
    return Cache(l2=shared, clock=clock, chance=lambda: 0.5, **({"unheard_ttl_s": 0.0} | options))


async def invalidation_during_a_load(clock: ManualClock) -> bool:
    cache, source = Cache(clock=clock), Source()
    source.door.clear()
    early = asyncio.create_task(read(cache, source))
    await turns()
    source.version = 2
    await cache.invalidate(tags=["a"])
    source.door.set()
    await early
    return await read(cache, source) == 2


async def reader_after_an_invalidation(clock: ManualClock) -> bool:
    cache, source = Cache(clock=clock), Source()
    source.door.clear()
    early = asyncio.create_task(read(cache, source))
    await turns()
    source.version = 2
    await cache.invalidate(tags=["a"])
    late = asyncio.create_task(read(cache, source))
    await turns()
    source.door.set()
    await early
    return await late == 2


async def leader_is_cancelled(clock: ManualClock) -> bool:
    cache, source = Cache(clock=clock), Source()
    source.door.clear()
    callers = [asyncio.create_task(read(cache, source)) for _ in range(3)]
    await turns()
    callers[0].cancel()
    await turns()
    source.door.set()
    answers = await asyncio.gather(*callers[1:], return_exceptions=True)
    return answers == [1, 1]


async def load_asks_for_its_own_key(clock: ManualClock) -> bool:
    cache = Cache(clock=clock)

    async def load() -> bytes:
        return str(await read(cache, load)).encode()

    try:
        await asyncio.wait_for(read(cache, load), 0.05)
    except TimeoutError:
        return False
    except ConfigurationError:
        return True
    return False


async def old_load_ends_a_newer_one(clock: ManualClock) -> bool:
    cache, old, new = Cache(clock=clock), Source(), Source()
    old.door.clear()
    new.door.clear()
    early = asyncio.create_task(read(cache, old))
    await turns()
    await cache.invalidate(KEY)
    late = asyncio.create_task(read(cache, new))
    await turns()
    old.door.set()
    await early
    later = asyncio.create_task(read(cache, new))
    await turns()
    new.door.set()
    await asyncio.gather(late, later)
    return new.loads == 1


async def invalidation_elsewhere_during_a_load(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one, other, source = (*(shared_cache(shared, clock) for _ in range(2)), Source())
    source.door.clear()
    early = asyncio.create_task(read(one, source))
    await turns()
    source.version = 2
    await other.invalidate(KEY)
    source.door.set()
    await early
    return await read(other, source) == 2


async def joining_a_load_where_nothing_is_heard(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one, other, source = (*(shared_cache(shared, clock) for _ in range(2)), Source())
    source.door.clear()
    early = asyncio.create_task(read(one, source))
    await turns()
    source.version = 2
    await other.invalidate(tags=["a"])
    late = asyncio.create_task(read(one, source))
    await turns()
    source.door.set()
    await early
    return await late == 2


async def invalidation_that_is_not_told(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one, other, source = (*(shared_cache(shared, clock) for _ in range(2)), Source())
    await read(one, source)
    source.version = 2
    shared.is_away = True
    await one.invalidate(tags=["a"])
    shared.is_away = False
    await read(one, source)
    return await read(other, source) == 2


async def message_between_read_and_keeping(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one = shared_cache(shared, clock, backplane=shared, beat_every_s=0.0)
    other, source = shared_cache(shared, clock), Source()
    assert one._listener is not None
    await one._listener.step()
    await read(other, source)
    take = shared.take

    async def slow(asks: object) -> object:
        del shared.take
        found = await take(asks)  # type: ignore[arg-type] - as it came
        source.version = 2
        await other.invalidate(tags=["a"])
        await one._listener.step()  # type: ignore[union-attr] - checked above
        return found

    shared.take = slow  # type: ignore[method-assign,assignment] - the moment between two steps
    await read(one, source)
    return await read(one, source) == 2


async def silence(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one = shared_cache(shared, clock, backplane=shared, beat_every_s=0.0)
    other, source = shared_cache(shared, clock), Source()
    assert one._listener is not None
    await one._listener.step()
    await read(one, source)
    source.version = 2
    await other.invalidate(tags=["a"])
    clock.advance(16)
    return await read(one, source) == 2


async def trimmed_stream(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one = shared_cache(shared, clock, backplane=shared, beat_every_s=0.0)
    other, source = shared_cache(shared, clock), Source()
    assert one._listener is not None
    await one._listener.step()
    await read(one, source)
    source.version = 2
    await other.invalidate(tags=["a"])
    shared.lose_news(2)
    await one._listener.step()
    return await read(one, source) == 2


async def lease_of_a_load_that_failed(clock: ManualClock) -> bool:
    shared = MemorySharedStore(clock=clock)
    one, other, source = (*(shared_cache(shared, clock) for _ in range(2)), Source())

    async def fail() -> bytes:
        raise UpstreamError("away")

    with pytest.raises(UpstreamError):
        await read(one, fail)
    await turns()
    await read(other, source)
    return other.stats.waits == 0


def who_leaves_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flight, "leave", lambda flight, _: flight.abandon())


def no_reentrancy_check(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def get(self) -> frozenset[object]:
            return frozenset()

        def set(self, _: object) -> None:
            pass

    monkeypatch.setattr(flights_module, "_LOADING", Nothing())


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


def nothing_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Owed, "note", lambda *_: None)


def stamps_hold_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamp, "holds", lambda _: True)


def nothing_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamps, "learn", lambda *_: None)
    monkeypatch.setattr(Counter, "learn", lambda *_: None)


def nothing_is_dropped_for_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamps, "touch_everything", lambda _: None)


def always_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "is_heard", property(lambda _: True))


def nobody_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filler, "_mark", lambda *_: None)
    monkeypatch.setattr(Flight, "mark", lambda _: 0)


def leases_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedTier, "release_soon", lambda *_: None)


CASES: list[tuple[Race, Callable[[pytest.MonkeyPatch], None]]] = [
    (invalidation_during_a_load, stamps_hold_always),
    (reader_after_an_invalidation, stamps_hold_always),
    (leader_is_cancelled, who_leaves_ends_it),
    (load_asks_for_its_own_key, no_reentrancy_check),
    (old_load_ends_a_newer_one, no_identity_check),
    (invalidation_elsewhere_during_a_load, leases_put_always),
    (joining_a_load_where_nothing_is_heard, nobody_is_marked),
    (invalidation_that_is_not_told, nothing_is_owed),
    (message_between_read_and_keeping, nothing_is_learnt),
    (silence, always_heard),
    (trimmed_stream, nothing_is_dropped_for_a_gap),
    (lease_of_a_load_that_failed, leases_are_kept),
]
named = pytest.mark.parametrize(
    ("race", "take_out"), CASES, ids=[f"{race.__name__}-{how.__name__}" for race, how in CASES]
)


@named
async def test_with_its_protection_the_race_goes_well(
    race: Race, take_out: object, clock: ManualClock
) -> None:
    assert await race(clock)


@named
async def test_without_it_the_race_goes_wrong(
    race: Race,
    take_out: Callable[[pytest.MonkeyPatch], None],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_out(monkeypatch)

    assert not await race(clock)
