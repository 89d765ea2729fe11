"""A bus within one process."""

from __future__ import annotations

import re
import secrets
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from evara_core.errors import ClosedError
from evara_core.realtime.ports import Batch, Bus, BusPosition, Delivery, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MemoryBus"]

# Eighteen digits outlast any process, and int() of thousands of them is slow.
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def _new_epoch() -> str:
    return secrets.token_hex(4)


class MemoryBus(Bus):
    """The newest messages of this process, for readers in the same event loop.

    A position is the life of the bus (its epoch) and a running number, so that one from
    before a restart is known to be of another life.

    Args:
        history: How many messages are kept. 10,000 of half a kilobyte are 5 MB, and ten
            minutes of a thousand nodes that report once a minute.
        new_epoch: Makes the name of this life.
    """

    def __init__(self, *, history: int = 10_000, new_epoch: Callable[[], str] = _new_epoch) -> None:
        self._epoch = new_epoch()
        self._messages: deque[Message] = deque(maxlen=history)
        self._last = 0
        self._news = anyio.Event()
        self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._messages)} kept, {self._last} in all"
        return f"<MemoryBus {self._epoch}: {state}>"

    @override
    async def publish(self, messages: Sequence[Message]) -> None:
        self._check_open()
        self._messages.extend(messages)
        self._last += len(messages)
        self._wake()

    @override
    async def end(self) -> BusPosition:
        self._check_open()
        return self._position(self._last)

    @override
    async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
        self._check_open()
        number = self._number(after)
        if number == self._last and wait_s > 0:
            with anyio.move_on_after(wait_s):
                await self._news.wait()
        oldest_readable = self._last - len(self._messages)
        has_gap = number is None or number < oldest_readable
        start = oldest_readable if number is None else max(number, oldest_readable)
        if self._is_closed:
            return Batch(deliveries=(), position=self._position(start))
        skipped = start - oldest_readable
        found = tuple(
            Delivery(position=self._position(start + step), message=message)
            for step, message in enumerate(islice(self._messages, skipped, skipped + limit), 1)
        )
        return Batch(deliveries=found, position=self._position(start + len(found)), has_gap=has_gap)

    @override
    def is_after(self, position: BusPosition, other: BusPosition) -> bool:
        left, right = self._number(position), self._number(other)
        return left is not None and right is not None and left > right

    @override
    async def aclose(self) -> None:
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def _position(self, number: int) -> BusPosition:
        return f"{self._epoch}-{number}"

    def _number(self, position: BusPosition) -> int | None:
        epoch, _, digits = position.rpartition("-")
        if epoch != self._epoch or not _NUMBER.fullmatch(digits):
            return None
        number = int(digits)
        return number if number <= self._last else None

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError
