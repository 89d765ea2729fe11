"""How old an answer may get: fresh, refreshed ahead, stale while another is loaded, stale for
want of a better one. The same in this process alone and with a shared store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from evara_core.caching.cache import Cache
from evara_core.caching.codecs import JsonCodec
from evara_core.caching.entries import Freshness
from evara_core.caching.keys import CacheKey
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamRefusedError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore

KEY = CacheKey(region="r", scope="s")


@pytest.fixture(params=["alone", "shared"])
def cache(request: pytest.FixtureRequest, clock: ManualClock) -> Cache:
    l2 = MemorySharedStore(clock=clock) if request.param == "shared" else None
    return Cache(l2=l2, clock=clock, chance=lambda: 0.5, unheard_ttl_s=1000)


class Source:
    def __init__(self) -> None:
        self.value: object = b"1"
        self.loads = 0

    async def __call__(self) -> object:
        self.loads += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.fixture
def source() -> Source:
    return Source()


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def fresh(**times: float) -> Freshness:
    return Freshness(**({"ttl_s": 100, "jitter": 0, "refresh_ahead": 0} | times))


async def test_the_first_who_asks_late_sets_off_a_load_and_nobody_waits(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(refresh_ahead=0.2)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = b"2"
    clock.advance(81)

    served = [await cache.get_or_load(KEY, source, freshness=freshness) for _ in range(3)]
    await turns()
    after = await cache.get_or_load(KEY, source, freshness=freshness)

    assert [each.value for each in served] == [b"1"] * 3
    assert not served[0].is_stale
    assert after.value == b"2"
    assert source.loads == 2


async def test_before_that_time_nothing_is_set_off(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(refresh_ahead=0.2)
    await cache.get_or_load(KEY, source, freshness=freshness)
    clock.advance(79)

    await cache.get_or_load(KEY, source, freshness=freshness)
    await turns()

    assert source.loads == 1


async def test_a_stale_answer_is_served_while_one_load_fetches_a_new_one(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(stale_for_s=50)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = b"2"
    clock.advance(149)

    stale = await cache.get_or_load(KEY, source, freshness=freshness)
    await turns()
    after = await cache.get_or_load(KEY, source, freshness=freshness)

    assert (stale.value, stale.is_stale) == (b"1", True)
    assert (after.value, after.is_stale) == (b"2", False)
    assert source.loads == 2


async def test_what_is_older_than_that_is_not_served(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(stale_for_s=50)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = b"2"
    clock.advance(150)

    assert (await cache.get_or_load(KEY, source, freshness=freshness)).value == b"2"


async def test_a_background_load_that_fails_is_not_tried_by_everybody(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(stale_for_s=50)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = UpstreamError("away")
    clock.advance(101)

    for _ in range(20):
        assert (await cache.get_or_load(KEY, source, freshness=freshness)).value == b"1"
        await turns()

    assert source.loads == 2


async def test_for_want_of_a_better_one_an_old_answer_is_served_and_the_next_try_waits(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(stale_on_error_s=1000, retry_after_s=5)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = UpstreamError("away")
    clock.advance(500)

    served = [await cache.get_or_load(KEY, source, freshness=freshness) for _ in range(3)]

    assert [each.value for each in served] == [b"1"] * 3
    assert all(each.is_stale for each in served)
    assert source.loads == 2
    source.value = b"2"
    clock.advance(5)
    assert (await cache.get_or_load(KEY, source, freshness=freshness)).value == b"2"


@pytest.mark.parametrize(
    "error", [UpstreamRefusedError("no"), ValueError("a bug"), ConfigurationError("wrong")]
)
async def test_an_error_that_will_not_pass_is_not_papered_over(
    cache: Cache, source: Source, clock: ManualClock, error: Exception
) -> None:
    freshness = fresh(stale_on_error_s=1000)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = error
    clock.advance(500)

    with pytest.raises(type(error)):
        await cache.get_or_load(KEY, source, freshness=freshness)


async def test_an_invalidation_outranks_an_old_answer(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(stale_for_s=500, stale_on_error_s=1000)
    await cache.get_or_load(KEY, source, freshness=freshness)
    source.value = UpstreamError("away")

    await cache.invalidate(KEY)

    with pytest.raises(UpstreamError):
        await cache.get_or_load(KEY, source, freshness=freshness)
    clock.advance(200)
    with pytest.raises(UpstreamError):
        await cache.get_or_load(KEY, source, freshness=freshness)


async def test_an_invalidation_while_the_load_fails_outranks_it_too(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    freshness = fresh(stale_on_error_s=1000)
    await cache.get_or_load(KEY, source, freshness=freshness)
    clock.advance(500)

    async def fail() -> bytes:
        await cache.invalidate(KEY)
        raise UpstreamError("away")

    with pytest.raises(UpstreamError):
        await cache.get_or_load(KEY, fail, freshness=freshness)


@pytest.mark.parametrize(("none_ttl_s", "loads"), [(None, 1), (10.0, 2), (0.0, 4)])
async def test_none_is_an_answer_with_a_time_of_its_own(
    cache: Cache, source: Source, clock: ManualClock, none_ttl_s: float | None, loads: int
) -> None:
    freshness = fresh() if none_ttl_s is None else fresh(none_ttl_s=none_ttl_s)
    source.value = None

    for _ in range(2):
        assert (await cache.get_or_load(KEY, source, freshness=freshness)).value is None
    clock.advance(20)
    for _ in range(2):
        await cache.get_or_load(KEY, source, freshness=freshness)

    assert source.loads == loads


async def test_times_differ_by_chance(clock: ManualClock) -> None:
    chances = iter([0.0, 1.0])
    cache = Cache(clock=clock, chance=lambda: next(chances))
    source = Source()
    for name in "ab":
        await cache.get_or_load(
            CacheKey(region="r", scope="s", name=name), source, freshness=fresh(jitter=0.1)
        )

    clock.advance(95)

    assert cache.peek(CacheKey(region="r", scope="s", name="a")) == b"1"
    assert cache.peek(CacheKey(region="r", scope="s", name="b")) is None


@pytest.mark.parametrize(
    "times",
    [
        {"ttl_s": 0},
        {"ttl_s": -1},
        {"stale_for_s": -1},
        {"refresh_ahead": 1},
        {"jitter": -0.1},
        {"retry_after_s": -1},
    ],
)
def test_times_that_make_no_sense_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        fresh(**times)


@dataclass(frozen=True)
class Frozen:
    label: str
    values: tuple[int, ...]


async def test_what_nobody_can_change_is_shared_and_what_can_be_is_not(cache: Cache) -> None:
    async def frozen() -> object:
        return ["a"]

    first = await cache.get_or_load(KEY, frozen, ttl_s=10, codec=JsonCodec())
    first.value.append("changed by the first")
    second = await cache.get_or_load(KEY, frozen, ttl_s=10, codec=JsonCodec())

    assert second.value == ["a"]


async def test_followers_of_one_load_get_each_their_own(cache: Cache) -> None:
    async def load() -> object:
        await asyncio.sleep(0)
        return ["a"]

    answers = await asyncio.gather(
        *(cache.get_or_load(KEY, load, ttl_s=10, codec=JsonCodec()) for _ in range(3))
    )
    answers[0].value.append("changed")

    assert [answer.value for answer in answers[1:]] == [["a"], ["a"]]


async def test_a_value_that_is_no_bytes_needs_a_codec(cache: Cache) -> None:
    async def load() -> object:
        return ["a"]

    with pytest.raises(TypeError):
        await cache.get_or_load(KEY, load, ttl_s=10)  # type: ignore[arg-type] - that is the point


async def test_says_where_a_key_stands_and_why(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    assert cache.explain(KEY).why == "it was never kept, or had to leave for others"
    await cache.get_or_load(KEY, source, freshness=fresh(stale_for_s=50))

    clock.advance(10)
    told = cache.explain(KEY)
    assert (told.where, told.why, told.age_s, told.fresh_for_s) == ("memory", "it is fresh", 10, 90)
    clock.advance(100)
    assert cache.explain(KEY).why == "it is stale"
    clock.advance(100)
    assert cache.explain(KEY).why == "its time is over"
    await cache.invalidate(KEY)
    assert cache.explain(KEY).why == "it was invalidated"


async def test_while_a_change_settles_nothing_is_kept(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    await cache.get_or_load(KEY, source, freshness=fresh(), tags=["a"])

    await cache.invalidate(tags=["a"], settle_s=2)
    for _ in range(2):
        await cache.get_or_load(KEY, source, freshness=fresh(), tags=["a"])
    clock.advance(2)
    for _ in range(2):
        await cache.get_or_load(KEY, source, freshness=fresh(), tags=["a"])

    assert source.loads == 1 + 2 + 1
