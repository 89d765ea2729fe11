"""One load for all who want the same thing at the same time.

The load is a task of its own, so no caller's end is its end: who is cancelled leaves, the
others get their answer. When the last one has left, nobody wants it and it is cancelled.
"""

from __future__ import annotations

import asyncio
import copy
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from evara_core.errors import ClosedError, ConfigurationError, UpstreamError, UpstreamTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Flight", "Flights"]

T = TypeVar("T")

_LOADING: Final[ContextVar[frozenset[tuple[int, str]]]] = ContextVar(
    "evara_core_loading", default=frozenset()
)


class Flight(Generic[T]):
    """A load under way."""

    __slots__ = ("_raised", "is_detached", "task", "waiters")

    def __init__(self) -> None:
        self.task: asyncio.Task[T] | None = None
        self.waiters = 0
        self.is_detached = False
        """Something was invalidated meanwhile: whoever waits gets the answer (they asked
        before), but it may not be stored, and nobody joins any more."""

        self._raised = False

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
                problem = "the load was cancelled"
                raise UpstreamError(problem) from error
            raise
        except Exception as error:
            if not self._raised:
                self._raised = True
                raise
            raise _copy_of(error) from error
        finally:
            self.waiters -= 1
            if self.waiters == 0 and not self.task.done():
                self.is_detached = True
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

    def __len__(self) -> int:
        return sum(map(len, self._by_loop.values()))

    async def join(self, key: str, load: Callable[[Flight[T]], Awaitable[T]]) -> T:
        """Return what *load* returns, or what one that is under way for *key* will.

        *load* runs in a context of its own, without the caller's context variables: it is
        not only the caller's.

        Raises:
            ConfigurationError: *load* asks, in the end, for its own key.
            UpstreamTimeoutError: It took longer than the deadline, and was cancelled.
            ClosedError: The flights were closed.
        """
        if (id(self), key) in _LOADING.get():
            problem = f"the load of {key!r} asks for its own key"
            raise ConfigurationError(problem)
        if self._is_closed:
            problem = "the cache is closed"
            raise ClosedError(problem)
        under_way = self._by_loop.setdefault(asyncio.get_running_loop(), {})
        flight: Flight[T] | None = under_way.get(key)
        if flight is None or flight.is_detached:
            flight = under_way[key] = self._start(key, load, under_way)
        return await flight.wait()

    def detach(self, key: str) -> None:
        """Let nobody join the load of *key* any more, and forbid it to store its result."""
        for under_way in list(self._by_loop.values()):
            flight = under_way.pop(key, None)
            if flight is not None:
                flight.is_detached = True

    async def aclose(self) -> None:
        """Cancel what is under way in this loop, and wait for it to end."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(
        self,
        key: str,
        load: Callable[[Flight[T]], Awaitable[T]],
        under_way: dict[str, Flight[Any]],
    ) -> Flight[T]:
        flight: Flight[T] = Flight()
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
                problem = f"the load of {key!r} took more than {self._deadline_s:g} s"
                raise UpstreamTimeoutError(problem) from error
            raise
        finally:
            # By identity: after a detach, the key may belong to a newer flight.
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
