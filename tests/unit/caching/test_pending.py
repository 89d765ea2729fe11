"""Invalidations that take effect after a transaction."""

from __future__ import annotations

import pytest

from evara_core.caching.cache import Cache
from evara_core.caching.keys import CacheKey
from evara_core.caching.pending import PendingInvalidations

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
