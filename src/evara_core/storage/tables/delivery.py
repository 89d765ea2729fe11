"""What others must hear, and the counts that dashboards show."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    false,
    text,
)

from evara_core.storage.tables.base import OFTEN_REWRITTEN, metadata, tenancy_columns
from evara_core.storage.types import BigKey, Id, Json

__all__ = ["counters", "outbox"]

_UNPUBLISHED = text("NOT is_published")
_TO_NOTE = text("kind = 'alert' AND NOT is_noted")

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", BigKey, primary_key=True),
    Column("message_id", Id, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("topics", Json, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("is_published", Boolean, nullable=False, server_default=false()),
    # Whether those who decide about notifications have heard of it: `storage.notices`.
    Column("is_noted", Boolean, nullable=False, server_default=false()),
    Index(
        "ix_outbox_unpublished",
        "sequence",
        postgresql_where=_UNPUBLISHED,
        sqlite_where=_UNPUBLISHED,
    ),
    Index("ix_outbox_to_note", "sequence", postgresql_where=_TO_NOTE, sqlite_where=_TO_NOTE),
    listeners=OFTEN_REWRITTEN,
)

counters = Table(
    "counters",
    metadata,
    # The tenancy in one text: NULLs do not count as equal in a key.
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    # Writers that count for the same scope at the same time do it in different rows.
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    *tenancy_columns(),
    Column("value", BigInteger, nullable=False),
    listeners=OFTEN_REWRITTEN,
)
"""Counts per tenancy, kept by the deltas of ingest: `storage.counters` names them.

A single shard may well be negative: only the sum over shards means something.
"""
