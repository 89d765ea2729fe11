"""Sensors that have stopped to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.telemetry.detectors.ports import Finding, believed, seconds_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.telemetry.detectors.ports import Memory
    from evara_core.telemetry.models import Reading

__all__ = ["StuckSensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckSensor:
    """Finds a sensor whose value stays the same although it should move.

    Says `stuck_s`: for how long, counting only the time in which it should have moved.
    """

    metric: str
    name: str = "stuck_s"
    moves_with: str | None = None
    """It should move only while this metric is above `moves_above`; None: always."""

    moves_above: float = 0.5
    tolerance: float = 0.0
    """What is still the same, in the metric's unit."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Note whether the value has moved."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        _, held, lasted_s = memory or (at_s, value, 0.0)
        if abs(value - held) > self.tolerance:
            held, lasted_s = value, 0.0
        elif self._should_move(reading):
            lasted_s += seconds_since(memory, at_s)
        sentence = f"{self.metric} has been {held:.4g} for {lasted_s:.0f} s"
        found = Finding(name=self.name, value=lasted_s, confidence=1.0, sentence=sentence)
        return (at_s, held, lasted_s), (found,)

    def _should_move(self, reading: Reading) -> bool:
        if self.moves_with is None:
            return True
        drive = believed(reading, self.moves_with)
        return drive is not None and drive > self.moves_above
