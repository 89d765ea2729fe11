"""Waiting that a test can do without: for a time, for a signal, or for both."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import anyio
from anyio.lowlevel import checkpoint

__all__ = ["Backoff", "Signal", "Sleep", "within"]

T = TypeVar("T")

Sleep: TypeAlias = Callable[[float], Awaitable[object]]
"""Waits for so many seconds: `anyio.sleep`, or a test's own time."""


class Signal:
    """Something that happened. It stays set until somebody has waited for it."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Let it have happened."""
        self._event.set()

    async def wait(self, seconds: float, sleep: Sleep) -> None:
        """Return when it has happened, or after *seconds* (which may be infinite)."""
        if self._event.is_set() or seconds <= 0:
            await checkpoint()
        elif seconds == math.inf:
            await self._event.wait()
        else:
            await self._race(seconds, sleep)
        self._event = anyio.Event() if self._event.is_set() else self._event

    async def _race(self, seconds: float, sleep: Sleep) -> None:
        async with anyio.create_task_group() as both:

            async def expire() -> None:
                await sleep(seconds)
                both.cancel_scope.cancel()

            both.start_soon(expire)
            await self._event.wait()
            both.cancel_scope.cancel()


async def within(seconds: float, sleep: Sleep, work: Awaitable[T]) -> T:
    """Return what *work* returns.

    Raises:
        TimeoutError: It took longer than *seconds*, and was cancelled.
    """
    if sleep is anyio.sleep:
        with anyio.fail_after(seconds):
            return await work
    done: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as both:

        async def expire() -> None:
            await sleep(seconds)
            both.cancel_scope.cancel()

        both.start_soon(expire)
        try:
            done.append(await work)
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            failure = error
        both.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not done:
        raise TimeoutError
    return done[0]


class Backoff:
    """Pauses that double from failure to failure."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.failures = 0

    def failed(self) -> float:
        """Return the seconds to wait before the next attempt."""
        self.failures += 1
        # More than 30 doublings are beyond every limit, and beyond a float one day.
        return min(self._longest_s, self._first_s * 2.0 ** min(self.failures - 1, 30))

    def succeeded(self) -> None:
        """Begin again with the first pause."""
        self.failures = 0
