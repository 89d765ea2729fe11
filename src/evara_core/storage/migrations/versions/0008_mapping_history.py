"""Which mapping held from when on, what became of what was set aside, and what was kept up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.types import Id, UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "mapping_history",
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("revision", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("since_at", UtcDateTime(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.Column("saved_by", Id),
        sa.Column("withdrawn_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("node_key", "revision", name=op.f("pk_mapping_history")),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_mapping_history_node_key_nodes"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("revision > 0", name=op.f("ck_mapping_history_revision_is_positive")),
        sa.CheckConstraint(
            "since_at <= saved_at", name=op.f("ck_mapping_history_begins_before_it_is_saved")
        ),
    )
    op.create_table(
        "upkeep_runs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("is_ok", sa.Boolean()),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_upkeep_runs")),
    )
    op.add_column(
        "thingspeak_mappings",
        sa.Column("revision", sa.SmallInteger(), server_default="1", nullable=False),
    )
    op.add_column("readings", sa.Column("mapping_revision", sa.SmallInteger()))
    op.add_column("set_aside", sa.Column("dismissed_at", UtcDateTime()))
    op.add_column("set_aside", sa.Column("dismissed_by", Id))
    op.create_index(
        op.f("ix_set_aside_received_at_set_aside_id"), "set_aside", ["received_at", "set_aside_id"]
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_set_aside_received_at_set_aside_id"), "set_aside")
    op.drop_column("set_aside", "dismissed_by")
    op.drop_column("set_aside", "dismissed_at")
    op.drop_column("readings", "mapping_revision")
    op.drop_column("thingspeak_mappings", "revision")
    op.drop_table("upkeep_runs")
    op.drop_table("mapping_history")
