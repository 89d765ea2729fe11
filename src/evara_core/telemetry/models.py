"""Readings and the nodes that they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.access.tenancy import Tenancy

__all__ = ["Measured", "Node", "Quality", "Reading", "SetAside"]


class Quality(StrEnum):
    """How far a value can be trusted."""

    GOOD = "good"
    SUSPECT = "suspect"
    """Possible, but odd: look before you act on it."""

    BAD = "bad"
    """Cannot be true, or is not a number."""

    MISSING = "missing"
    """The device sent nothing for it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One value of a metric, in the metric's unit."""

    value: float | None
    """None when nothing usable was sent. Never NaN, never infinite."""

    quality: Quality = Quality.GOOD

    check: str | None = None
    """The check that lowered the quality, such as `range`; None when good."""

    raw: str | None = None
    """What was sent, kept only where `value` cannot tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one node measured at one moment.

    Its identity is (node_id, measured_at, entry_id): ThingSpeak's entry ids start again
    at 1 when a channel is cleared.
    """

    node_id: str

    measured_at: datetime
    """By the clock of the device or the channel; aware, UTC."""

    entry_id: int

    received_at: datetime
    """By our clock; aware, UTC."""

    values: Mapping[str, Measured]
    """By metric name, such as `level_percent`: every metric of the mapping, also missing ones."""

    extra: Mapping[str, str] = field(default_factory=dict)
    """What came in fields that no metric is mapped to, as it was sent."""

    mapping_revision: int = 1
    """Of the node's mappings, the one that made it: `telemetry.versions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Something that could not be understood, kept with the reason."""

    node_id: str
    received_at: datetime
    source: str
    """Where it came from, such as `channel 42` or `feeds.csv line 17`."""

    reason: str
    body: str
    """What it was, cut to a bounded length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A monitored asset: a tank, a borewell, a flow meter."""

    node_id: str
    label: str
    kind: str
    """`tank`, `deep`, `flow`, or one that a team registered: `telemetry.kinds`."""

    category: str
    """What people call it: `OHT`, `sump`, `borewell`, `pump house` …"""

    tenancy: Tenancy

    config: Mapping[str, float] = field(default_factory=dict)
    """Sizes and limits, such as `height_cm`: `telemetry.kinds` lists those of each kind."""

    expected_interval_s: float = 60.0
    """How often the device reports. Later than three of these is late."""

    in_maintenance: bool = False
    gateway_id: str | None = None
    """The node through which it reports: when that is offline, rules may mute this one."""
