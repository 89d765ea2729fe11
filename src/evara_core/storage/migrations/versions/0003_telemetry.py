"""Readings, and what could not be understood."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN
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
        "rollups",
        sa.Column("node_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("start_at", UtcDateTime(), nullable=False),
        sa.Column("end_at", UtcDateTime(), nullable=False),
        sa.Column("readings", sa.Integer(), nullable=False),
        sa.Column("level_cm_n", sa.Integer()),
        sa.Column("level_cm_min", Measure),
        sa.Column("level_cm_max", Measure),
        sa.Column("level_cm_sum", Measure),
        sa.Column("level_percent_n", sa.Integer()),
        sa.Column("level_percent_min", Measure),
        sa.Column("level_percent_max", Measure),
        sa.Column("level_percent_sum", Measure),
        sa.Column("volume_l_n", sa.Integer()),
        sa.Column("volume_l_min", Measure),
        sa.Column("volume_l_max", Measure),
        sa.Column("volume_l_sum", Measure),
        sa.Column("temperature_c_n", sa.Integer()),
        sa.Column("temperature_c_min", Measure),
        sa.Column("temperature_c_max", Measure),
        sa.Column("temperature_c_sum", Measure),
        sa.Column("tds_ppm_n", sa.Integer()),
        sa.Column("tds_ppm_min", Measure),
        sa.Column("tds_ppm_max", Measure),
        sa.Column("tds_ppm_sum", Measure),
        sa.Column("ph_n", sa.Integer()),
        sa.Column("ph_min", Measure),
        sa.Column("ph_max", Measure),
        sa.Column("ph_sum", Measure),
        sa.Column("flow_l_per_min_n", sa.Integer()),
        sa.Column("flow_l_per_min_min", Measure),
        sa.Column("flow_l_per_min_max", Measure),
        sa.Column("flow_l_per_min_sum", Measure),
        sa.Column("total_volume_l_n", sa.Integer()),
        sa.Column("total_volume_l_min", Measure),
        sa.Column("total_volume_l_max", Measure),
        sa.Column("total_volume_l_sum", Measure),
        sa.Column("pressure_bar_n", sa.Integer()),
        sa.Column("pressure_bar_min", Measure),
        sa.Column("pressure_bar_max", Measure),
        sa.Column("pressure_bar_sum", Measure),
        sa.Column("static_level_m_n", sa.Integer()),
        sa.Column("static_level_m_min", Measure),
        sa.Column("static_level_m_max", Measure),
        sa.Column("static_level_m_sum", Measure),
        sa.Column("dynamic_level_m_n", sa.Integer()),
        sa.Column("dynamic_level_m_min", Measure),
        sa.Column("dynamic_level_m_max", Measure),
        sa.Column("dynamic_level_m_sum", Measure),
        sa.Column("pump_current_a_n", sa.Integer()),
        sa.Column("pump_current_a_min", Measure),
        sa.Column("pump_current_a_max", Measure),
        sa.Column("pump_current_a_sum", Measure),
        sa.Column("battery_v_n", sa.Integer()),
        sa.Column("battery_v_min", Measure),
        sa.Column("battery_v_max", Measure),
        sa.Column("battery_v_sum", Measure),
        sa.Column("rssi_dbm_n", sa.Integer()),
        sa.Column("rssi_dbm_min", Measure),
        sa.Column("rssi_dbm_max", Measure),
        sa.Column("rssi_dbm_sum", Measure),
        sa.PrimaryKeyConstraint("node_key", "period", "start_at", name=op.f("pk_rollups")),
    )
    op.create_table(
        "rollup_marks",
        sa.Column("node_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("start_at", UtcDateTime(), nullable=False),
        sa.Column("end_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("node_key", "period", "start_at", name=op.f("pk_rollup_marks")),
        listeners=OFTEN_REWRITTEN,
    )
    op.create_table(
        "set_aside",
        sa.Column("set_aside_id", BigKey, nullable=False),
        sa.Column("node_key", sa.Integer()),
        sa.Column("node_id", Id, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("replayed_at", UtcDateTime()),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_set_aside_node_key_nodes"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("set_aside_id", name=op.f("pk_set_aside")),
        sa.UniqueConstraint(
            "node_id", "received_at", "source", name=op.f("uq_set_aside_node_id_received_at_source")
        ),
    )
    op.create_index(op.f("ix_set_aside_node_key"), "set_aside", ["node_key"])


def downgrade() -> None:
    op.drop_table("set_aside")
    op.drop_table("rollup_marks")
    op.drop_table("rollups")
    op.drop_table("readings")
