"""Who was signed out before the token ended.

The keys that keep tenants apart are in the revisions that make their tables. Row-level security
is not put up by migrations: its roles are of the whole server, and who may migrate need not be
able to make them. `evara access rls --apply` does it, after each migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.types import Id, UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("users", sa.Column("signed_out_at", UtcDateTime()))
    op.create_table(
        "ended_sessions",
        sa.Column("user_id", Id, nullable=False),
        sa.Column("session_id", Id, nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.user_id"],
            name=op.f("fk_ended_sessions_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "session_id", name=op.f("pk_ended_sessions")),
    )
    op.create_index(op.f("ix_ended_sessions_ended_at"), "ended_sessions", ["ended_at"])


def downgrade() -> None:
    op.drop_table("ended_sessions")
    op.drop_column("users", "signed_out_at")
