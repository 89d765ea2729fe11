"""Alert states and episodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN, OFTEN_VACUUMED
from evara_core.storage.types import Id, Json, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "alert_states",
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("rule_id", Id, nullable=False),
        sa.Column("rule_hash", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("episode_id", Id),
        sa.Column("severity", sa.Text()),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "phase NOT IN ('firing', 'recovering') OR episode_id IS NOT NULL",
            name=op.f("ck_alert_states_active_has_an_episode"),
        ),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_alert_states_node_key_nodes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("node_key", "rule_id", name=op.f("pk_alert_states")),
        listeners=OFTEN_REWRITTEN,
    )
    op.create_table(
        "alert_history",
        sa.Column("episode_id", Id, nullable=False),
        sa.Column("rule_id", Id, nullable=False),
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("distributor_id", Id, nullable=False),
        sa.Column("community_id", Id),
        sa.Column("customer_id", Id),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("fired_at", UtcDateTime(), nullable=False),
        sa.Column("fired_reason", sa.Text(), nullable=False),
        sa.Column("fired_sentence", sa.Text(), nullable=False),
        sa.Column("fired_facts", Json, nullable=False),
        sa.Column("changed_at", UtcDateTime()),
        sa.Column("unknown_since", UtcDateTime()),
        sa.Column("resolved_at", UtcDateTime()),
        sa.Column("resolved_reason", sa.Text()),
        sa.Column("resolved_sentence", sa.Text()),
        sa.Column("resolved_facts", Json),
        sa.Column("acknowledged_at", UtcDateTime()),
        sa.Column("acknowledged_by", Id),
        sa.Column("note", sa.Text()),
        sa.CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)",
            name=op.f("ck_alert_history_acknowledged_by_somebody"),
        ),
        sa.CheckConstraint(
            "resolved_at >= fired_at", name=op.f("ck_alert_history_resolved_after_it_fired")
        ),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_alert_history_node_key_nodes"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["community_id", "distributor_id"],
            ["communities.community_id", "communities.distributor_id"],
            name=op.f("fk_alert_history_community_id_distributor_id_communities"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "distributor_id"],
            ["customers.customer_id", "customers.distributor_id"],
            name=op.f("fk_alert_history_customer_id_distributor_id_customers"),
        ),
        sa.PrimaryKeyConstraint("episode_id", name=op.f("pk_alert_history")),
        listeners=OFTEN_VACUUMED,
    )
    op.create_index(
        "ix_alert_history_active",
        "alert_history",
        ["distributor_id", "community_id", "customer_id", "severity"],
        postgresql_where=sa.text("resolved_at IS NULL"),
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        op.f("ix_alert_history_community_id_fired_at_episode_id"),
        "alert_history",
        ["community_id", "fired_at", "episode_id"],
    )
    op.create_index(
        op.f("ix_alert_history_customer_id_fired_at_episode_id"),
        "alert_history",
        ["customer_id", "fired_at", "episode_id"],
    )
    op.create_index(
        op.f("ix_alert_history_distributor_id_fired_at_episode_id"),
        "alert_history",
        ["distributor_id", "fired_at", "episode_id"],
    )
    op.create_index(
        op.f("ix_alert_history_fired_at_episode_id"), "alert_history", ["fired_at", "episode_id"]
    )
    op.create_index(
        op.f("ix_alert_history_node_key_fired_at_episode_id"),
        "alert_history",
        ["node_key", "fired_at", "episode_id"],
    )
    op.create_index(
        "uq_alert_history_open",
        "alert_history",
        ["node_key", "rule_id"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
        sqlite_where=sa.text("resolved_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("alert_history")
    op.drop_table("alert_states")
