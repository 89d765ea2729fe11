"""How processes hear of each other's invalidations: a Redis Stream.

A stream has positions, so what was missed while a connection was down is read afterwards;
pub/sub would have lost it without a word. Messages are numbered by a counter beside the
stream: a number that does not follow means that some were trimmed, or that Redis began anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from evara_core.caching import redis_scripts
from evara_core.caching.ports import Backplane, Invalidation, News
from evara_core.caching.redis import RedisGate
from evara_core.errors import InvalidJsonError
from evara_core.serialization import load_json

if TYPE_CHECKING:
    from evara_core.caching.redis import RedisClient

__all__ = ["RedisBackplane"]

_START: Final = "0-0"
_BATCH: Final = 1000


class RedisBackplane(Backplane):
    """The stream that `RedisStore` writes to. Give both the same *prefix*.

    A client of its own, made with `redis_client(url, timeout_s=10)`, waits for news in one
    long read. One that gives up earlier, such as that of the store, asks more often: every
    half of its patience. The client is the caller's to close.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        prefix: str = "{evara:cache}:",
        deadline_s: float = 1.0,
        stream_length: int = 10_000,
    ) -> None:
        self._gate = RedisGate(redis, deadline_s=deadline_s)
        patience_s = redis.connection_pool.connection_kwargs.get("socket_timeout")
        self._longest_wait_s = float("inf") if patience_s is None else patience_s / 2
        self._sequence = f"{prefix}seq"
        self._stream = f"{prefix}news"
        self._stream_length = stream_length

    @override
    async def position(self) -> str:
        last = await self._gate.ask("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
        if not last:
            return f"{_START}/0"
        identifier, message = last[0]
        return f"{identifier.decode()}/{int(message[b's'])}"

    @override
    async def read(self, after: str, *, wait_s: float) -> News:
        identifier, _, number = after.partition("/")
        found = await self._after(identifier)
        if not found:
            # Only to wait: what it answers differs between versions of the protocol.
            wait_s = min(wait_s, self._longest_wait_s)
            wait_ms = max(1, round(wait_s * 1000))
            waiting = ("XREAD", "COUNT", 1, "BLOCK", wait_ms, "STREAMS", self._stream, identifier)
            await self._gate.ask(*waiting, extra_s=wait_s)
            found = await self._after(identifier)
        if not found and await self._began_anew(identifier):
            return News(invalidations=(), position=await self.position(), has_gap=True)
        expected, has_gap = int(number) + 1, False
        heard: list[Invalidation] = []
        for _, message in found:
            try:
                sequence, told = _parse(message)
            except (KeyError, ValueError, TypeError, InvalidJsonError):
                # Whatever it meant to tell was not heard.
                has_gap = True
                continue
            has_gap = has_gap or sequence != expected
            expected = sequence + 1
            heard.append(told)
        end = found[-1][0].decode() if found else identifier
        return News(invalidations=tuple(heard), position=f"{end}/{expected - 1}", has_gap=has_gap)

    @override
    async def beat(self, origin: str) -> None:
        keys = [self._sequence, self._stream]
        await self._gate.run(redis_scripts.BEAT, keys, origin, self._stream_length)

    async def _after(self, identifier: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: list[tuple[bytes, dict[bytes, bytes]]] = await self._gate.ask(
            "XRANGE", self._stream, f"({identifier}", "+", "COUNT", _BATCH
        )
        return found

    async def _began_anew(self, identifier: str) -> bool:
        """Return whether the stream ends before the position: it is not the one we knew."""
        end = (await self.position()).partition("/")[0]
        return _order(end) < _order(identifier)


def _parse(message: dict[bytes, bytes]) -> tuple[int, Invalidation]:
    sequence, origin = int(message[b"s"]), message[b"o"].decode()
    if not message[b"b"]:
        return sequence, Invalidation(origin=origin)
    keys, tags = load_json(message[b"b"])
    versions = [int(each) for each in message[b"v"].split(b",") if each]
    by_tag = dict(zip(tags, versions, strict=True))
    return sequence, Invalidation(origin=origin, keys=tuple(keys), tags=by_tag)


def _order(identifier: str) -> tuple[int, int]:
    high, _, low = identifier.partition("-")
    return int(high), int(low)
