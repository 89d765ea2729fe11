"""Get it or load it: never wrong, and never the reason for an outage."""

from __future__ import annotations

import asyncio

import pytest

from evara_core.caching.cache import Cache
from evara_core.caching.keys import CacheKey
from evara_core.errors import ConfigurationError, UpstreamError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore

KEY = CacheKey(region="dashboard", scope="distributor_id=d1", name="stats")


class Source:
    """What is cached: a value that changes, behind a door that a test may close."""

    def __init__(self) -> None:
        self.value = b"1"
        self.loads = 0
        self.door = asyncio.Event()
        self.door.set()

    async def load(self) -> bytes:
        self.loads += 1
        value = self.value
        await self.door.wait()
        return value


@pytest.fixture
def shared(clock: ManualClock) -> MemorySharedStore:
    return MemorySharedStore(clock=clock)


@pytest.fixture(params=["alone", "shared"])
def cache(request: pytest.FixtureRequest, shared: MemorySharedStore, clock: ManualClock) -> Cache:
    """In this process alone, and with a shared store behind it: the same in all that follows."""
    l2 = shared if request.param == "shared" else None
    return Cache(l2=l2, clock=clock, chance=lambda: 0.5)


@pytest.fixture
def source() -> Source:
    return Source()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def ask(cache: Cache, source: Source, key: CacheKey = KEY) -> bytes:
    return (await cache.get_or_load(key, source.load, ttl_s=60)).value


async def test_the_second_who_asks_gets_what_is_kept(cache: Cache, source: Source) -> None:
    first = await cache.get_or_load(KEY, source.load, ttl_s=60)
    second = await cache.get_or_load(KEY, source.load, ttl_s=60)

    assert (first.value, first.is_hit) == (b"1", False)
    assert (second.value, second.is_hit) == (b"1", True)
    assert source.loads == 1


async def test_what_is_too_old_is_loaded_again(
    cache: Cache, source: Source, clock: ManualClock
) -> None:
    await ask(cache, source)
    source.value = b"2"

    clock.advance(60)

    assert await ask(cache, source) == b"2"


async def test_scopes_share_nothing(cache: Cache, source: Source) -> None:
    await ask(cache, source)
    source.value = b"2"

    other = CacheKey(region="dashboard", scope="distributor_id=d2", name="stats")

    assert await ask(cache, source, other) == b"2"


async def test_what_is_invalidated_is_loaded_again(cache: Cache, source: Source) -> None:
    await ask(cache, source)
    source.value = b"2"

    await cache.invalidate(KEY)

    assert await ask(cache, source) == b"2"


async def test_an_invalidation_during_a_load_is_not_lost(cache: Cache, source: Source) -> None:
    source.door.clear()
    early = asyncio.create_task(ask(cache, source))
    await turns()

    source.value = b"2"
    await cache.invalidate(KEY)
    source.door.set()

    assert await early == b"1", "who asked before may get the older answer"
    assert await ask(cache, source) == b"2"
    assert cache.stats.refused_stores == 1


async def test_a_cancelled_caller_harms_nobody(cache: Cache, source: Source) -> None:
    source.door.clear()
    callers = [asyncio.create_task(ask(cache, source)) for _ in range(5)]
    await turns()

    callers[0].cancel()
    await turns()
    source.door.set()

    assert await asyncio.gather(*callers[1:]) == [b"1"] * 4
    assert source.loads == 1


async def test_an_error_is_not_cached(cache: Cache, source: Source) -> None:
    async def fail() -> bytes:
        problem = "database away"
        raise UpstreamError(problem)

    with pytest.raises(UpstreamError, match="database"):
        await cache.get_or_load(KEY, fail, ttl_s=60)

    assert await ask(cache, source) == b"1"


async def test_closing_ends_the_loads(cache: Cache, source: Source) -> None:
    source.door.clear()
    caller = asyncio.create_task(ask(cache, source))
    await turns()

    await cache.aclose()

    with pytest.raises(UpstreamError):
        await caller


@pytest.mark.parametrize(("region", "scope"), [("", "all"), ("dashboard", "")])
def test_a_key_without_a_scope_is_refused(region: str, scope: str) -> None:
    with pytest.raises(ConfigurationError):
        CacheKey(region=region, scope=scope)


def test_keys_are_apart_and_short() -> None:
    odd = ["", ":", "a", "a:", ":a", "%3A", "a" * 500, "a" * 501, "ü", "\ud800", "#"]
    texts = {
        CacheKey(region=region or "r", scope=scope or "s", name=name).text
        for region in odd
        for scope in odd
        for name in odd
    }

    assert len(texts) == len(odd) ** 3
    assert all(len(text) <= 200 and text.isascii() for text in texts)
