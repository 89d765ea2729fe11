"""The counters of requests, against the suite that ships."""

from __future__ import annotations

import time

import pytest

from evara_core.adapters.redis import RedisRateLimits
from evara_core.api.limits import MemoryRateLimits
from evara_core.caching.redis import redis_client
from evara_core.testing.conformance.limits import RateLimitsContract


class TestMemoryRateLimits(RateLimitsContract):
    @pytest.fixture
    def limits(self, clock):
        return MemoryRateLimits(clock=clock)

    @pytest.fixture
    def let_pass(self, clock):
        return clock.advance


@pytest.mark.server
class TestRedisRateLimits(RateLimitsContract):
    tick_s = 0.2

    @pytest.fixture
    async def limits(self, redis_url):
        client = redis_client(redis_url, timeout_s=5)
        yield RedisRateLimits(client, deadline_s=5)
        await client.aclose()

    @pytest.fixture
    def let_pass(self):
        return time.sleep
