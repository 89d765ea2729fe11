"""Readings, and what could not be understood."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.types import BigKey, Id, Json, Measure, UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "readings",
        sa.Column("node_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("level_cm", Measure),
        sa.Column("level_percent", Measure),
        sa.Column("volume_l", Measure),
        sa.Column("temperature_c", Measure),
        sa.Column("tds_ppm", Measure),
        sa.Column("ph", Measure),
        sa.Column("flow_l_per_min", Measure),
        sa.Column("total_volume_l", Measure),
        sa.Column("pressure_bar", Measure),
        sa.Column("static_level_m", Measure),
        sa.Column("dynamic_level_m", Measure),
        sa.Column("pump_current_a", Measure),
        sa.Column("battery_v", Measure),
        sa.Column("rssi_dbm", Measure),
        sa.Column("extra", Json),
        sa.Column("flags", Json),
        sa.PrimaryKeyConstraint("node_key", "measured_at", "entry_id", name=op.f("pk_readings")),
        postgresql_partition_by="RANGE (measured_at)",
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE TABLE readings_default PARTITION OF readings DEFAULT")
        op.create_index(
            "ix_readings_measured_at", "readings", ["measured_at"], postgresql_using="brin"
        )
    op.create_table(
        "set_aside",
        sa.Column("set_aside_id", BigKey, nullable=False),
        sa.Column("node_id", Id, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("replayed_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("set_aside_id", name=op.f("pk_set_aside")),
        sa.UniqueConstraint(
            "node_id", "received_at", "source", name=op.f("uq_set_aside_node_id_received_at_source")
        ),
    )


def downgrade() -> None:
    op.drop_table("set_aside")
    op.drop_table("readings")
