"""Who does what among several processes, and until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN
from evara_core.storage.types import Id, UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", Id, nullable=False),
        sa.Column("holder", Id),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        listeners=OFTEN_REWRITTEN,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Sent when the transaction commits, and once for all of its statements.
        op.execute(
            "CREATE FUNCTION evara_outbox_news() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_notify('evara_outbox', ''); RETURN NULL; END$$"
        )
        op.execute(
            "CREATE TRIGGER evara_outbox_news AFTER INSERT ON outbox"
            " FOR EACH STATEMENT EXECUTE FUNCTION evara_outbox_news()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER evara_outbox_news ON outbox")
        op.execute("DROP FUNCTION evara_outbox_news()")
    op.drop_table("leases")
