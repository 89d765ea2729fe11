"""Invalidations that take effect after a transaction."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from evara_core.caching.cache import Cache
from evara_core.caching.keys import CacheKey
from evara_core.caching.pending import PendingInvalidations
from evara_core.caching.sync import SyncCache
from evara_core.errors import StorageUnavailableError
from evara_core.storage.engine import blocking_engine_for, engine_for
from evara_core.storage.units import AsyncUnit, Unit

KEY = CacheKey(region="r", scope="s")


async def load() -> bytes:
    return b"1"


async def test_nothing_is_invalidated_within_and_all_of_it_after() -> None:
    cache = Cache()
    other = CacheKey(region="other", scope="s")
    await cache.get_or_load(KEY, load, tags=["a"])
    await cache.get_or_load(other, load)

    async with PendingInvalidations(cache) as pending:
        pending.add(tags=["a"], regions=["other"])
        pending.add(KEY)
        assert cache.peek(KEY) == b"1"

    assert cache.peek(KEY) is cache.peek(other) is None


async def test_an_error_may_have_come_after_the_commit() -> None:
    cache = Cache()
    await cache.get_or_load(KEY, load)

    async def fail() -> None:
        async with PendingInvalidations(cache) as pending:
            pending.add(KEY)
            raise ValueError("of the commit")

    with pytest.raises(ValueError, match="commit"):
        await fail()

    assert cache.peek(KEY) is None


async def test_what_was_applied_is_not_applied_again() -> None:
    cache = Cache()
    async with PendingInvalidations(cache) as pending:
        pending.add(KEY)
        await pending.apply()
        await cache.get_or_load(KEY, load)

    assert cache.peek(KEY) == b"1"


async def kept(cache: Cache) -> bool:
    return cache.peek(KEY) is not None


async def test_an_invalidation_in_a_unit_takes_effect_after_its_commit(
    sqlite_database_url: str,
) -> None:
    cache, engine = Cache(), engine_for(sqlite_database_url)
    await cache.get_or_load(KEY, load, tags=["a"])

    async with AsyncUnit(engine) as unit:
        await cache.invalidate(KEY, tags=iter(["a"]), after=unit)
        assert await kept(cache)

    assert not await kept(cache)
    await engine.dispose()


async def test_a_unit_that_is_rolled_back_invalidates_nothing(sqlite_database_url: str) -> None:
    cache, engine = Cache(), engine_for(sqlite_database_url)
    await cache.get_or_load(KEY, load)

    async def change_my_mind() -> None:
        async with AsyncUnit(engine) as unit:
            await cache.invalidate(KEY, after=unit)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_my_mind()

    assert await kept(cache)
    await engine.dispose()


async def test_a_commit_that_fails_may_have_been_one(
    sqlite_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, engine = Cache(), engine_for(sqlite_database_url)
    await cache.get_or_load(KEY, load)

    commit = AsyncExitStack.aclose

    async def lose_the_answer(stack: AsyncExitStack) -> None:
        await commit(stack)
        raise StorageUnavailableError("the connection was lost")

    async def change() -> None:
        async with AsyncUnit(engine) as unit:
            await cache.invalidate(KEY, after=unit)
            monkeypatch.setattr(AsyncExitStack, "aclose", lose_the_answer)

    with pytest.raises(StorageUnavailableError):
        await change()
    monkeypatch.undo()

    assert not await kept(cache)
    await engine.dispose()


def test_a_blocking_unit_does_the_same(sqlite_database_url: str) -> None:
    engine = blocking_engine_for(sqlite_database_url)
    with SyncCache(Cache()) as cache:
        cache.get_or_load(KEY, lambda: b"1", tags=["a"])

        with Unit(engine) as unit:
            cache.invalidate(tags=["a"], after=unit)
            assert cache.cache.peek(KEY) == b"1"

        assert cache.cache.peek(KEY) is None
    engine.dispose()
