"""The outbox and the counters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN
from evara_core.storage.types import BigKey, Id, Json

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("sequence", BigKey, nullable=False),
        sa.Column("message_id", Id, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("topics", Json, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("is_published", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outbox_message_id")),
        listeners=OFTEN_REWRITTEN,
    )
    op.create_index(
        "ix_outbox_unpublished",
        "outbox",
        ["sequence"],
        postgresql_where=sa.text("NOT is_published"),
        sqlite_where=sa.text("NOT is_published"),
    )
    op.create_table(
        "counters",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("distributor_id", Id, nullable=False),
        sa.Column("community_id", Id),
        sa.Column("customer_id", Id),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", "shard", name=op.f("pk_counters")),
        listeners=OFTEN_REWRITTEN,
    )


def downgrade() -> None:
    op.drop_table("counters")
    op.drop_table("outbox")
