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
    """A load under way, and who waits for it."""

    __slots__ = (
        "_count",
        "_error",
        "_raised",
        "_result",
        "_waiting",
        "good_until",
        "is_abandoned",
        "is_done",
        "key",
        "loading",
        "name",
        "stamp",
        "task",
        "under_way",
    )

    def __init__(
        self,
        key: str,
        name: str,
        stamp: Stamp,
        count: Iterator[int],
        loading: frozenset[tuple[int, str]],
        under_way: dict[str, Flight[Any]],
    ) -> None:
        self.key = key
        self.name = name
        """Under which others find it: the key, or one of its own."""

        self.under_way = under_way
        """Where it is found, in its event loop."""

        self._count = count
        self.good_until: int | None = None
        """The answer is good for who joined before this mark; None: for all.

        Where invalidations of others are not heard of, the stamp does not tell of them: then an
        answer is only as new as the moment when the shared store was asked."""

        self.stamp = stamp
        """Taken before the load began. Once it does not hold, something was invalidated: who
        waits gets the answer (they asked before), but nobody joins and nothing is kept."""

        self.loading = loading
        """What is being loaded by whoever asked for this."""

        self.task: asyncio.Task[None] | None = None
        """None while it is only looked for, in the shared store."""

        self.is_abandoned = False
        """Nobody waits any more, and it was cancelled."""

        self.is_done = False
        self._waiting: list[asyncio.Future[None]] = []
        self._result: Any = None
        self._error: Exception | None = None
        self._raised = False

    @property
    def is_joinable(self) -> bool:
        """Whether its answer is good for who asks now."""
        return not self.is_abandoned and self.stamp.holds()

    def mark(self) -> int:
        """Return a number that is larger than those of all who have joined so far."""
        return next(self._count)

    def end(self, result: T | None, error: Exception | None = None) -> None:
        """Tell all who wait."""
        self._result, self._error, self.is_done = result, error, True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self) -> T:
        """Return what the load returns.

        Raises:
            UpstreamError: The load was cancelled from inside, not by whoever waits.
            Exception: What the load raised; each waiter gets a copy of its own, since one
                shared exception would grow a traceback with each of them.
        """
        if not self.is_done:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:
                self.leave(waiting)
                raise
        if self._error is None:
            result: T = self._result
            return result
        if not self._raised:
            self._raised = True
            raise self._error
        raise _copy_of(self._error) from self._error

    async def settle(self) -> None:
        """Wait until it has ended, however it does, without wanting its answer."""
        if self.task is not None:
            await asyncio.wait([self.task])

    def leave(self, waiting: asyncio.Future[None]) -> None:
        """Let one who waits go. When the last one has left, nobody wants it: it is cancelled."""
        self._waiting.remove(waiting)
        if not self._waiting and not self.is_done:
            self.abandon()

    def abandon(self) -> None:
        """End it without a result."""
        self.is_abandoned = True
        if self.task is not None:
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
        return await self.look(key, lambda flight: self.carry(flight, load), take_stamp)

    async def join_next(
        self, key: str, load: Callable[[Flight[T]], Awaitable[T]], take_stamp: Callable[[], Stamp]
    ) -> T:
        """Return what a load ends with that begins from now on. Otherwise as `join`."""
        self._refuse_circle(key)
        if (earlier := self.under_way(key)) is not None:
            await earlier.settle()
        return await self.join(key, load, take_stamp)

    async def look(
        self,
        key: str,
        begin: Callable[[Flight[T]], None],
        take_stamp: Callable[[], Stamp],
    ) -> T:
        """Return what a flight ends with: one that is under way for *key*, or a new one.

        *begin* sees to it that a new one comes to its end, by `carry` or by `end`, and does not
        wait for it. Otherwise as `join`.
        """
        loading = self._refuse_circle(key)
        name, under_way = key, self._under_way()
        for attempt in count(1):
            if self._is_closed:
                raise ClosedError("the cache is closed")
            flight = under_way.get(name)
            if flight is None or not flight.is_joinable:
                flight = Flight(key, name, take_stamp(), self._count, loading, under_way)
                under_way[name] = flight
                joined = flight.mark()
                begin(flight)
            else:
                joined = flight.mark()
            answer: T = await flight.wait()
            if flight.good_until is None or joined < flight.good_until:
                return answer
            if attempt >= _ATTEMPTS:
                # In the end alone: who begins a flight is always in time for it.
                name = f"{key} {next(self._count)}"
        raise AssertionError("counting does not end")

    def end(self, flight: Flight[T], result: T | None, error: Exception | None = None) -> None:
        """End *flight*, and tell all who wait for it."""
        self._forget(flight)
        flight.end(result, error)

    def carry(
        self,
        flight: Flight[T],
        load: Callable[[Flight[T]], Awaitable[T]],
        unused: Callable[[], None] | None = None,
    ) -> None:
        """Let a task of our own bring *flight* to its end.

        *unused* is called if *load* was not: everybody had left before its first step.
        """
        if self._is_closed:
            self.end(flight, None, ClosedError("the cache is closed"))
            return
        context = Context()
        context.run(_LOADING.set, flight.loading | {(id(self), flight.key)})
        flight.task = asyncio.get_running_loop().create_task(
            self._carry(flight, load), context=context
        )
        self._tasks.add(flight.task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not flight.is_done:
                self.end(flight, None, UpstreamError("the load was cancelled"))
                if unused is not None:
                    unused()

        flight.task.add_done_callback(ended)

    def start(
        self, key: str, load: Callable[[Flight[T]], Awaitable[T]], take_stamp: Callable[[], Stamp]
    ) -> bool:
        """Begin *load* in the background, unless one is under way for *key*.

        Nobody waits for it, so nobody's leaving ends it. Returns whether it was begun.
        """
        under_way = self._under_way()
        known = under_way.get(key)
        if self._is_closed or (known is not None and known.is_joinable):
            return False
        flight: Flight[T] = Flight(key, key, take_stamp(), self._count, _LOADING.get(), under_way)
        under_way[key] = flight
        self.carry(flight, load)
        return True

    def under_way(self, key: str) -> Flight[Any] | None:
        """Return the flight for *key* in this loop, if there is one."""
        return self._under_way().get(key)

    async def aclose(self) -> None:
        """Cancel what is under way in this loop, and wait for it to end."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_circle(self, key: str) -> frozenset[tuple[int, str]]:
        loading = _LOADING.get()
        if (id(self), key) in loading:
            raise ConfigurationError(f"the load of {key!r} asks for its own key")
        return loading

    def _under_way(self) -> dict[str, Flight[Any]]:
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is None:
            found = self._by_loop[loop] = {}
        return found

    def _forget(self, flight: Flight[Any]) -> None:
        # By identity: after an invalidation, the key may belong to a newer flight.
        if flight.under_way.get(flight.name) is flight:
            del flight.under_way[flight.name]

    async def _carry(self, flight: Flight[T], load: Callable[[Flight[T]], Awaitable[T]]) -> None:
        limit = asyncio.timeout(self._deadline_s)
        result: T | None = None
        failure: Exception | None = UpstreamError("the load was cancelled")
        try:
            async with limit:
                result = await load(flight)
            failure = None
        except TimeoutError as error:
            failure = error
            if limit.expired():
                told = f"the load of {flight.key!r} took more than {self._deadline_s:g} s"
                failure = UpstreamTimeoutError(told)
                failure.__cause__ = error
        except Exception as error:  # noqa: BLE001 - told to all who wait
            failure = error
        finally:
            self.end(flight, result, failure)


def _copy_of(error: Exception) -> Exception:
    try:
        return copy.copy(error).with_traceback(None)
    except Exception:  # noqa: BLE001 - an exception that cannot be copied is raised as it is
        return error
