"""Pumps that run dry, or move nothing, by their current and their flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.telemetry.detectors.ports import Finding, believed, seconds_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.telemetry.detectors.ports import Memory
    from evara_core.telemetry.models import Reading

__all__ = ["DryRun", "PumpWithoutFlow"]

_CURRENT = "pump_current_a"
_RUNS_ABOVE_A = 0.5
"""Under this a pump rests: clamps show some tenths of an ampere when nothing runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """Finds a pump that runs dry: without water its current falls to about a half.

    Says `dry_run_s`: for how long it has drawn much less than it usually does.
    """

    name: str = "dry_run_s"
    metric: str = _CURRENT
    runs_above: float = _RUNS_ABOVE_A
    share: float = 0.65
    """Of the usual current. Makers of pump guards say that it falls by 40 to 50 %."""

    learn_readings: int = 20
    """Before so many readings of a running pump nothing is said."""

    weight: float = 0.02
    """Of the newest reading in what is usual."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Hold the current against the usual one."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        _, usual, count, dry_s, was_dry = memory or (at_s, value, 0.0, 0.0, 0.0)
        is_running = value > self.runs_above
        is_known = count >= self.learn_readings
        is_dry = is_running and is_known and value < self.share * usual
        if is_dry:
            dry_s += seconds_since(memory, at_s) if was_dry else 0.0
        else:
            dry_s = 0.0
            if is_running:
                count += count < self.learn_readings
                usual += max(self.weight, 1.0 / count) * (value - usual)
        after = (at_s, usual, count, dry_s, float(is_dry))
        if not is_known:
            return after, ()
        sentence = f"{value:.3g} A for {dry_s:.0f} s, where {usual:.3g} A is usual"
        return after, (Finding(name=self.name, value=dry_s, confidence=1.0, sentence=sentence),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpWithoutFlow:
    """Finds a pump that runs and moves nothing: a shut valve, a broken pump, or a dead meter.

    Says `pump_without_flow_s`: for how long.
    """

    name: str = "pump_without_flow_s"
    current: str = _CURRENT
    flow: str = "flow_l_per_min"
    runs_above: float = _RUNS_ABOVE_A
    flows_above: float = 0.5

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Hold the flow against the current."""
        current, flow = believed(reading, self.current), believed(reading, self.flow)
        if current is None or flow is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        _, lasted_s, was_idle = memory or (at_s, 0.0, 0.0)
        is_idle = current > self.runs_above and flow <= self.flows_above
        lasted_s = lasted_s + seconds_since(memory, at_s) if is_idle and was_idle else 0.0
        sentence = f"the pump draws {current:.3g} A and {flow:.3g} flows, for {lasted_s:.0f} s"
        found = Finding(name=self.name, value=lasted_s, confidence=1.0, sentence=sentence)
        return (at_s, lasted_s, float(is_idle)), (found,)
