"""How rules became what they are, what people said of alerts, the gateway of a node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.types import Id, UtcDateTime

revision = "0013"
down_revision = "0012"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WAITING = sa.text("done_at IS NULL")


def upgrade() -> None:
    op.add_column("nodes", sa.Column("gateway_id", Id))
    op.create_table(
        "alert_rule_changes",
        sa.Column("sequence", _NUMBER, nullable=False),
        sa.Column("rule_id", Id, nullable=False),
        sa.Column("distributor_id", Id),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("document", sa.Text()),
        sa.Column("changed_by", Id, nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "change IN ('created', 'changed', 'deleted')"
            " AND (change = 'deleted') = (document IS NULL)",
            name=op.f("ck_alert_rule_changes_says_what_became_of_it"),
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_alert_rule_changes")),
    )
    op.create_index(
        op.f("ix_alert_rule_changes_distributor_id_rule_id_sequence"),
        "alert_rule_changes",
        ["distributor_id", "rule_id", "sequence"],
    )
    op.create_table(
        "alert_rule_version",
        sa.Column("singleton", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("singleton = 1", name=op.f("ck_alert_rule_version_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_alert_rule_version")),
    )
    _create_actions()


def _create_actions() -> None:
    op.create_table(
        "operator_actions",
        sa.Column("sequence", _NUMBER, nullable=False),
        sa.Column("node_key", sa.Integer(), nullable=False),
        sa.Column("rule_id", Id, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("episode_id", Id),
        sa.Column("asked_by", Id, nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("done_at", UtcDateTime()),
        sa.Column("refusal", sa.Text()),
        sa.CheckConstraint(
            "refusal IS NULL OR done_at IS NOT NULL",
            name=op.f("ck_operator_actions_refused_is_done"),
        ),
        sa.ForeignKeyConstraint(
            ["node_key"],
            ["nodes.node_key"],
            name=op.f("fk_operator_actions_node_key_nodes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_operator_actions")),
    )
    op.create_index(
        "ix_operator_actions_waiting",
        "operator_actions",
        ["sequence"],
        postgresql_where=_WAITING,
        sqlite_where=_WAITING,
    )
    op.create_index(
        op.f("ix_operator_actions_node_key_sequence"), "operator_actions", ["node_key", "sequence"]
    )


def downgrade() -> None:
    op.drop_table("operator_actions")
    op.drop_table("alert_rule_version")
    op.drop_table("alert_rule_changes")
    op.drop_column("nodes", "gateway_id")
