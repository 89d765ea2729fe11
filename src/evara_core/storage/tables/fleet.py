"""The nodes, the channels they report to, and how they stand."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    false,
)

from evara_core.storage.tables.base import OFTEN_REWRITTEN, metadata, tenancy_columns
from evara_core.storage.types import Id, Json, Measure, UtcDateTime

__all__ = [
    "field_mappings",
    "mapping_history",
    "node_operational_state",
    "nodes",
    "thingspeak_mappings",
]

nodes = Table(
    "nodes",
    metadata,
    # Telemetry refers to nodes by number: 48 index bytes for each reading where a UUID takes 80.
    Column("node_key", Integer, primary_key=True),
    Column("node_id", Id, nullable=False, unique=True),
    *tenancy_columns(),
    Column("label", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("location_name", Text),
    Column("latitude", Measure),
    Column("longitude", Measure),
    Column("capacity_l", Measure),
    Column("capacity_text", Text),
    Column("config", Json, nullable=False),
    Column("expected_interval_s", Measure, nullable=False),
    Column("in_maintenance", Boolean, nullable=False, server_default=false()),
    # The node through which it reports; it need not be known here.
    Column("gateway_id", Id),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["distributor_id"], ["distributors.distributor_id"]),
    ForeignKeyConstraint(
        ["community_id", "distributor_id"],
        ["communities.community_id", "communities.distributor_id"],
    ),
    ForeignKeyConstraint(
        ["customer_id", "distributor_id"],
        ["customers.customer_id", "customers.distributor_id"],
    ),
    CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude_is_on_earth"),
    CheckConstraint("longitude BETWEEN -180 AND 180", name="longitude_is_on_earth"),
    CheckConstraint("capacity_l >= 0", name="capacity_is_not_negative"),
    CheckConstraint("expected_interval_s > 0", name="interval_is_positive"),
    Index(None, "created_at", "node_id"),
    Index(None, "distributor_id", "created_at", "node_id"),
    Index(None, "community_id", "created_at", "node_id"),
    Index(None, "customer_id", "created_at", "node_id"),
)

thingspeak_mappings = Table(
    "thingspeak_mappings",
    metadata,
    Column("node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), primary_key=True),
    Column("channel_id", BigInteger, nullable=False, index=True),
    Column("read_key", Text),
    # All of `telemetry.mapping.ChannelMapping`; `field_mappings` has what queries ask for.
    Column("mapping", Text, nullable=False),
    # The row of `mapping_history` that holds now.
    Column("revision", SmallInteger, nullable=False, server_default="1"),
    CheckConstraint("channel_id > 0", name="channel_is_positive"),
)

mapping_history = Table(
    "mapping_history",
    metadata,
    Column("node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), primary_key=True),
    # Counted from 1 for each node. `readings.mapping_revision` names it.
    Column("revision", SmallInteger, primary_key=True, autoincrement=False),
    Column("channel_id", BigInteger, nullable=False),
    Column("since_at", UtcDateTime, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", Id),
    # When another was saved that holds from the same moment or before: this one holds no more,
    # and tells only how readings were made that it has made.
    Column("withdrawn_at", UtcDateTime),
    CheckConstraint("revision > 0", name="revision_is_positive"),
    CheckConstraint("since_at <= saved_at", name="begins_before_it_is_saved"),
)
"""Every mapping that a node has had, also the one that it has."""

field_mappings = Table(
    "field_mappings",
    metadata,
    Column(
        "node_key",
        Integer,
        ForeignKey("thingspeak_mappings.node_key", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("field", SmallInteger, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("unit", Text),
    Column("scale", Measure, nullable=False),
    Column("offset", Measure, nullable=False),
    Column("minimum", Measure),
    Column("maximum", Measure),
    CheckConstraint("field BETWEEN 1 AND 8", name="field_exists"),
    CheckConstraint("minimum <= maximum", name="bounds_are_in_order"),
)

node_operational_state = Table(
    "node_operational_state",
    metadata,
    Column("node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), primary_key=True),
    Column("status", Text, nullable=False),
    Column("last_reading_at", UtcDateTime),
    Column("last_seen_at", UtcDateTime),
    Column("last_entry_id", BigInteger),
    Column("connectivity", Text, nullable=False),
    Column("values", Json, nullable=False),
    Column("active_alerts", Integer, nullable=False, server_default="0"),
    Column("health_score", SmallInteger),
    Column("health_reasons", Json, nullable=False),
    # All of `telemetry.state.NodeState`, as `telemetry.codec` writes it; the columns beside it
    # are what queries ask for.
    Column("document", Text, nullable=False),
    # How far the channel has been read. Here, because every look at a node writes this row
    # anyway; it counts only while the node reports to this channel.
    Column("position_channel_id", BigInteger),
    Column("position_entry_id", BigInteger),
    Column("position_at", UtcDateTime),
    Column("position_held", Text),
    CheckConstraint("health_score BETWEEN 0 AND 100", name="health_is_a_percentage"),
    CheckConstraint("active_alerts >= 0", name="alerts_are_counted"),
    listeners=OFTEN_REWRITTEN,
)
