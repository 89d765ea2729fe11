"""Checks on values, with a memory of a few floats per metric.

Nothing is thrown away: a check lowers the quality of a value and says its own name. The
tests are those of the IOOS QARTOD manuals (gross range, spike, rate of change, flat line,
gap), in a form that needs no value from the future: a step that is too large is suspect
until the next value confirms it.

| check | quality | lowered when |
|---|---|---|
| `junk` | bad | what was sent is not a number |
| `no_number` | bad | the device said that it has none: `nan`, `-` |
| `range` | bad, suspect | beyond what can be, beyond what is likely |
| `calibration` | bad | its calibration gives no number |
| `derivation` | bad | what it is worked out from gives no number |
| `spike` | suspect | a step larger than `max_step` that nothing has confirmed yet |
| `rate` | suspect | a faster change than `max_per_min` |
| `flat` | suspect | the same value for longer than `flat_after_s`, while it should move |
| `decrease` | suspect | a counter went down |
| `clock` | suspect | measured in the future of our clock |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evara_core.telemetry.models import Measured, Quality

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "MAX_CLOCK_LEAD_S",
    "Limits",
    "Trace",
    "inspect",
    "is_ahead",
    "judge_range",
    "lowered",
]

MAX_CLOCK_LEAD_S = 300.0
"""How far a device's clock may be ahead of ours: five minutes, as common protocols allow."""

_TREND_WEIGHT = 0.05
"""Of the newest value in the running mean: the last twenty values count for two thirds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is believed of one metric of one node. None: not checked."""

    minimum: float | None = None
    maximum: float | None = None
    likely_minimum: float | None = None
    likely_maximum: float | None = None
    max_step: float | None = None
    max_per_min: float | None = None
    flat_after_s: float | None = None
    moves_with: str | None = None
    is_cumulative: bool = False

    gap_s: float = 300.0
    """After a longer silence anything may have happened: steps are not checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is remembered of one metric of one node."""

    at: datetime
    """When it last had a value that was believed."""

    value: float
    """That value."""

    changed_at: datetime
    """Since when it has been exactly this."""

    candidate: float | None = None
    """A step that awaits its confirmation."""

    mean: float = 0.0
    variance: float = 0.0
    """Exponentially weighted, over the values that were believed."""


def judge_range(value: float, limits: Limits) -> Measured:
    """Return *value* as it stands against the limits that need no memory."""
    if _is_beyond(value, limits.minimum, limits.maximum):
        return Measured(value, Quality.BAD, "range")
    if _is_beyond(value, limits.likely_minimum, limits.likely_maximum):
        return Measured(value, Quality.SUSPECT, "range")
    return Measured(value)


def inspect(
    trace: Trace | None,
    measured: Measured,
    limits: Limits,
    *,
    at: datetime,
    should_move: bool = True,
) -> tuple[Trace | None, Measured]:
    """Return the memory after *measured*, and *measured* as the checks leave it.

    Call it in the order of time; a value that is older than `trace.at` is not for it.
    """
    value = measured.value
    if value is None or measured.quality in {Quality.BAD, Quality.MISSING}:
        return trace, measured
    if trace is None:
        return Trace(at=at, value=value, changed_at=at, mean=value), measured
    elapsed_s = (at - trace.at).total_seconds()
    if check := _odd_step(trace, value, limits, elapsed_s):
        if elapsed_s > limits.gap_s:
            # Anything may have happened meanwhile, so it is believed; but nobody saw it happen.
            return _believed(trace, value, at), lowered(measured, "gap")
        if check == "spike":
            return replace(trace, candidate=value), lowered(measured, check)
        return _believed(trace, value, at), lowered(measured, check)
    if limits.is_cumulative and value < trace.value:
        return _believed(trace, value, at), lowered(measured, "decrease")
    after = _believed(trace, value, at)
    if not should_move:
        # A pump that rests must not use up the patience with its sensor.
        after = replace(after, changed_at=at)
    elif (
        limits.flat_after_s is not None
        and (at - after.changed_at).total_seconds() > limits.flat_after_s
    ):
        return after, lowered(measured, "flat")
    return after, measured


def is_ahead(measured_at: datetime, received_at: datetime) -> bool:
    """Whether a reading claims to be from the future."""
    return (measured_at - received_at).total_seconds() > MAX_CLOCK_LEAD_S


def lowered(measured: Measured, check: str, quality: Quality = Quality.SUSPECT) -> Measured:
    """Return *measured* with the lower of its own quality and *quality*."""
    if measured.quality is not Quality.GOOD:
        return measured
    return replace(measured, quality=quality, check=check)


def _odd_step(trace: Trace, value: float, limits: Limits, elapsed_s: float) -> str | None:
    step = abs(value - trace.value)
    if limits.max_step is not None and step > limits.max_step:
        is_confirmed = (
            trace.candidate is not None and abs(value - trace.candidate) <= limits.max_step
        )
        return None if is_confirmed else "spike"
    if limits.max_per_min is not None and step * 60 > limits.max_per_min * elapsed_s:
        return "rate"
    return None


def _believed(trace: Trace, value: float, at: datetime) -> Trace:
    difference = value - trace.mean
    mean = trace.mean + _TREND_WEIGHT * difference
    variance = (1 - _TREND_WEIGHT) * (trace.variance + _TREND_WEIGHT * difference * difference)
    return Trace(
        at=at,
        value=value,
        changed_at=trace.changed_at if value == trace.value else at,
        mean=mean,
        variance=variance,
    )


def _is_beyond(value: float, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is not None and value < minimum) or (maximum is not None and value > maximum)
