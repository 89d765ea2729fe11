"""Rate limits and idempotency keys that processes share, in Redis.

The clients are the caller's, to open and to close. Redis keeps the time, so that processes
with clocks of their own agree.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.api.idempotency import (
    Begun,
    Finished,
    IdempotencyPolicy,
    IdempotencyStore,
    KeptReply,
    Mismatched,
    Running,
)
from evara_core.api.limits import RateDecision, RateLimits, decide
from evara_core.errors import StorageUnavailableError, UpstreamError, UpstreamTimeoutError
from evara_core.serialization import dump_json, load_json

with provided_by("redis", package="redis"):
    from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from redis.asyncio import Redis

    from evara_core.api.idempotency import IdempotencyKey, Kept
    from evara_core.api.limits import RatePolicy

__all__ = ["RedisIdempotencyStore", "RedisRateLimits"]

T = TypeVar("T")

# What `api.limits.decide` does, in microseconds, in one step of the server. Answers with the
# arrival time before the request (-1: unknown) and the time at the server.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local before = tonumber(redis.call('GET', KEYS[1])) or -1
local after = math.max(before, now) + interval
if after - now <= window + interval * 0.000001 then
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
end
return {string.format('%.0f', before), string.format('%.0f', now)}
"""


class RedisRateLimits(RateLimits):
    """Counts across processes."""

    def __init__(
        self, redis: Redis, *, prefix: str = "evara:rate:", deadline_s: float = 0.05
    ) -> None:
        """Use *redis*; every call ends within *deadline_s*."""
        self._redis = redis
        self._prefix = prefix
        self._deadline_s = deadline_s
        self._take = redis.register_script(_TAKE)

    @override
    async def take(self, key: str, policy: RatePolicy) -> RateDecision:
        micro = 1_000_000
        call = self._take(
            keys=[f"{self._prefix}{policy.name}:{key}"],
            args=[repr(policy.interval_s * micro), repr(policy.window_s * micro)],
        )
        before, now = await _answered(call, self._deadline_s)
        arrival_s = None if float(before) < 0 else float(before) / micro
        return decide(policy, arrival_s, now_s=float(now) / micro)[0]


class RedisIdempotencyStore(IdempotencyStore):
    """Keys of all processes.

    A Redis that may evict keys, or lose them in a crash, forgets which requests have run:
    where that must not be, use `storage.idempotency`.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        policy: IdempotencyPolicy = IdempotencyPolicy(),
        prefix: str = "evara:idempotency:",
        deadline_s: float = 0.25,
    ) -> None:
        """Use *redis*, which must not decode; every call ends within *deadline_s*."""
        self._redis = redis
        self._policy = policy
        self._prefix = prefix
        self._deadline_s = deadline_s

    @override
    async def begin(self, key: IdempotencyKey) -> Kept:
        try:
            # The entry may expire between the two questions: then ask again.
            for _ in range(2):
                if await self._put(key, None, is_new=True):
                    return Begun()
                entry = await _answered(self._redis.get(self._place(key)), self._deadline_s)
                assert not isinstance(entry, str), "the client does not decode"
                if entry is not None:
                    return _kept(key, entry)
        except UpstreamError as error:
            raise StorageUnavailableError("idempotency keys cannot be looked up") from error
        return Running()

    @override
    async def finish(self, key: IdempotencyKey, reply: KeptReply) -> None:
        await self._put(key, reply, is_new=False)

    @override
    async def release(self, key: IdempotencyKey) -> None:
        await _answered(self._redis.unlink(self._place(key)), self._deadline_s)

    async def _put(self, key: IdempotencyKey, reply: KeptReply | None, *, is_new: bool) -> bool:
        keep_for = self._policy.abandon_after if reply is None else self._policy.keep_for
        call = self._redis.set(self._place(key), _entry(key, reply), px=keep_for, nx=is_new)
        return bool(await _answered(call, self._deadline_s))

    def _place(self, key: IdempotencyKey) -> str:
        return self._prefix + key.digest


def _entry(key: IdempotencyKey, reply: KeptReply | None) -> bytes:
    head = {"fingerprint": key.fingerprint}
    if reply is None:
        return dump_json(head) + b"\n"
    return (
        dump_json({**head, "status": reply.status, "headers": reply.headers}) + b"\n" + reply.body
    )


def _kept(key: IdempotencyKey, entry: bytes) -> Kept:
    head, _, body = entry.partition(b"\n")
    told = load_json(head)
    if told["fingerprint"] != key.fingerprint:
        return Mismatched()
    if "status" not in told:
        return Running()
    headers = tuple((name, value) for name, value in told["headers"])
    return Finished(KeptReply(status=told["status"], body=body, headers=headers))


async def _answered(call: Awaitable[T], deadline_s: float) -> T:
    try:
        async with asyncio.timeout(deadline_s):
            return await call
    except TimeoutError as error:
        raise UpstreamTimeoutError("Redis did not answer in time") from error
    except (RedisError, OSError) as error:
        raise UpstreamError(f"Redis: {error}") from error
