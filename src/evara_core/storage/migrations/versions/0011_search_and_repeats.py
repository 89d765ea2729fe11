"""Indexes to search by, and the answers that a repeated request gets."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op

from evara_core.storage.search import (
    drop_search_ddl,
    has_trigrams,
    postgresql_search_ddl,
    sqlite_search_ddl,
)
from evara_core.storage.types import Id, Json, UtcDateTime

revision = "0011"
down_revision = "0010"

_LOG = logging.getLogger(__name__)
_NODES = sa.Table("nodes", sa.MetaData(), sa.Column("node_key", sa.Integer(), primary_key=True))
_SEARCHED = ("label", "location_name")


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("digest", Id, nullable=False),
        sa.Column("fingerprint", Id, nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", Json),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_until"), "idempotency_keys", ["until"])
    connection = op.get_bind()
    if not has_trigrams(connection):
        _LOG.warning("no trigram index can be made here: a search reads every row of its scope")
        return
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in (sqlite_search_ddl if is_sqlite else postgresql_search_ddl)(_NODES, _SEARCHED):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    connection = op.get_bind()
    for statement in drop_search_ddl(_NODES, _SEARCHED, dialect=connection.dialect.name):
        connection.exec_driver_sql(statement)
    op.drop_table("idempotency_keys")
