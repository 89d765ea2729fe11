"""Time that moves when a test says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from typing_extensions import override

from evara_core.clock import Clock

__all__ = ["ManualClock"]


class ManualClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed_s = 0.0

    @override
    def now(self) -> datetime:
        return self._now

    @override
    def elapsed_s(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._now += timedelta(seconds=seconds)
        self._elapsed_s += seconds

    def jump(self, to: datetime) -> None:
        """Set the wall time, as an operator or NTP does; `elapsed_s` does not notice."""
        self._now = to
