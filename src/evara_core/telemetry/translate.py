"""From an entry of a channel to a reading of a node.

A `Translator` is made once per node and mapping: names are looked up, units turned into
factors and derivations put in order then, so that an entry costs a few multiplications.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.calibration import calibration_at
from evara_core.telemetry.derivation import Derivation, chosen
from evara_core.telemetry.kinds import STANDARD_KINDS, KindRegistry, Metric
from evara_core.telemetry.models import Measured, Node, Quality, Reading
from evara_core.telemetry.quality import Limits, inspect, is_ahead, judge_range, lowered
from evara_core.thingspeak.values import ValueKind, parse_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.telemetry.calibration import Calibration
    from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
    from evara_core.telemetry.quality import Trace
    from evara_core.telemetry.units import Conversion
    from evara_core.thingspeak.models import Entry

__all__ = [
    "EARLIEST",
    "MAX_MAGNITUDE",
    "MAX_RAW_CHARS",
    "Step",
    "Translator",
    "order_of",
    "refusal",
    "translator_for",
]

MAX_RAW_CHARS = 255
"""What is kept of a text: as much as ThingSpeak takes per field, and per status."""

MAX_MAGNITUDE = 1e15
"""No metric of water goes farther: all the lakes hold 2e20 l, no tank or meter a millionth of
that. What lies beyond is junk, and would overflow the statistics."""

EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
"""ThingSpeak began in 2010. An earlier moment is that of a device whose clock was reset."""

_LATEST_LEAD = timedelta(days=1)
"""A moment farther ahead of our clock than every time zone is no moment of a reading."""

_UNCHECKED = Limits(gap_s=0.0)
_GAP_INTERVALS = 3.0
"""Without a value for this many expected intervals, steps are no longer checked."""


@dataclass(frozen=True, slots=True)
class Step:
    """How the text of one field becomes a value of one metric."""

    field: int
    metric: str
    conversion: Conversion
    scale: float
    offset: float
    limits: Limits
    calibrations: tuple[Calibration, ...] = ()

    def undone(self, value: float) -> float:
        """Return what was sent where no calibration has touched it."""
        own = (value - self.offset) / self.scale
        return (
            (own - self.conversion.offset)
            * self.conversion.denominator
            / (self.conversion.numerator)
        )


@dataclass(frozen=True, slots=True)
class Translator:
    """What is needed to read the entries of one node. Made by `translator_for`."""

    node_id: str
    steps: tuple[Step, ...]
    derivations: tuple[Derivation, ...]
    derived_limits: Mapping[str, Limits]
    revision: int = 1
    """Of the node's mappings: `telemetry.versions`."""

    since: datetime | None = None
    earlier: Translator | None = None
    """What reads entries that were made before `since`."""

    def holding_at(self, moment: datetime) -> Translator:
        """Return what reads the entries that were made at *moment*: this, or an earlier one."""
        held = self
        while held.earlier is not None and held.since is not None and moment < held.since:
            held = held.earlier
        return held

    def reading(self, entry: Entry, *, received_at: datetime) -> Reading:
        """Return *entry* as a reading, with the checks that need no memory.

        Whatever the fields hold: what is no number is a bad value with its text kept.
        """
        at = entry.created_at
        if self.earlier is not None and (held := self.holding_at(at)) is not self:
            return held.reading(entry, received_at=received_at)
        values = {s.metric: _measured(s, entry.fields.get(s.field), at) for s in self.steps}
        if is_ahead(entry.created_at, received_at):
            values = {name: lowered(measured, "clock") for name, measured in values.items()}
        mapped = {step.field for step in self.steps}
        return Reading(
            node_id=self.node_id,
            measured_at=entry.created_at,
            entry_id=entry.entry_id,
            received_at=received_at,
            values=self._with_derived(values),
            extra=_extra(entry, mapped),
            mapping_revision=self.revision,
        )

    def inspected(
        self, readings: Sequence[Reading], traces: Mapping[str, Trace], *, since: datetime | None
    ) -> tuple[list[Reading], dict[str, Trace]]:
        """Return *readings* with the checks that need a memory, and the memory after them.

        Args:
            readings: In the order of time.
            traces: The memory before.
            since: Readings up to here are late: they are left as they are.
        """
        after = dict(traces)
        checked = []
        previous = since
        for reading in readings:
            at = min(reading.measured_at, reading.received_at)
            is_twin, previous = reading.measured_at == previous, reading.measured_at
            if since is not None and (at < since or (at == since and not is_twin)):
                checked.append(reading)
                continue
            held = self if self.earlier is None else self.holding_at(reading.measured_at)
            if held.since is not None:
                # What another mapping made of a field is nothing to compare with.
                after = {name: trace for name, trace in after.items() if trace.at >= held.since}
            values = held._checked(  # noqa: SLF001 - one of our own
                reading.values, after, at, is_twin=is_twin
            )
            checked.append(replace(reading, values=values))
        return checked, after

    def _checked(
        self, known: Mapping[str, Measured], after: dict[str, Trace], at: datetime, *, is_twin: bool
    ) -> dict[str, Measured]:
        """Return *known* with the checks that need a memory; *after* is moved on.

        Of a twin, which has the moment of the reading before it, what that one told of is told
        twice.
        """
        values = dict(known)
        for step in self.steps:
            trace = after.get(step.metric)
            if is_twin and trace is not None and trace.at == at:
                values[step.metric] = lowered(values[step.metric], "duplicate")
                continue
            trace, values[step.metric] = inspect(
                trace,
                values[step.metric],
                step.limits,
                at=at,
                should_move=_should_move(step.limits.moves_with, values),
            )
            if trace is not None:
                after[step.metric] = trace
        values = self._with_derived(values)
        for derivation in self.derivations:
            # Its checks were its source's; only the memory is its own.
            name = derivation.metric
            trace, _ = inspect(after.get(name), values[name], _UNCHECKED, at=at)
            if trace is not None:
                after[name] = trace
        return values

    def _with_derived(self, values: dict[str, Measured]) -> dict[str, Measured]:
        for derivation in self.derivations:
            values[derivation.metric] = _derived(
                derivation, values[derivation.source], self.derived_limits[derivation.metric]
            )
        return values


def translator_for(
    node: Node, mapping: ChannelMapping, *, kinds: KindRegistry = STANDARD_KINDS
) -> Translator:
    """Return what reads the entries of *node*.

    Raises:
        InvalidMappingError: The kind, a metric or a unit is not known, a unit measures
            something else than its metric, or the node's sizes or interval make no sense.
    """
    if not 0 < node.expected_interval_s < math.inf:
        raise InvalidMappingError(
            f"expected_interval_s must be above 0, not {node.expected_interval_s:g}"
        )
    kind = kinds.kind(node.kind)
    config = {**kind.implied(node.config), **node.config}
    gap_s = _GAP_INTERVALS * node.expected_interval_s
    steps = []
    for mapped in mapping.fields:
        metric = kind.metric(mapped.metric)
        steps.append(
            Step(
                field=mapped.field,
                metric=metric.name,
                conversion=kinds.units.conversion(mapped.unit or metric.unit, metric.unit),
                scale=mapped.scale,
                offset=mapped.offset,
                limits=_limits(metric, config, mapped, gap_s),
                calibrations=mapped.calibrations,
            )
        )
    derivations = chosen(kind.derivations(node.config), {step.metric for step in steps})
    return Translator(
        node_id=node.node_id,
        steps=tuple(steps),
        derivations=derivations,
        derived_limits={
            d.metric: _limits(kind.metric(d.metric), config, None, gap_s) for d in derivations
        },
    )


def refusal(entry: Entry, *, received_at: datetime) -> str | None:
    """Return why *entry* cannot be a reading at all; None when it can."""
    if entry.created_at < EARLIEST:
        return f"its time is before {EARLIEST.year}: the clock of the device was reset"
    if entry.created_at > received_at + _LATEST_LEAD:
        return "its time is more than a day ahead"
    return None


def order_of(reading: Reading) -> tuple[datetime, int]:
    """Return what puts readings in the order in which they are inspected."""
    return reading.measured_at, reading.entry_id


def _limits(
    metric: Metric, config: Mapping[str, float], mapped: FieldMapping | None, gap_s: float
) -> Limits:
    def limit(name: str, usual: float | None) -> float | None:
        return config.get(f"{metric.name}.{name}", usual)

    minimum, maximum = limit("minimum", metric.minimum), limit("maximum", metric.maximum)
    if mapped is not None:
        minimum = minimum if mapped.minimum is None else mapped.minimum
        maximum = maximum if mapped.maximum is None else mapped.maximum
    return Limits(
        minimum=minimum,
        maximum=maximum,
        likely_minimum=limit("likely_minimum", metric.likely_minimum),
        likely_maximum=limit("likely_maximum", metric.likely_maximum),
        max_step=limit("max_step", metric.max_step),
        max_per_min=limit("max_per_min", metric.max_per_min),
        flat_after_s=limit("flat_after_s", metric.flat_after_s),
        moves_with=metric.moves_with,
        is_cumulative=metric.is_cumulative,
        gap_s=gap_s,
    )


def _measured(step: Step, text: str | None, at: datetime) -> Measured:
    sent = parse_value(text)
    match sent.kind:
        case ValueKind.NULL | ValueKind.EMPTY:
            return Measured(None, Quality.MISSING)
        case ValueKind.NUMBER if sent.number is not None:
            value = step.conversion(sent.number) * step.scale + step.offset
            calibration = calibration_at(step.calibrations, at) if step.calibrations else None
            if calibration is not None:
                return _calibrated(step, calibration, value, (text or "")[:MAX_RAW_CHARS])
            if abs(value) <= MAX_MAGNITUDE:
                return judge_range(value, step.limits)
    check = "no_number" if sent.kind is ValueKind.NO_NUMBER else "junk"
    return Measured(None, Quality.BAD, check, raw=(text or "")[:MAX_RAW_CHARS])


def _calibrated(step: Step, calibration: Calibration, value: float, sent: str) -> Measured:
    true = calibration(value)
    if not abs(true) <= MAX_MAGNITUDE:
        return Measured(None, Quality.BAD, "calibration", raw=sent)
    # A calibration cannot always be undone: what was sent is kept for the next one.
    return replace(judge_range(true, step.limits), raw=sent)


def _extra(entry: Entry, mapped: set[int]) -> dict[str, str]:
    sent = {
        **{f"field{f}": text for f, text in sorted(entry.fields.items()) if f not in mapped},
        "status": entry.status,
        "latitude": entry.latitude,
        "longitude": entry.longitude,
        "elevation": entry.elevation,
    }
    return {name: text[:MAX_RAW_CHARS] for name, text in sent.items() if text is not None}


def _derived(derivation: Derivation, source: Measured, limits: Limits) -> Measured:
    if source.value is None or source.quality is Quality.BAD:
        return Measured(None, source.quality, source.check)
    try:
        value = derivation.compute(source.value)
    except (ArithmeticError, ValueError):
        value = math.inf
    if not abs(value) <= MAX_MAGNITUDE:
        return Measured(None, Quality.BAD, "derivation")
    own = judge_range(value, limits)
    if source.quality is Quality.SUSPECT and source.check is not None:
        return lowered(own, source.check)
    return own


def _should_move(moves_with: str | None, values: Mapping[str, Measured]) -> bool:
    if moves_with is None or moves_with not in values:
        return True
    drive = values[moves_with].value
    return drive is not None and drive > 0
