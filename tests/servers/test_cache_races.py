"""Every race of the list, before a real Redis: several processes' caches, one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.unit.caching.races import RACES, Case

from evara_core.caching.cache import Cache
from evara_core.caching.redis import RedisStore, redis_client
from evara_core.caching.redis_backplane import RedisBackplane

pytestmark = pytest.mark.server

NEWS = "{evara:cache}:news"


class RedisStand:
    """A real server and real time, with short seconds."""

    unit_s = 0.02

    def __init__(self, url: str) -> None:
        self.url = url
        self.clients: list[Redis] = []
        self.caches: list[Cache] = []
        self.admin = self.client()

    def client(self) -> Redis:
        self.clients.append(redis_client(self.url, timeout_s=10))
        return self.clients[-1]

    def cache(self, **options: Any) -> Cache:
        chosen = {"unheard_ttl_s": 0.0} | options
        store = RedisStore(self.client(), deadline_s=5)
        self.caches.append(Cache(l2=store, chance=lambda: 0.5, **chosen))
        return self.caches[-1]

    def single(self) -> Cache:
        return self.cache()

    def hearing(self) -> Cache:
        news = RedisBackplane(self.client())
        return self.cache(backplane=news, beat_every_s=0.0, deaf_after_s=15 * self.unit_s)

    async def let_pass(self, units: float) -> None:
        await asyncio.sleep(units * self.unit_s)

    async def lose_versions(self) -> None:
        async for key in self.admin.scan_iter(match="*}:v:*"):
            await self.admin.delete(key)

    async def trim_news(self) -> None:
        await self.admin.xtrim(NEWS, maxlen=0, approximate=False)

    async def replica(self) -> dict[bytes, tuple[int, bytes]]:
        """Return every key as it is now, with the time that it has left."""
        state = {}
        async for key in self.admin.scan_iter():
            left_ms = max(0, await self.admin.pttl(key))
            state[key] = (left_ms, await self.admin.dump(key))
        return state

    async def fail_over(self, replica: Any) -> None:
        await self.admin.flushall()
        for key, (left_ms, value) in replica.items():
            await self.admin.restore(key, left_ms, value)

    async def aclose(self) -> None:
        for cache in self.caches:
            await cache.aclose()
        for client in self.clients:
            await client.aclose()


@pytest.fixture
async def stand(redis_url: str) -> AsyncIterator[RedisStand]:
    found = RedisStand(redis_url)
    yield found
    await found.aclose()


@pytest.mark.parametrize("case", RACES, ids=str)
async def test_the_race_goes_well(case: Case, stand: RedisStand) -> None:
    assert await case.run(stand)
