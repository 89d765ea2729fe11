"""A bus over one Redis Stream, for any number of processes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import ClosedError, ConfigurationError, InvalidJsonError, UpstreamError
from evara_core.realtime.ports import Batch, Bus, BusPosition, Delivery, Message
from evara_core.serialization import dump_json, load_json

with provided_by("redis", package="redis"):
    from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

__all__ = ["RedisBus"]

_Id: TypeAlias = tuple[int, int]
_ID = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)
_LARGEST = 2**64 - 1
_START: _Id = (0, 0)


class RedisBus(Bus):
    """One stream in Redis; a position is the id of an entry.

    Whether history reaches back is asked of Redis with every read: a position is good
    while its entry is there, or while nothing was ever removed. When Redis lost its data,
    readers are told of a gap.

    Args:
        client: A `redis.asyncio.Redis` that answers bytes. It stays the caller's to close.
        stream: The key of the stream.
        history: About how many messages are kept; Redis trims in whole nodes.
        block_s: The longest that one command waits within Redis. Shorter than the client's
            `socket_timeout`, which redis-py 8 sets to 5 s unless told otherwise: a command
            that waits longer than that fails.
    """

    def __init__(
        self,
        client: Redis,
        *,
        stream: str = "evara:messages",
        history: int = 10_000,
        block_s: float = 2.0,
    ) -> None:
        options = client.connection_pool.connection_kwargs
        timeout_s = options.get("socket_timeout")
        if timeout_s is not None and timeout_s <= block_s:
            problem = f"block_s ({block_s:g}) must be less than socket_timeout ({timeout_s:g})"
            raise ConfigurationError(problem)
        if options.get("decode_responses"):
            problem = "RedisBus needs a client without decode_responses: bodies are bytes"
            raise ConfigurationError(problem)
        self._client = client
        self._stream = stream
        self._history = history
        self._block_ms = max(1, round(block_s * 1000))
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<RedisBus {self._stream}{' closed' if self._is_closed else ''}>"

    @override
    async def publish(self, messages: Sequence[Message]) -> None:
        self._check_open()
        if not messages:
            return
        pipeline = self._client.pipeline(transaction=True)
        for message in messages:
            pipeline.xadd(self._stream, _fields(message), maxlen=self._history, approximate=True)
        try:
            await pipeline.execute()
        except RedisError as error:
            raise UpstreamError(str(error)) from error

    @override
    async def end(self) -> BusPosition:
        self._check_open()
        _, _, facts = await self._ask(_START, block_ms=None, limit=1)
        return _text(facts.last)

    @override
    async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
        self._check_open()
        position = _parse(after)
        deadline = anyio.current_time() + wait_s
        block_ms = None
        while True:
            entries, is_there, facts = await self._ask(
                position or _START, block_ms=block_ms, limit=limit
            )
            is_known = position is not None and position <= facts.last
            has_gap = not is_known or (not is_there and position != facts.last)
            if position == _START:
                has_gap = facts.has_lost
            if not is_known:
                entries, _, _ = await self._ask(_START, block_ms=None, limit=limit)
            left_ms = int((deadline - anyio.current_time()) * 1000)
            if entries or has_gap or left_ms <= 0 or self._is_closed:
                start = position if is_known and position is not None else _START
                return _batch(entries, start, has_gap=has_gap)
            block_ms = min(self._block_ms, left_ms)

    @override
    def is_after(self, position: BusPosition, other: BusPosition) -> bool:
        left, right = _parse(position), _parse(other)
        return left is not None and right is not None and left > right

    @override
    async def aclose(self) -> None:
        self._is_closed = True

    async def _ask(
        self, after: _Id, *, block_ms: int | None, limit: int
    ) -> tuple[list[Any], bool, _Facts]:
        # One round trip. The check comes after the read: what is there then was there before.
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xread({self._stream: _text(after)}, count=limit, block=block_ms)
        pipeline.xrange(self._stream, _text(after), _text(after), count=1)
        pipeline.xinfo_stream(self._stream)
        try:
            read, there, info = await pipeline.execute(raise_on_error=False)
        except RedisError as error:
            raise UpstreamError(str(error)) from error
        for answer in (read, there):
            if isinstance(answer, Exception):
                raise UpstreamError(str(answer)) from answer
        return _entries(read), bool(there), _Facts(info, history=self._history)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError


class _Facts:
    """What XINFO STREAM says; a stream that does not exist is empty."""

    __slots__ = ("has_lost", "last")

    def __init__(self, info: Mapping[str, Any] | Exception, *, history: int) -> None:
        if isinstance(info, Exception):
            self.last, self.has_lost = _START, False
            return
        self.last = _parse(_str(info["last-generated-id"])) or _START
        length = info["length"]
        # Redis before 7 does not count: a full stream has probably lost something.
        self.has_lost = info.get("entries-added", length + (length >= history)) > length


def _parse(position: BusPosition) -> _Id | None:
    match = _ID.fullmatch(position)
    if match is None:
        return None
    found = int(match[1]), int(match[2])
    return found if max(found) <= _LARGEST else None


def _text(position: _Id) -> BusPosition:
    return f"{position[0]}-{position[1]}"


def _str(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _fields(message: Message) -> dict[Any, Any]:
    return {
        "id": message.message_id,
        "kind": message.kind,
        "key": message.key,
        "topics": dump_json(message.topics),
        "body": message.body,
    }


def _entries(answer: Any) -> list[Any]:  # noqa: ANN401 - its shape depends on the protocol
    """Return the entries of our one stream: RESP 3 answers a map, RESP 2 a list of pairs."""
    if not answer:
        return []
    found = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    return list(found)


def _batch(entries: list[Any], start: _Id, *, has_gap: bool) -> Batch:
    deliveries = []
    position = _text(start)
    for entry_id, fields in entries:
        position = _str(entry_id)
        message = _message(fields)
        if message is not None:
            deliveries.append(Delivery(position=position, message=message))
    return Batch(deliveries=tuple(deliveries), position=position, has_gap=has_gap)


def _message(fields: Mapping[bytes, bytes]) -> Message | None:
    """Read an entry; None when somebody else wrote it. The stream must go on."""
    try:
        topics = load_json(fields[b"topics"])
        return Message(
            message_id=fields[b"id"].decode(),
            kind=fields[b"kind"].decode(),
            key=fields[b"key"].decode(),
            topics=tuple(str(topic) for topic in topics),
            body=fields[b"body"],
        )
    except (KeyError, TypeError, UnicodeDecodeError, InvalidJsonError):
        return None
