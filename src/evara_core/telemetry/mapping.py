"""From the fields of a channel to the metrics of a node."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ChannelMapping", "FieldMapping"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMapping:
    """Which channel a node reports to, and what its fields mean."""

    channel_id: int
    fields: tuple[FieldMapping, ...]
