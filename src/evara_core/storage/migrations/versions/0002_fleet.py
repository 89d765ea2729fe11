"""The nodes, their channels and how they stand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN
from evara_core.storage.types import Id, Json, Measure, UtcDateTime

revision = "0002"
down_revision = "0001"

_CONFIGS = (
    (
        "tank_configs",
        (
            "height_cm",
            "diameter_cm",
            "length_cm",
            "width_cm",
            "capacity_l",
            "sensor_height_cm",
        ),
        {
            "height_is_positive": "height_cm > 0",
            "diameter_is_positive": "diameter_cm > 0",
            "length_is_positive": "length_cm > 0",
            "width_is_positive": "width_cm > 0",
            "capacity_is_positive": "capacity_l > 0",
            "sensor_is_above_the_floor": "sensor_height_cm > 0",
        },
    ),
    (
        "deep_configs",
        ("depth_m", "pump_depth_m", "static_level_m"),
        {
            "depth_is_positive": "depth_m > 0",
            "pump_is_below_the_ground": "pump_depth_m > 0",
            "pump_is_in_the_hole": "pump_depth_m <= depth_m",
            "water_is_in_the_hole": "static_level_m <= depth_m",
        },
    ),
    (
        "flow_configs",
        ("pulses_per_l", "max_flow_l_per_min"),
        {"pulses_are_positive": "pulses_per_l > 0", "flow_is_positive": "max_flow_l_per_min > 0"},
    ),
)


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("node_id", Id, nullable=False),
        sa.Column("distributor_id", Id, nullable=False),
        sa.Column("community_id", Id),
        sa.Column("customer_id", Id),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("location_name", sa.Text()),
        sa.Column("latitude", Measure),
        sa.Column("longitude", Measure),
        sa.Column("capacity_l", Measure),
        sa.Column("capacity_text", sa.Text()),
        sa.Column("config", Json, nullable=False),
        sa.Column("expected_interval_s", Measure, nullable=False),
        sa.Column("in_maintenance", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("capacity_l >= 0", name=op.f("ck_nodes_capacity_is_not_negative")),
        sa.CheckConstraint("expected_interval_s > 0", name=op.f("ck_nodes_interval_is_positive")),
        sa.CheckConstraint(
            "latitude BETWEEN -90 AND 90", name=op.f("ck_nodes_latitude_is_on_earth")
        ),
        sa.CheckConstraint(
            "longitude BETWEEN -180 AND 180", name=op.f("ck_nodes_longitude_is_on_earth")
        ),
        sa.ForeignKeyConstraint(
            ["community_id", "distributor_id"],
            ["communities.community_id", "communities.distributor_id"],
            name=op.f("fk_nodes_community_id_distributor_id_communities"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "distributor_id"],
            ["customers.customer_id", "customers.distributor_id"],
            name=op.f("fk_nodes_customer_id_distributor_id_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_nodes_distributor_id_distributors"),
        ),
        sa.PrimaryKeyConstraint("node_key", name=op.f("pk_nodes")),
        sa.UniqueConstraint("node_id", name=op.f("uq_nodes_node_id")),
    )
    op.create_index(
        op.f("ix_nodes_community_id_created_at_node_id"),
        "nodes",
        ["community_id", "created_at", "node_id"],
    )
    op.create_index(op.f("ix_nodes_created_at_node_id"), "nodes", ["created_at", "node_id"])
    op.create_index(
        op.f("ix_nodes_customer_id_created_at_node_id"),
        "nodes",
        ["customer_id", "created_at", "node_id"],
    )
    op.create_index(
        op.f("ix_nodes_distributor_id_created_at_node_id"),
        "nodes",
        ["distributor_id", "created_at", "node_id"],
    )
    _create_configs()
    op.create_table(
        "thingspeak_mappings",
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("read_key", sa.Text()),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "channel_id > 0", name=op.f("ck_thingspeak_mappings_channel_is_positive")
        ),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_thingspeak_mappings_node_key_nodes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("node_key", name=op.f("pk_thingspeak_mappings")),
    )
    op.create_index(
        op.f("ix_thingspeak_mappings_channel_id"), "thingspeak_mappings", ["channel_id"]
    )
    op.create_table(
        "field_mappings",
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("field", sa.SmallInteger(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text()),
        sa.Column("scale", Measure, nullable=False),
        sa.Column("offset", Measure, nullable=False),
        sa.Column("minimum", Measure),
        sa.Column("maximum", Measure),
        sa.CheckConstraint("field BETWEEN 1 AND 8", name=op.f("ck_field_mappings_field_exists")),
        sa.CheckConstraint(
            "minimum <= maximum", name=op.f("ck_field_mappings_bounds_are_in_order")
        ),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["thingspeak_mappings.node_key"],
            name=op.f("fk_field_mappings_node_key_thingspeak_mappings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("node_key", "field", "metric", name=op.f("pk_field_mappings")),
    )
    op.create_table(
        "node_operational_state",
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("last_reading_at", UtcDateTime()),
        sa.Column("last_seen_at", UtcDateTime()),
        sa.Column("last_entry_id", sa.BigInteger()),
        sa.Column("connectivity", sa.Text(), nullable=False),
        sa.Column("values", Json, nullable=False),
        sa.Column("active_alerts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("health_score", sa.SmallInteger()),
        sa.Column("health_reasons", Json, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("position_channel_id", sa.BigInteger()),
        sa.Column("position_entry_id", sa.BigInteger()),
        sa.Column("position_at", UtcDateTime()),
        sa.Column("position_held", sa.Text()),
        sa.CheckConstraint(
            "active_alerts >= 0", name=op.f("ck_node_operational_state_alerts_are_counted")
        ),
        sa.CheckConstraint(
            "health_score BETWEEN 0 AND 100",
            name=op.f("ck_node_operational_state_health_is_a_percentage"),
        ),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_node_operational_state_node_key_nodes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("node_key", name=op.f("pk_node_operational_state")),
        listeners=OFTEN_REWRITTEN,
    )


def _create_configs() -> None:
    for table, sizes, checks in _CONFIGS:
        op.create_table(
            table,
            sa.Column("node_key", sa.Integer(), nullable=False),
            *(sa.Column(name, Measure) for name in sizes),
            *(
                sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))
                for name, rule in checks.items()
            ),
            sa.ForeignKeyConstraint(
                ["node_key"],
                ["nodes.node_key"],
                name=op.f(f"fk_{table}_node_key_nodes"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint("node_key", name=op.f(f"pk_{table}")),
        )


def downgrade() -> None:
    op.drop_table("node_operational_state")
    op.drop_table("field_mappings")
    op.drop_table("thingspeak_mappings")
    for table, _, _ in _CONFIGS:
        op.drop_table(table)
    op.drop_table("nodes")
