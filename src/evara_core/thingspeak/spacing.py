"""Keeping writes to one channel apart, across all tasks or threads of one client.

ThingSpeak counts the interval per channel: whoever writes, to whichever field. A write that
comes too soon is answered `0` and lost; so writes wait for their turn here, in order.
"""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import anyio

from evara_core.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from evara_core.clock import Clock

__all__ = ["MAX_WAITING", "AsyncSpacing", "Spacing"]

MAX_WAITING: Final = 100
"""Writes that wait for one channel. At 15 s each the last of them waits 25 minutes; more
belong into a bulk update."""

MAX_CHANNELS: Final = 10_000
"""Channels whose next turn is remembered. One that is due anyway is forgotten."""


@dataclass(slots=True)
class _Queue:
    waiting: int = 0
    free_at_s: float = 0.0
    last_moment: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    async_lock: anyio.Lock = field(default_factory=anyio.Lock)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Queues:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[int, _Queue] = {}
        self._lock = threading.Lock()

    def moment(self, channel_id: int) -> datetime:
        """Return now, in whole seconds, as no other write of this client has it."""
        now = self._clock.now().replace(microsecond=0)
        with self._lock:
            queue = self._queue(channel_id)
            queue.last_moment = max(now, queue.last_moment + timedelta(seconds=1))
            return queue.last_moment

    @contextmanager
    def _place(self, channel_id: int) -> Iterator[_Queue]:
        with self._lock:
            queue = self._queue(channel_id)
            if queue.waiting >= MAX_WAITING:
                limit = f"writes waiting for channel {channel_id}"
                raise LimitExceededError(limit, queue.free_at_s - self._clock.elapsed_s())
            queue.waiting += 1
        try:
            yield queue
        finally:
            with self._lock:
                queue.waiting -= 1

    def _queue(self, channel_id: int) -> _Queue:
        if channel_id not in self._queues:
            if len(self._queues) >= MAX_CHANNELS:
                self._forget()
            self._queues[channel_id] = _Queue()
        return self._queues[channel_id]

    def _forget(self) -> None:
        now_s = self._clock.elapsed_s()
        self._queues = {
            channel_id: queue
            for channel_id, queue in self._queues.items()
            if queue.waiting or queue.free_at_s > now_s
        }


class AsyncSpacing(_Queues):
    """Turns to write, awaited."""

    def __init__(self, *, clock: Clock, sleep: Callable[[float], Awaitable[object]]) -> None:
        super().__init__(clock)
        self._sleep = sleep

    @asynccontextmanager
    async def turn(self, channel_id: int, interval_s: float) -> AsyncIterator[None]:
        """Wait until the channel may be written; the next one waits *interval_s* more.

        Raises:
            LimitExceededError: Too many wait already.
        """
        with self._place(channel_id) as queue:
            async with queue.async_lock:
                wait_s = queue.free_at_s - self._clock.elapsed_s()
                if wait_s > 0:
                    await self._sleep(wait_s)
                try:
                    yield
                finally:
                    queue.free_at_s = self._clock.elapsed_s() + interval_s


class Spacing(_Queues):
    """Turns to write, blocking."""

    def __init__(self, *, clock: Clock, sleep: Callable[[float], object]) -> None:
        super().__init__(clock)
        self._sleep = sleep

    @contextmanager
    def turn(self, channel_id: int, interval_s: float) -> Iterator[None]:
        """Wait until the channel may be written; the next one waits *interval_s* more.

        Raises:
            LimitExceededError: Too many wait already.
        """
        with self._place(channel_id) as queue, queue.lock:
            wait_s = queue.free_at_s - self._clock.elapsed_s()
            if wait_s > 0:
                self._sleep(wait_s)
            try:
                yield
            finally:
                queue.free_at_s = self._clock.elapsed_s() + interval_s
