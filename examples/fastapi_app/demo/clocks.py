"""The clock of a replay: fast while there is history, ordinary after it."""

from __future__ import annotations

from datetime import datetime, timedelta

from typing_extensions import override

from evara_core.clock import Clock, SystemClock

__all__ = ["ReplayClock"]


class ReplayClock(Clock):
    """Runs at *speed* from *start* to *end*, and then as fast as everybody's.

    So the page still says "3 min ago" of the last row when somebody comes back from lunch.
    """

    def __init__(
        self, start: datetime, end: datetime, *, speed: float, base: Clock | None = None
    ) -> None:
        self._base = base or SystemClock()
        self._start = start
        self._fast_s = max(0.0, (end - start).total_seconds())
        self._full_speed = speed
        self._began_s = self._base.elapsed_s()

    @override
    def now(self) -> datetime:
        real_s = self._real_s()
        fast_s = min(real_s * self._full_speed, self._fast_s)
        slow_s = max(0.0, real_s - self._fast_s / self._full_speed)
        return self._start + timedelta(seconds=fast_s + slow_s)

    @override
    def elapsed_s(self) -> float:
        """Return seconds at full speed, also after the end: who counts in them goes on."""
        return self._real_s() * self._full_speed

    @property
    def is_over(self) -> bool:
        """Whether history has ended."""
        return self.elapsed_s() >= self._fast_s

    @property
    def speed(self) -> float:
        """Seconds that pass in one second, now."""
        return 1.0 if self.is_over else self._full_speed

    def _real_s(self) -> float:
        return self._base.elapsed_s() - self._began_s
