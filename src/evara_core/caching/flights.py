"""One load for all who want the same thing at the same time.

The load is a task of its own, so no caller's end is its end: who is cancelled leaves, the
others get their answer. When the last one has left, nobody wants it and it is cancelled.
"""

from __future__ import annotations

import asyncio
import copy
from contextvars import Context, ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from evara_core.errors import ClosedError, ConfigurationError, UpstreamError, UpstreamTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from evara_core.caching.stamps import Stamp

__all__ = ["Flight", "Flights"]

T = TypeVar("T")

_ATTEMPTS: Final = 2
_LOADING: Final[ContextVar[frozenset[tuple[int, str]]]] = ContextVar(
    "evara_core_loading", default=frozenset()
)


class Flight(Generic[T]):
    """A load under way."""

    __slots__ = ("_count", "_raised", "good_until", "is_abandoned", "stamp", "task", "waiters")

    def __init__(self, stamp: Stamp, count: Iterator[int]) -> None:
        self._count = count
        self.good_until: int | None = None
        """The answer is good for who joined before this mark; None: for all.

        Where invalidations of others are not heard of, the stamp does not tell of them: then an
        answer is only as new as the moment when the shared store was asked."""

        self.stamp = stamp
        """Taken before the load began. Once it does not hold, something was invalidated: who
        waits gets the answer (they asked before), but nobody joins and nothing is kept."""

        self.task: asyncio.Task[T] | None = None
        self.waiters = 0
        self.is_abandoned = False
        """Nobody waits any more, and it was cancelled."""

        self._raised = False

    @property
    def is_joinable(self) -> bool:
        """Whether its answer is good for who asks now."""
        return not self.is_abandoned and self.stamp.holds()

    def mark(self) -> int:
        """Return a number that is larger than those of all who have joined so far."""
        return next(self._count)

    async def wait(self) -> T:
        """Return what the load returns.

        Raises:
            UpstreamError: The load was cancelled from inside, not by whoever waits.
            Exception: What the load raised; each waiter gets a copy of its own, since one
                shared exception would grow a traceback with each of them.
        """
        assert self.task is not None, "a flight is waited for once it has started"
        self.waiters += 1
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError as error:
            caller = asyncio.current_task()
            if self.task.cancelled() and caller is not None and not caller.cancelling():
                raise UpstreamError("the load was cancelled") from error
            raise
        except Exception as error:
            if not self._raised:
                self._raised = True
                raise
            raise _copy_of(error) from error
        finally:
            self.waiters -= 1
            if self.waiters == 0 and not self.task.done():
                self.is_abandoned = True
                self.task.cancel()


class Flights:
    """All loads under way, by event loop and key."""

    def __init__(self, *, deadline_s: float = 30.0) -> None:
        self._deadline_s = deadline_s
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Flight[Any]]] = (
            WeakKeyDictionary()
        )
        # Held here too: a loop knows its tasks only weakly.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self._count = count()

    def __len__(self) -> int:
        return sum(map(len, self._by_loop.values()))

    async def join(
        self, key: str, load: Callable[[Flight[T]], Awaitable[T]], take_stamp: Callable[[], Stamp]
    ) -> T:
        """Return what *load* returns, or what one that is under way for *key* will.

        *load* runs in a context of its own, without the caller's context variables: it is
        not only the caller's. *take_stamp* is called before it begins.

        Raises:
            ConfigurationError: *load* asks, in the end, for its own key.
            UpstreamTimeoutError: It took longer than the deadline, and was cancelled.
            ClosedError: The flights were closed.
        """
        if (id(self), key) in _LOADING.get():
            raise ConfigurationError(f"the load of {key!r} asks for its own key")
        for attempt in count(1):
            # In the end alone: who begins a flight is always in time for it.
            name = key if attempt <= _ATTEMPTS else f"{key} {next(self._count)}"
            flight = self._flight(name, load, take_stamp)
            joined = flight.mark()
            answer = await flight.wait()
            if flight.good_until is None or joined < flight.good_until:
                return answer
        raise AssertionError("counting does not end")

    def start(
        self, key: str, load: Callable[[Flight[T]], Awaitable[T]], take_stamp: Callable[[], Stamp]
    ) -> bool:
        """Begin *load* in the background, unless one is under way for *key*.

        Nobody waits for it, so nobody's leaving ends it. Returns whether it was begun.
        """
        if self._is_closed or self._joinable(key) is not None:
            return False
        self._begin(key, load, take_stamp)
        return True

    def _flight(
        self, key: str, load: Callable[[Flight[T]], Awaitable[T]], take_stamp: Callable[[], Stamp]
    ) -> Flight[T]:
        if self._is_closed:
            raise ClosedError("the cache is closed")
        return self._joinable(key) or self._begin(key, load, take_stamp)

    def _joinable(self, key: str) -> Flight[Any] | None:
        under_way = self._by_loop.get(asyncio.get_running_loop(), {})
        flight = under_way.get(key)
        return flight if flight is not None and flight.is_joinable else None

    async def aclose(self) -> None:
        """Cancel what is under way in this loop, and wait for it to end."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self, key: str, load: Callable[[Flight[T]], Awaitable[T]], take_stamp: Callable[[], Stamp]
    ) -> Flight[T]:
        under_way = self._by_loop.setdefault(asyncio.get_running_loop(), {})
        flight: Flight[T] = Flight(take_stamp(), self._count)
        under_way[key] = flight
        context = Context()
        context.run(_LOADING.set, _LOADING.get() | {(id(self), key)})
        flight.task = asyncio.get_running_loop().create_task(
            self._carry(key, flight, load, under_way), context=context
        )
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._end)
        return flight

    async def _carry(
        self,
        key: str,
        flight: Flight[T],
        load: Callable[[Flight[T]], Awaitable[T]],
        under_way: dict[str, Flight[Any]],
    ) -> T:
        limit = asyncio.timeout(self._deadline_s)
        try:
            async with limit:
                return await load(flight)
        except TimeoutError as error:
            if limit.expired():
                raise UpstreamTimeoutError(
                    f"the load of {key!r} took more than {self._deadline_s:g} s"
                ) from error
            raise
        finally:
            # By identity: after an invalidation, the key may belong to a newer flight.
            if under_way.get(key) is flight:
                del under_way[key]

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Seen, also if everybody has left: no complaint that it was never retrieved.
            task.exception()


def _copy_of(error: Exception) -> Exception:
    try:
        return copy.copy(error).with_traceback(None)
    except Exception:  # noqa: BLE001 - an exception that cannot be copied is raised as it is
        return error
