"""Time that passes as soon as nobody has anything else to do."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SimulatedTime"]


class SimulatedTime(ManualClock):
    """A clock, and the `sleep` that goes with it: a month of waiting in seconds of test.

    Give both to what is tested, and let `pass_by` run it. Time stands still while any task
    of the loop can go on; when all of them wait, it jumps to where the first sleeper wakes.
    Works on asyncio only.

    What waits for something outside of the loop, such as a database in a thread, says so
    with `busy`: time stands still meanwhile.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        super().__init__(start)
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._numbers = count()
        self._busy = 0

    async def sleep(self, seconds: float) -> None:
        """Wait until *seconds* have passed on this clock."""
        if seconds <= 0:
            await checkpoint()
            return
        woken = anyio.Event()
        due_s = self.elapsed_s() + seconds
        heapq.heappush(self._sleepers, (due_s, next(self._numbers), woken))
        await woken.wait()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep time from passing."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def pass_by(self, seconds: float) -> None:
        """Let *seconds* pass, and everything happen that falls into them."""
        end_s = self.elapsed_s() + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, woken = heapq.heappop(self._sleepers)
            self.advance(max(0.0, due_s - self.elapsed_s()))
            woken.set()
            await self._settle()
        self.advance(max(0.0, end_s - self.elapsed_s()))
        await self._settle()

    async def _settle(self) -> None:
        """Return when every other task waits for something."""
        while True:
            await checkpoint()
            if self._busy:
                await anyio.sleep(0.0005)
            elif not _others_can_go_on():
                return


def _others_can_go_on() -> bool:
    me = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is me:
            continue
        # asyncio tells nobody what a task waits for; anyio's own testing helper looks here too.
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is None or waiter.done():
            return True
    return False
