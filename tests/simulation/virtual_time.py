"""An event loop whose time jumps to the next timer as soon as nobody can go on.

What runs on it runs in an order that depends on nothing but the program: no socket, no
thread, no clock of the machine, and the order of sets of tasks is that of their making.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from datetime import UTC, datetime, timedelta
from itertools import count

from typing_extensions import override

from evara_core.clock import Clock


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: it lets the loop's time pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    @override
    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("everybody waits for something that nobody will do")
        if timeout > 0:
            # At least a step: a timer that is nearer than the clock can tell must come.
            self.now_s = math.nextafter(self.now_s + timeout, math.inf)
        return []


class _Task(asyncio.Task):
    """A task whose place in a set is that of its making, and not that of its address."""

    _numbers = count()

    def __init__(self, *args, **kwargs) -> None:
        self._number = next(self._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other) -> bool:
        return self is other


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        _Task._numbers = count()
        self.set_task_factory(lambda loop, coro, **more: _Task(coro, loop=loop, **more))

    @override
    def time(self) -> float:
        return self._jumping.now_s


def run(main):
    """Return what the coroutine *main* returns, run in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class LoopClock(Clock):
    """The time of the running loop, and a wall that may be set wrong."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.start = start
        self.wrong_by_s = 0.0

    @override
    def now(self) -> datetime:
        return self.true_now() + timedelta(seconds=self.wrong_by_s)

    @override
    def elapsed_s(self) -> float:
        return asyncio.get_running_loop().time()

    def true_now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed_s())
