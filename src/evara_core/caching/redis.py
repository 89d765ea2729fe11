"""The cache that processes share, in Redis or Valkey."""

from __future__ import annotations

import asyncio
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.caching import redis_scripts
from evara_core.caching.ports import Ask, CacheStore, SharedStore, Taken, Turn
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamTimeoutError
from evara_core.serialization import dump_json

with provided_by("redis", package="redis"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RedisClient", "RedisGate", "RedisStore", "redis_client"]

RedisClient: TypeAlias = Redis
"""What a store is given. This module is the only one that knows the package."""

_TURNS: Final = (Turn.NOBODYS, Turn.YOURS, Turn.YOURS_UNSTORED, Turn.ANOTHERS)


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


class RedisGate:
    """The one way to Redis: every command has a deadline and fails in our terms."""

    def __init__(self, redis: Redis, *, deadline_s: float = 0.05) -> None:
        if redis.connection_pool.connection_kwargs.get("decode_responses"):
            raise ConfigurationError("the Redis client must not decode responses")
        self._redis = redis
        self._deadline_s = deadline_s
        self._hashes: dict[str, str] = {}

    async def ask(self, *command: Any, extra_s: float = 0.0) -> Any:  # noqa: ANN401 - whatever Redis answers
        """Return what Redis answers within the deadline, *extra_s* put to it.

        Raises:
            UpstreamTimeoutError: Nothing came. Whether it took effect is unknown.
            UpstreamError: Redis is away, or does not understand.
        """
        try:
            async with asyncio.timeout(self._deadline_s + extra_s):
                return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except TimeoutError as error:
            raise UpstreamTimeoutError("Redis did not answer in time") from error
        except (RedisError, OSError) as error:
            raise UpstreamError(f"Redis: {error}") from error

    async def run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:  # noqa: ANN401 - as above
        """Return what *script* returns."""
        known = self._hashes.get(script)
        if known is None:
            known = sha1(script.encode(), usedforsecurity=False).hexdigest()
            self._hashes[script] = known
        try:
            return await self.ask("EVALSHA", known, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.ask("EVAL", script, len(keys), *keys, *arguments)


class RedisStore(CacheStore, SharedStore):
    """A cache in Redis. The client is the caller's, to open and to close.

    All processes that are to share give the same *prefix*. Its braces keep all keys in one
    slot of a cluster, as the scripts need it. A version that nobody used for
    *version_life_s* seconds is forgotten; what was cached under it is loaded once more.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str = "{evara:cache}:",
        deadline_s: float = 0.05,
        version_life_s: float = 7 * 86_400,
        stream_length: int = 10_000,
    ) -> None:
        self._gate = RedisGate(redis, deadline_s=deadline_s)
        self._prefix = prefix
        self._life_s = version_life_s
        self._life_ms = _ms(version_life_s)
        self._stream_length = stream_length

    @property
    @override
    def version_life_s(self) -> float:
        return self._life_s

    @override
    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._gate.ask("GET", self._prefix + key)
        return value

    @override
    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        # PSETEX takes whole milliseconds and refuses 0.
        ttl_ms = round(ttl_s * 1000)
        if ttl_ms <= 0:
            await self.drop(key)
            return
        await self._gate.ask("PSETEX", self._prefix + key, ttl_ms, value)

    @override
    async def drop(self, key: str) -> None:
        await self._gate.ask("UNLINK", self._prefix + key)

    @override
    async def take(self, asks: Sequence[Ask]) -> list[Taken]:
        places: dict[str, int] = {}
        for ask in asks:
            for tag in ask.tags:
                places.setdefault(tag, len(places) + 1)
        prefix = self._prefix
        keys = [f"{prefix}v:{tag}" for tag in places]
        keys += [f"{prefix}e:{ask.key}" for ask in asks]
        wanted = [
            [
                ask.key,
                ask.token,
                _ms(ask.lease_s),
                _ms(ask.refresh_within_s),
                ask.schema,
                [places[tag] for tag in ask.tags],
            ]
            for ask in asks
        ]
        found = await self._gate.run(
            redis_scripts.TAKE, keys, self._life_ms, prefix, dump_json(wanted)
        )
        return [
            Taken(
                turn=_TURNS[turn],
                value=None if value is None else value[body - 1 :],
                remaining_s=left / 1000,
                versions=_versions(joined),
            )
            for turn, value, left, joined, body in found
        ]

    @override
    async def put_leased(
        self, ask: Ask, versions: tuple[int, ...], value: bytes, *, ttl_s: float
    ) -> bool:
        keys = [*self._keys(ask.key), *self._tag_keys(ask.tags)[::2]]
        joined = ",".join(map(str, versions))
        arguments = (ask.token, joined, ask.schema, value, max(1, _ms(ttl_s)))
        return bool(await self._gate.run(redis_scripts.PUT, keys, *arguments))

    @override
    async def versions(self, tags: Sequence[str]) -> tuple[int, ...]:
        keys = [f"{self._prefix}v:{tag}" for tag in tags]
        found = await self._gate.run(redis_scripts.VERSIONS, keys, self._life_ms)
        return tuple(map(int, found))

    @override
    async def release(self, ask: Ask) -> None:
        await self._gate.run(redis_scripts.RELEASE, self._keys(ask.key)[1:], ask.token)

    @override
    async def invalidate(
        self, *, keys: Sequence[str], tags: Sequence[str], origin: str, settle_s: float = 0.0
    ) -> dict[str, int]:
        names = [f"{self._prefix}seq", f"{self._prefix}news"]
        for key in keys:
            names += self._keys(key)
        names += self._tag_keys(tags)
        versions = await self._gate.run(
            redis_scripts.INVALIDATE,
            names,
            origin,
            dump_json([keys, tags]),
            self._stream_length,
            self._life_ms,
            _ms(settle_s),
            len(keys),
            len(tags),
        )
        return dict(zip(tags, map(int, versions), strict=True))

    def _keys(self, key: str) -> list[str]:
        return [f"{self._prefix}e:{key}", f"{self._prefix}l:{key}"]

    def _tag_keys(self, tags: Sequence[str]) -> list[str]:
        return [f"{self._prefix}{kind}:{tag}" for tag in tags for kind in "vh"]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _versions(joined: bytes) -> tuple[int, ...]:
    return tuple(map(int, joined.split(b","))) if joined else ()
