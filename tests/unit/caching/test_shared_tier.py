"""The shared side, made harmless: away, slow to come back, and never wrong."""

from __future__ import annotations

import asyncio

import pytest

from evara_core.caching.breaker import Breaker
from evara_core.caching.cache import Cache
from evara_core.caching.keys import CacheKey
from evara_core.caching.ports import Ask, Turn
from evara_core.caching.shared import EVERYTHING, SharedTier
from evara_core.errors import UpstreamError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore

KEY = CacheKey(region="r", scope="s")


@pytest.fixture
def shared(clock: ManualClock) -> MemorySharedStore:
    return MemorySharedStore(clock=clock)


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker(clock=clock, chance=lambda: 0.5)


@pytest.fixture
def tier(shared: MemorySharedStore, breaker: Breaker) -> SharedTier:
    return SharedTier(shared, breaker=breaker)


def ask(key: str = "k", token: str = "mine", *tags: str) -> Ask:
    return Ask(key=key, tags=tags, schema="s", token=token, lease_s=60)


def process(shared: MemorySharedStore, clock: ManualClock, **options: float) -> Cache:
    """A cache as another process has it. It keeps nothing of its own, unless it is told."""
    return Cache(l2=shared, clock=clock, chance=lambda: 0.5, **({"unheard_ttl_s": 0} | options))


class Source:
    def __init__(self, value: bytes = b"1") -> None:
        self.value = value
        self.loads = 0
        self.door = asyncio.Event()
        self.door.set()

    async def __call__(self) -> bytes:
        self.loads += 1
        value = self.value
        await self.door.wait()
        return value


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def value_of(cache: Cache, source: Source) -> bytes:
    return (await cache.get_or_load(KEY, source, ttl_s=60, tags=["a"])).value


async def test_looks_of_one_turn_go_out_together(
    tier: SharedTier, shared: MemorySharedStore
) -> None:
    found = await asyncio.gather(*(tier.take(ask(str(n), str(n))) for n in range(300)))

    assert all(taken is not None and taken.turn is Turn.YOURS for taken in found)
    assert shared.calls == tier.batches == 3, "128 at most in each"


async def test_five_failures_open_the_breaker_and_then_nobody_waits(
    tier: SharedTier, shared: MemorySharedStore
) -> None:
    shared.is_away = True

    for _ in range(20):
        assert await tier.take(ask()) is None

    assert shared.calls == tier.failures == 5
    assert tier.is_away


async def test_one_try_at_a_time_ever_further_apart(
    tier: SharedTier, shared: MemorySharedStore, clock: ManualClock
) -> None:
    shared.is_away = True
    for _ in range(5):
        await tier.take(ask())

    tried_at = []
    for second in range(100):
        clock.advance(1)
        before = shared.calls
        await asyncio.gather(*(tier.take(ask()) for _ in range(10)))
        await tier.take(ask())
        if shared.calls > before:
            assert shared.calls == before + 1
            tried_at.append(second + 1)

    assert tried_at == [1, 3, 7, 15, 31, 61, 91]


async def test_an_answer_closes_it(
    tier: SharedTier, shared: MemorySharedStore, clock: ManualClock
) -> None:
    shared.is_away = True
    for _ in range(5):
        await tier.take(ask())
    shared.is_away = False

    assert await tier.take(ask()) is None
    clock.advance(1)

    assert await tier.take(ask()) is not None
    assert not tier.is_away


async def test_a_try_that_is_given_up_lets_the_next_one_try(
    breaker: Breaker, clock: ManualClock
) -> None:
    for _ in range(5):
        breaker.failed()
    clock.advance(1)
    assert breaker.may_try()
    assert not breaker.may_try()

    breaker.gave_up()

    assert breaker.may_try()


async def test_an_invalidation_that_was_not_told_is_told_before_anything_is_believed(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    cache, source = process(shared, clock), Source(b"old")
    await value_of(cache, source)
    source.value = b"new"

    shared.is_away = True
    await cache.invalidate(tags=["a"])
    assert await value_of(cache, source) == b"new"
    shared.is_away = False

    assert await value_of(cache, source) == b"new"
    assert await value_of(process(shared, clock), source) == b"new"


async def test_an_invalidation_whose_answer_was_lost_is_told_again(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    cache, source = process(shared, clock), Source(b"old")
    await value_of(cache, source)
    source.value = b"new"

    shared.is_lossy = True
    await cache.invalidate(KEY)
    shared.is_lossy = False

    assert await value_of(cache, source) == b"new"
    assert await value_of(process(shared, clock), source) == b"new"


async def test_an_invalidation_whose_caller_was_cancelled_is_told_too(
    tier: SharedTier, shared: MemorySharedStore
) -> None:
    shared_invalidate = shared.invalidate

    async def slow(**what: object) -> dict[str, int]:
        await asyncio.sleep(60)
        return await shared_invalidate(**what)

    shared.invalidate = slow  # type: ignore[method-assign] - a network that hangs
    caller = asyncio.create_task(tier.invalidate(keys=["k"], tags=[]))
    await turns()
    caller.cancel()
    await turns()
    del shared.invalidate

    assert tier.is_away
    await tier.take(ask())
    assert not tier.is_away


async def test_what_is_owed_is_bounded_and_then_everything_is_dropped(
    tier: SharedTier, shared: MemorySharedStore
) -> None:
    shared.is_away = True
    for number in range(10_001):
        await tier.invalidate(keys=[f"key-{number}"], tags=[])
    shared.is_away = False
    tier._breaker.succeeded()
    position = await shared.position()

    await tier.take(ask())

    [told] = (await shared.read(position, wait_s=0)).invalidations
    assert (told.keys, list(told.tags)) == ((), [EVERYTHING])


async def test_an_invalidation_noted_while_others_are_told_is_not_struck_out(
    tier: SharedTier, shared: MemorySharedStore
) -> None:
    shared.is_away = True
    await tier.invalidate(keys=["k"], tags=["a"])
    shared.is_away = False
    shared_invalidate = shared.invalidate

    async def meanwhile(**what: object) -> dict[str, int]:
        del shared.invalidate
        told = await shared_invalidate(**what)
        shared.is_away = True
        await tier.invalidate(keys=["k"], tags=[])
        shared.is_away = False
        return told

    shared.invalidate = meanwhile  # type: ignore[method-assign] - the moment between two steps
    await tier.take(ask())

    assert tier.is_away, "the second one is still owed"


async def test_a_lease_that_nobody_waits_for_any_more_is_given_back(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    cache, source = process(shared, clock), Source()
    for pause in range(8):
        caller = asyncio.create_task(value_of(cache, source))
        await turns(pause)
        caller.cancel()
        await turns()

        [taken] = await shared.take([ask(KEY.text, f"probe-{pause}")])
        assert taken.turn is Turn.YOURS, f"cancelled after {pause} turns"
        await shared.release(ask(KEY.text, f"probe-{pause}"))
        await shared.invalidate(keys=[KEY.text], tags=[], origin="test")
        await cache.aclose()
        cache = process(shared, clock)


async def test_a_load_that_fails_gives_its_lease_back(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    async def fail() -> bytes:
        raise UpstreamError("database away")

    with pytest.raises(UpstreamError, match="database"):
        await process(shared, clock).get_or_load(KEY, fail, ttl_s=60, tags=["a"])
    await turns()

    source = Source()
    assert await value_of(process(shared, clock), source) == b"1"
    assert source.loads == 1


async def test_processes_load_one_after_the_other_and_the_others_get_it(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    source = Source()
    source.door.clear()
    callers = [asyncio.create_task(value_of(process(shared, clock), source)) for _ in range(4)]
    await turns()
    source.door.set()

    assert await asyncio.gather(*callers) == [b"1"] * 4
    assert source.loads == 1


async def test_who_has_waited_long_enough_loads_and_keeps_it_to_himself(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    await shared.take([ask(KEY.text, "a process that was killed")])
    source = Source()

    assert await value_of(process(shared, clock, lease_wait_s=0.02), source) == b"1"

    [taken] = await shared.take([ask(KEY.text, "probe")])
    assert taken.turn is Turn.ANOTHERS


async def test_an_invalidation_by_another_process_during_a_load_is_not_lost(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    for how in ({"tags": ["a"]}, {"keys": True}):
        cache, source = process(shared, clock), Source(b"old")
        source.door.clear()
        early = asyncio.create_task(value_of(cache, source))
        await turns()

        source.value = b"new"
        other = process(shared, clock)
        await (other.invalidate(tags=["a"]) if "tags" in how else other.invalidate(KEY))
        source.door.set()

        assert await early == b"old"
        assert await value_of(process(shared, clock), source) == b"new"
        await other.invalidate(KEY)


async def test_a_lost_version_costs_a_load_and_never_revives_what_was(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    cache, source = process(shared, clock), Source(b"old")
    await value_of(cache, source)
    clock.advance(1)
    await cache.invalidate(tags=["a"])
    source.value = b"new"
    clock.advance(1)

    shared.lose_versions()

    assert await value_of(cache, source) == b"new"


async def test_what_another_version_of_the_program_has_put_is_not_there(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    async def number() -> int:
        return 1

    async def text() -> str:
        return "one"

    answers = []
    for function in (number, text, number):
        cache = process(shared, clock)
        call = cache.cached(ttl=60, scope="public", region="same")(function)
        answers.append(await call())

    assert answers == [1, "one", 1]


async def test_garbage_in_the_store_is_loaded_anew(
    shared: MemorySharedStore, clock: ManualClock
) -> None:
    cache, source = process(shared, clock), Source()
    await value_of(cache, source)
    for key, (stamp, timed) in list(shared._entries.items()):
        for garbage in (b"", b"EV1", b"XXX" + timed.value[3:], b"EV1\xff" + timed.value[4:]):
            timed.value = garbage
            shared._entries[key] = (stamp, timed)

            assert await value_of(process(shared, clock), source) == b"1"


class TestHearing:
    """What other processes invalidate reaches what this one keeps."""

    @pytest.fixture
    def cache(self, shared: MemorySharedStore, clock: ManualClock) -> Cache:
        return Cache(
            l2=shared,
            backplane=shared,
            clock=clock,
            chance=lambda: 0.5,
            beat_every_s=0.0,
            deaf_after_s=15,
        )

    async def hear(self, cache: Cache) -> None:
        assert cache._listener is not None
        await cache._listener.step()

    async def kept(self, cache: Cache, source: Source) -> bool:
        loads = source.loads
        await value_of(cache, source)
        await value_of(cache, source)
        return source.loads == loads

    async def test_until_it_hears_itself_it_keeps_nothing_for_long(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        source = Source()
        await value_of(cache, source)

        assert not cache.is_heard
        assert cache.peek(KEY) == b"1"
        clock.advance(1)
        assert cache.peek(KEY) is None
        await self.hear(cache)
        await value_of(cache, source)
        clock.advance(10)
        assert cache.is_heard
        assert cache.peek(KEY) == b"1"

    async def test_a_tag_that_another_process_drops_is_dropped_here(
        self, cache: Cache, shared: MemorySharedStore, clock: ManualClock
    ) -> None:
        source = Source(b"old")
        await self.hear(cache)
        await value_of(cache, source)

        source.value = b"new"
        await process(shared, clock).invalidate(tags=["a"])
        assert await value_of(cache, source) == b"old", "the message has not come yet"
        await self.hear(cache)

        assert await value_of(cache, source) == b"new"

    async def test_so_is_a_key(
        self, cache: Cache, shared: MemorySharedStore, clock: ManualClock
    ) -> None:
        source = Source(b"old")
        await self.hear(cache)
        await value_of(cache, source)
        source.value = b"new"

        await process(shared, clock).invalidate(KEY)
        await self.hear(cache)

        assert await value_of(cache, source) == b"new"

    async def test_a_message_that_comes_between_the_read_and_the_keeping_is_not_lost(
        self, cache: Cache, shared: MemorySharedStore, clock: ManualClock
    ) -> None:
        source = Source(b"old")
        await self.hear(cache)
        await value_of(process(shared, clock), source)
        shared_take = shared.take

        async def slow(asks: object) -> object:
            del shared.take
            found = await shared_take(asks)
            source.value = b"new"
            await process(shared, clock).invalidate(tags=["a"])
            await self.hear(cache)
            return found

        shared.take = slow  # type: ignore[method-assign] - the moment between two steps

        assert await value_of(cache, source) == b"new", "it looks again"
        assert await value_of(cache, source) == b"new"

    async def test_the_own_message_does_not_swallow_anothers(
        self, cache: Cache, shared: MemorySharedStore, clock: ManualClock
    ) -> None:
        source = Source(b"1")
        await self.hear(cache)
        await value_of(cache, source)

        source.value = b"2"
        await cache.invalidate(tags=["a"])
        await value_of(cache, source)
        source.value = b"3"
        await process(shared, clock).invalidate(tags=["a"])
        await self.hear(cache)

        assert await value_of(cache, source) == b"3"

    async def test_the_own_message_drops_nothing_that_was_loaded_after(
        self, cache: Cache, shared: MemorySharedStore
    ) -> None:
        source = Source()
        await self.hear(cache)
        await cache.invalidate(tags=["a"])
        await value_of(cache, source)
        calls = shared.calls

        await self.hear(cache)

        await value_of(cache, source)
        assert shared.calls == calls + 3, "a beat, a read and its position, no look"

    @pytest.mark.parametrize("how", ["trimmed", "flushed"])
    async def test_a_gap_drops_all_that_is_kept(
        self, cache: Cache, shared: MemorySharedStore, clock: ManualClock, how: str
    ) -> None:
        source = Source(b"old")
        await self.hear(cache)
        await value_of(cache, source)
        source.value = b"new"
        await process(shared, clock).invalidate(tags=["a"])
        clock.advance(1)

        if how == "trimmed":
            shared.lose_news(2)
            await shared.beat("somebody")
        else:
            shared.flush()
        await self.hear(cache)

        assert cache.stats.gaps == 1
        assert await value_of(cache, source) == b"new"

    async def test_silence_is_noticed_and_what_is_kept_is_dropped(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        source = Source(b"old")
        await self.hear(cache)
        await value_of(cache, source)

        clock.advance(15)

        assert not cache.is_heard
        assert cache.peek(KEY) is None

    async def test_what_was_missed_while_the_backplane_was_away_is_read_afterwards(
        self, cache: Cache, shared: MemorySharedStore, clock: ManualClock
    ) -> None:
        source = Source(b"old")
        await self.hear(cache)
        await value_of(cache, source)

        shared.is_away = True
        with pytest.raises(UpstreamError):
            await self.hear(cache)
        shared.is_away = False
        source.value = b"new"
        await process(shared, clock).invalidate(tags=["a"])
        await self.hear(cache)

        assert cache.stats.gaps == 0
        assert await value_of(cache, source) == b"new"

    async def test_listening_goes_on_through_an_outage(
        self, cache: Cache, shared: MemorySharedStore
    ) -> None:
        assert cache._listener is not None
        cache._listener._retry_after_s = 0.001
        shared.is_away = True
        listening = asyncio.create_task(cache.listen())
        await asyncio.sleep(0.01)
        assert not cache.is_heard
        shared.is_away = False
        await asyncio.sleep(0.02)

        assert cache.is_heard
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
