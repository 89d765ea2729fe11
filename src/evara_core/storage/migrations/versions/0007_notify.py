"""What receivers were told, and what is on its way to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN
from evara_core.storage.types import Id, UtcDateTime

revision = "0007"
down_revision = "0006"

_WAITING = sa.text("status = 'waiting'")


def upgrade() -> None:
    op.create_table(
        "notification_groups",
        sa.Column("receiver", Id, nullable=False),
        sa.Column("group_key", Id, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", "group_key", name=op.f("pk_notification_groups")),
        listeners=OFTEN_REWRITTEN,
    )
    op.create_table(
        "deliveries",
        sa.Column("event_id", Id, nullable=False),
        sa.Column("receiver", Id, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("settled_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("event_id", "receiver", name=op.f("pk_deliveries")),
        listeners=OFTEN_REWRITTEN,
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["due_at"],
        postgresql_where=_WAITING,
        sqlite_where=_WAITING,
    )
    op.create_index(op.f("ix_deliveries_status_settled_at"), "deliveries", ["status", "settled_at"])


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("notification_groups")
