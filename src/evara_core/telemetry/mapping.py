"""From the fields of a channel to the metrics of a node: what the mapping says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.telemetry.calibration import Calibration

__all__ = ["MAX_FIELD", "ChannelMapping", "FieldMapping", "demand_labels", "missing_labels"]

MAX_FIELD = 8
"""The fields that a ThingSpeak channel has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMapping:
    """What one field of a channel means."""

    field: int
    """1 to 8."""

    metric: str
    """A metric of the node's kind, such as `level_cm`."""

    unit: str | None = None
    """The unit in which the device sends; None: the metric's own."""

    scale: float = 1.0
    offset: float = 0.0
    """metric = convert(sent, unit) * scale + offset"""

    minimum: float | None = None
    maximum: float | None = None
    """Beyond these, in the metric's unit, the value is bad."""

    calibrations: tuple[Calibration, ...] = ()
    """Applied after scale and offset; of those that hold when a value was measured, the last."""

    def __post_init__(self) -> None:
        where = f"field {self.field} ({self.metric})"
        if not 1 <= self.field <= MAX_FIELD:
            raise InvalidMappingError(f"{where}: a channel has fields 1 to {MAX_FIELD}")
        if not self.metric:
            raise InvalidMappingError(f"field {self.field}: no metric is named")
        numbers = (self.scale, self.offset, self.minimum, self.maximum)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise InvalidMappingError(f"{where}: numbers must be finite")
        if self.scale == 0:
            raise InvalidMappingError(f"{where}: a scale of 0 makes every value the same")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise InvalidMappingError(
                f"{where}: the minimum {self.minimum:g} is not below the maximum {self.maximum:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMapping:
    """Which channel a node reports to, and what its fields mean."""

    channel_id: int
    fields: tuple[FieldMapping, ...]

    def __post_init__(self) -> None:
        if self.channel_id < 1:
            raise InvalidMappingError(f"there is no channel {self.channel_id}")
        if not self.fields:
            raise InvalidMappingError(f"channel {self.channel_id}: no field is mapped")
        for what, names in (
            ("field", [str(mapped.field) for mapped in self.fields]),
            ("metric", [mapped.metric for mapped in self.fields]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise InvalidMappingError(
                    f"channel {self.channel_id}: {what} mapped twice: {', '.join(twice)}"
                )


def missing_labels(mapping: ChannelMapping, labels: Mapping[int, str]) -> tuple[int, ...]:
    """Return the mapped fields that the channel gives no label to.

    A channel stores what is sent to an unlabelled field and never shows it: the metric
    would stay missing for ever.
    """
    return tuple(mapped.field for mapped in mapping.fields if mapped.field not in labels)


def demand_labels(mapping: ChannelMapping, labels: Mapping[int, str]) -> None:
    """Refuse a mapping of fields that its channel does not show.

    Raises:
        InvalidMappingError: It names a field without a label, and tells those that have one.
    """
    if missing := missing_labels(mapping, labels):
        named = ", ".join(f"{number} ({text})" for number, text in sorted(labels.items()))
        raise InvalidMappingError(
            f"channel {mapping.channel_id}: no label on field"
            f" {', '.join(map(str, missing))}, so nothing can be read from there"
            f" (labelled: {named or 'none'})"
        )
