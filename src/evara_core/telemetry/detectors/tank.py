"""Tanks that overflow, fill or run empty, by their level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evara_core.telemetry.detectors.ports import (
    LONGEST_GAP_S,
    Finding,
    believed,
    seconds_since,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.telemetry.detectors.ports import Memory
    from evara_core.telemetry.models import Reading

__all__ = ["Overflow", "TimeToLimit"]

_LEVEL = "level_percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """Finds a tank that runs over. Says `overflow_s`: for how long it has been at the brim."""

    name: str = "overflow_s"
    metric: str = _LEVEL
    brim: float = 99.0
    """At the brim water stands within the last percent: what comes in more runs off."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Note whether the level is at the brim."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        _, lasted_s, was_over = memory or (at_s, 0.0, 0.0)
        is_over = value >= self.brim
        lasted_s = lasted_s + seconds_since(memory, at_s) if is_over and was_over else 0.0
        sentence = f"at {value:.3g} % for {lasted_s:.0f} s"
        found = Finding(name=self.name, value=lasted_s, confidence=1.0, sentence=sentence)
        return (at_s, lasted_s, float(is_over)), (found,)


class _Line(NamedTuple):
    """Sums for a line through the last readings; times in minutes before the newest one."""

    at_s: float
    weight: float = 0.0
    t: float = 0.0
    x: float = 0.0
    tt: float = 0.0
    tx: float = 0.0
    xx: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeToLimit:
    """Tells when a tank will be empty or full if it goes on like this.

    Says `minutes_to_empty` or `minutes_to_full`, whichever the level moves to, when the
    readings lie on a line well enough. The confidence is how well they do (R²).
    """

    name: str = "time_to_limit"
    metric: str = _LEVEL
    empty: float = 0.0
    full: float = 100.0
    memory_min: float = 30.0
    """The readings of so many minutes count for two thirds of the line."""

    least_weight: float = 4.0
    """Fewer readings than about so many make no line."""

    least_confidence: float = 0.7
    least_per_min: float = 0.02
    """A slower change is no change: about one percent in an hour."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Add a point to the line, and follow it to the end."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        line = _Line(*memory) if memory else _Line(at_s)
        if at_s - line.at_s > LONGEST_GAP_S:
            line = _Line(at_s)
        line = self._plus(line, value, at_s)
        return tuple(line), self._findings(line, value)

    def _plus(self, line: _Line, value: float, at_s: float) -> _Line:
        minutes = (at_s - line.at_s) / 60
        kept = math.exp(-minutes / self.memory_min)
        # The newest moment becomes the origin: every time so far moves back by *minutes*.
        moved_t = line.t - minutes * line.weight
        moved_tt = line.tt - 2 * minutes * line.t + minutes * minutes * line.weight
        moved_tx = line.tx - minutes * line.x
        return _Line(
            at_s=at_s,
            weight=kept * line.weight + 1,
            t=kept * moved_t,
            x=kept * line.x + value,
            tt=kept * moved_tt,
            tx=kept * moved_tx,
            xx=kept * line.xx + value * value,
        )

    def _findings(self, line: _Line, value: float) -> tuple[Finding, ...]:
        spread_t = line.weight * line.tt - line.t * line.t
        spread_x = line.weight * line.xx - line.x * line.x
        together = line.weight * line.tx - line.t * line.x
        if line.weight < self.least_weight or spread_t <= 0 or spread_x <= 0:
            return ()
        per_min = together / spread_t
        confidence = min(1.0, together * together / (spread_t * spread_x))
        if abs(per_min) < self.least_per_min or confidence < self.least_confidence:
            return ()
        limit, where = (self.full, "full") if per_min > 0 else (self.empty, "empty")
        minutes = max(0.0, (limit - value) / per_min)
        return (
            Finding(
                name=f"minutes_to_{where}",
                value=minutes,
                confidence=confidence,
                sentence=f"{where} in {minutes:.0f} min at {per_min:+.3g} % a minute",
            ),
        )
