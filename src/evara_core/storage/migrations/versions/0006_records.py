"""Alert rules, and who did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.types import Id, UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "alert_rules",
        sa.Column("rule_id", Id, nullable=False),
        sa.Column("distributor_id", Id),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_alert_rules_distributor_id_distributors"),
        ),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_alert_rules")),
    )
    op.create_index(
        op.f("ix_alert_rules_distributor_id_rule_id"), "alert_rules", ["distributor_id", "rule_id"]
    )
    op.create_table(
        "audit_log",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor_id", Id, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("is_allowed", sa.Boolean(), nullable=False),
        sa.Column("distributor_id", Id),
        sa.Column("community_id", Id),
        sa.Column("customer_id", Id),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_log_entry_id")),
    )
    op.create_index(
        op.f("ix_audit_log_community_id_sequence"), "audit_log", ["community_id", "sequence"]
    )
    op.create_index(
        op.f("ix_audit_log_customer_id_sequence"), "audit_log", ["customer_id", "sequence"]
    )
    op.create_index(op.f("ix_audit_log_at_entry_id"), "audit_log", ["at", "entry_id"])
    op.create_index(
        op.f("ix_audit_log_distributor_id_number"), "audit_log", ["distributor_id", "number"]
    )
    op.create_index(
        op.f("ix_audit_log_distributor_id_at_entry_id"),
        "audit_log",
        ["distributor_id", "at", "entry_id"],
    )
    op.create_index(
        op.f("ix_audit_log_resource_resource_id_sequence"),
        "audit_log",
        ["resource", "resource_id", "sequence"],
    )


def downgrade() -> None:
    op.drop_table("audit_log")
    op.drop_table("alert_rules")
