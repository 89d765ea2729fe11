"""What the sensors said, and what could not be understood of it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from evara_core.storage.tables.base import OFTEN_REWRITTEN, metadata
from evara_core.storage.types import BigKey, Id, Json, Measure, UtcDateTime

__all__ = ["METRIC_COLUMNS", "readings", "rollup_marks", "rollups", "set_aside"]

METRIC_COLUMNS = (
    "level_cm",
    "level_percent",
    "volume_l",
    "temperature_c",
    "tds_ppm",
    "ph",
    "flow_l_per_min",
    "total_volume_l",
    "pressure_bar",
    "static_level_m",
    "dynamic_level_m",
    "pump_current_a",
    "battery_v",
    "rssi_dbm",
)
"""Metrics with a column of their own. Any other is kept in `readings.extra`."""

readings = Table(
    "readings",
    metadata,
    # No foreign key: each row would pay for the check, and ingest holds the node's state row
    # locked while it writes.
    Column("node_key", Integer, nullable=False, autoincrement=False),
    Column("measured_at", UtcDateTime, nullable=False),
    # ThingSpeak's entry ids start again at 1 when a channel is cleared, so the moment is
    # part of the key.
    Column("entry_id", BigInteger, nullable=False, autoincrement=False),
    Column("received_at", UtcDateTime, nullable=False),
    *(Column(name, Measure) for name in METRIC_COLUMNS),
    Column("extra", Json),
    Column("flags", Json),
    # What it was made by: `mapping_history.revision`. NULL, which takes no room: the first.
    Column("mapping_revision", SmallInteger),
    PrimaryKeyConstraint("node_key", "measured_at", "entry_id"),
    Index("ix_readings_measured_at", "measured_at", postgresql_using="brin").ddl_if(
        dialect="postgresql"
    ),
    postgresql_partition_by="RANGE (measured_at)",
)
"""One row for what one node measured at one moment.

A metric's column holds a value that is good or suspect. `flags` tells, by metric, of every value
that is not good, and keeps the bad ones, so that no sum or chart can take them for measurements.
"""

rollups = Table(
    "rollups",
    metadata,
    Column("node_key", Integer, nullable=False, autoincrement=False),
    Column("period", Text, nullable=False),
    Column("start_at", UtcDateTime, nullable=False),
    Column("end_at", UtcDateTime, nullable=False),
    Column("readings", Integer, nullable=False),
    *(
        column
        for name in METRIC_COLUMNS
        for column in (
            Column(f"{name}_n", Integer),
            Column(f"{name}_min", Measure),
            Column(f"{name}_max", Measure),
            Column(f"{name}_sum", Measure),
        )
    ),
    PrimaryKeyConstraint("node_key", "period", "start_at"),
)
"""What the readings of one node were in one hour or day: how many values, the smallest, the
largest, and their sum. `storage.rollups` keeps it."""

rollup_marks = Table(
    "rollup_marks",
    metadata,
    Column("node_key", Integer, nullable=False, autoincrement=False),
    Column("period", Text, nullable=False),
    Column("start_at", UtcDateTime, nullable=False),
    Column("end_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("node_key", "period", "start_at"),
    listeners=OFTEN_REWRITTEN,
)
"""The buckets whose rollup is to be made anew."""

set_aside = Table(
    "set_aside",
    metadata,
    Column("set_aside_id", BigKey, primary_key=True),
    # Whose node it is, for the walls between tenants. None once the node is gone.
    Column("node_key", ForeignKey("nodes.node_key", ondelete="SET NULL"), index=True),
    Column("node_id", Id, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("replayed_at", UtcDateTime),
    Column("dismissed_at", UtcDateTime),
    Column("dismissed_by", Id),
    # The same thing set aside twice, after a commit whose answer was lost, is kept once.
    UniqueConstraint("node_id", "received_at", "source"),
    Index(None, "received_at", "set_aside_id"),
)
