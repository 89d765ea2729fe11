"""Small, plausible nodes, entries and readings, to be varied by what a test is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from evara_core.access.tenancy import Tenancy
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Measured, Node, Reading
from evara_core.thingspeak.models import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["START", "entry", "mapping_for", "reading", "tank"]

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When the samples begin: the same moment as `ManualClock`."""


def tank(
    node_id: str = "tank-1",
    *,
    tenancy: Tenancy = Tenancy(distributor_id="d-1", community_id="c-1", customer_id="u-1"),
    config: Mapping[str, float] | None = None,
    expected_interval_s: float = 60.0,
    in_maintenance: bool = False,
) -> Node:
    """Return a tank of 200 cm that holds 10,000 litres."""
    return Node(
        node_id=node_id,
        label=node_id.title(),
        kind="tank",
        category="OHT",
        tenancy=tenancy,
        config={"height_cm": 200.0, "capacity_l": 10_000.0} if config is None else config,
        expected_interval_s=expected_interval_s,
        in_maintenance=in_maintenance,
    )


def mapping_for(channel_id: int = 1) -> ChannelMapping:
    """Return what a tank with a level sensor and a battery sends: cm and volts."""
    return ChannelMapping(
        channel_id=channel_id,
        fields=(
            FieldMapping(field=1, metric="level_cm"),
            FieldMapping(field=2, metric="battery_v"),
        ),
    )


def entry(
    entry_id: int,
    level: str | None = "100",
    *,
    battery: str | None = "3.9",
    at_s: float | None = None,
    start: datetime = START,
) -> Entry:
    """Return an entry that was made *at_s* seconds after *start*; a minute per id if None."""
    seconds = 60.0 * entry_id if at_s is None else at_s
    return Entry(
        entry_id=entry_id,
        created_at=start + timedelta(seconds=seconds),
        fields={1: level, 2: battery},
    )


def reading(
    node_id: str = "tank-1",
    entry_id: int = 1,
    *,
    level_percent: float = 50.0,
    at_s: float | None = None,
    values: Mapping[str, Measured] | None = None,
    extra: Mapping[str, str] | None = None,
) -> Reading:
    """Return a reading that arrived two seconds after it was measured."""
    measured_at = START + timedelta(seconds=60.0 * entry_id if at_s is None else at_s)
    return Reading(
        node_id=node_id,
        measured_at=measured_at,
        entry_id=entry_id,
        received_at=measured_at + timedelta(seconds=2),
        values={"level_percent": Measured(level_percent)} if values is None else values,
        extra={} if extra is None else extra,
    )
