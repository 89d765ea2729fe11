"""The cache that processes share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.caching.ports import CacheStore
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamTimeoutError

with provided_by("redis", package="redis"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["RedisStore", "redis_client"]

T = TypeVar("T")


def redis_client(
    url: str, *, timeout_s: float = 0.05, connect_timeout_s: float = 0.25, max_connections: int = 16
) -> Redis:
    """Return a client that gives up early and never tries again behind your back.

    redis-py 8 waits 5 s ten times by default: a Redis that is away would stop the service.
    Close it with `aclose`.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
    return Redis.from_pool(pool)


class RedisStore(CacheStore):
    """A cache in Redis. The client is the caller's, to open and to close.

    Every call ends within *deadline_s*, whatever the client's own patience is.
    """

    def __init__(
        self, redis: Redis, *, prefix: str = "evara:cache:", deadline_s: float = 0.05
    ) -> None:
        if redis.connection_pool.connection_kwargs.get("decode_responses"):
            problem = "the Redis client must not decode responses"
            raise ConfigurationError(problem)
        self._redis = redis
        self._prefix = prefix
        self._deadline_s = deadline_s

    @override
    async def get(self, key: str) -> bytes | None:
        value = await self._ask(self._redis.get(self._prefix + key))
        assert not isinstance(value, str), "the client does not decode"
        return value

    @override
    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        # PSETEX takes whole milliseconds and refuses 0.
        ttl_ms = round(ttl_s * 1000)
        if ttl_ms <= 0:
            await self.drop(key)
            return
        await self._ask(self._redis.psetex(self._prefix + key, ttl_ms, value))

    @override
    async def drop(self, key: str) -> None:
        await self._ask(self._redis.unlink(self._prefix + key))

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await call
        except TimeoutError as error:
            problem = "Redis did not answer in time"
            raise UpstreamTimeoutError(problem) from error
        except (RedisError, OSError) as error:
            problem = f"Redis: {error}"
            raise UpstreamError(problem) from error
