"""Leaks and bursts, by the flow through a meter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, NamedTuple

from evara_core.telemetry.detectors.ports import Finding, believed, seconds_since

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from evara_core.telemetry.detectors.ports import Memory
    from evara_core.telemetry.models import Reading

__all__ = ["Burst", "ContinuousFlow", "NightMinimum"]

_FLOW = "flow_l_per_min"

_SLOT_S = 900
_SLOTS = 96
"""Quarter-hours of a day, by which meters that are sold tell leaks: flow in all of them."""

_HALF = 48
"""A number of JSON holds no 96 bits: they are kept in two halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousFlow:
    """Finds a leak by water that never stops: flow in every quarter-hour of a day.

    Says `continuous_flow`, the share of the last 96 quarter-hours in which water flowed, once
    a day is known. 1 is a leak; from about a half on it comes and goes.
    """

    name: str = "continuous_flow"
    metric: str = _FLOW
    above: float = 0.1
    """What counts as flow, in the metric's unit: above the noise of a meter at rest."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Note whether water flows in this quarter-hour."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        slot = int(at_s // _SLOT_S)
        _, last, known, high, low = memory or (at_s, slot, 1, 0, 0)
        bits = (int(high) << _HALF) | int(low)
        passed = slot - int(last)
        if passed > 1:
            # Nobody knows what happened in between: the day begins anew.
            bits, known = 0, 1
        elif passed == 1:
            bits, known = (bits << 1) & ((1 << _SLOTS) - 1), min(known + 1, _SLOTS)
        bits |= value > self.above
        after = (at_s, float(slot), float(known), float(bits >> _HALF), float(bits % (1 << _HALF)))
        if known < _SLOTS:
            return after, ()
        count = bits.bit_count()
        share = count / _SLOTS
        sentence = f"water flowed in {count} of the last {_SLOTS} quarter-hours"
        return after, (Finding(name=self.name, value=share, confidence=1.0, sentence=sentence),)


class _Night(NamedTuple):
    at_s: float
    day: float
    hour: float = -1.0
    total: float = 0.0
    summed: float = 0.0
    lowest: float = -1.0
    usual: float = 0.0
    spread: float = 0.0
    nights: float = 0.0
    run: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NightMinimum:
    """Finds a leak by what flows while people sleep: the lowest hour between 1 and 5.

    It is held against the node's own nights. Says `night_leak_nights`: how many nights in a
    row were far above what is usual. Three are a leak; one may be somebody's bath.
    """

    name: str = "night_leak_nights"
    metric: str = _FLOW
    zone: tzinfo = UTC
    """Where the node is: night is a matter of its clock."""

    begins: int = 1
    ends: int = 5
    """Hours of the day."""

    spreads: float = 3.0
    """So many times the usual spread above the usual minimum is far."""

    least: float = 0.2
    """And at least so much, in the metric's unit: a house without any flow has no spread."""

    learn_nights: int = 7
    """Before so many nights are known, nothing is said."""

    memory_nights: float = 14.0
    """The nights that count for two thirds of what is usual."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Add to the hour; judge the night when it is over."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        local = reading.measured_at.astimezone(self.zone)
        at_s, day = reading.measured_at.timestamp(), float(local.date().toordinal())
        state = (_Night(*memory) if memory else _Night(at_s, day))._replace(at_s=at_s)
        hour = float(local.hour)
        if (day, hour) != (state.day, state.hour):
            state = _hour_over(state)
            if state.lowest >= 0 and (day != state.day or not self._is_night(local.hour)):
                state = self._judged(state)
            state = state._replace(day=day, hour=hour)
        if self._is_night(local.hour):
            state = state._replace(total=state.total + value, summed=state.summed + 1)
        return tuple(state), self._findings(state)

    def _is_night(self, hour: int) -> bool:
        return self.begins <= hour < self.ends

    def _judged(self, state: _Night) -> _Night:
        margin = max(self.least, self.spreads * state.spread)
        if state.nights >= self.learn_nights and state.lowest > state.usual + margin:
            # A night that is held against the others must not change what is usual.
            return state._replace(lowest=-1.0, run=state.run + 1)
        weight = max(1.0 / self.memory_nights, 1.0 / (state.nights + 1))
        difference = state.lowest - state.usual
        return state._replace(
            lowest=-1.0,
            run=0.0,
            nights=state.nights + 1,
            usual=state.usual + weight * difference,
            spread=state.spread + weight * (abs(difference) - state.spread) * (state.nights > 0),
        )

    def _findings(self, state: _Night) -> tuple[Finding, ...]:
        if state.nights < self.learn_nights:
            return ()
        return (
            Finding(
                name=self.name,
                value=state.run,
                confidence=1.0 - 1.0 / (1.0 + state.run),
                sentence=f"{state.run:g} nights in a row flowed far above the usual"
                f" {state.usual:.3g} ± {state.spread:.2g}",
            ),
        )


def _hour_over(state: _Night) -> _Night:
    if not state.summed:
        return state
    mean = state.total / state.summed
    lowest = mean if state.lowest < 0 else min(mean, state.lowest)
    return state._replace(lowest=lowest, total=0.0, summed=0.0)


_DAY_S = timedelta(days=1).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Finds a burst by more flow than the node ever has: half as much again as its usual peak.

    Says `burst_s`: for how long that has gone on, once a day is known.
    """

    name: str = "burst_s"
    metric: str = _FLOW
    factor: float = 1.5
    forget_per_day: float = 0.1
    """How much of the usual peak a day without a higher one takes away."""

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Hold the flow against the usual peak."""
        value = believed(reading, self.metric)
        if value is None:
            return memory, ()
        at_s = reading.measured_at.timestamp()
        _, begun_s, peak, lasted_s, was_over = memory or (at_s, at_s, value, 0.0, 0.0)
        elapsed_s = seconds_since(memory, at_s)
        is_known = at_s - begun_s >= _DAY_S
        is_over = is_known and value > self.factor * peak
        lasted_s = lasted_s + elapsed_s if is_over and was_over else 0.0
        if not is_over:
            faded = peak * (1.0 - self.forget_per_day) ** (elapsed_s / _DAY_S)
            peak = max(faded, value)
        after = (at_s, begun_s, peak, lasted_s, float(is_over))
        if not is_known:
            return after, ()
        sentence = f"{value:.3g} for {lasted_s:.0f} s, where the usual peak is {peak:.3g}"
        found = Finding(name=self.name, value=lasted_s, confidence=1.0, sentence=sentence)
        return after, (found,)
