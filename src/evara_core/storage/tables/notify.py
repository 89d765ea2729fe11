"""What receivers were told, and what is on its way to them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, text

from evara_core.storage.tables.base import OFTEN_REWRITTEN, metadata
from evara_core.storage.types import Id, UtcDateTime

__all__ = ["deliveries", "notification_groups"]

_WAITING = text("status = 'waiting'")

notification_groups = Table(
    "notification_groups",
    metadata,
    Column("receiver", Id, primary_key=True),
    Column("group_key", Id, primary_key=True),
    Column("document", Text, nullable=False),
    postgresql_with=OFTEN_REWRITTEN,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", Id, primary_key=True),
    Column("receiver", Id, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    # waiting, done, dead
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("error", Text, nullable=False),
    Column("settled_at", UtcDateTime),
    Index("ix_deliveries_waiting", "due_at", postgresql_where=_WAITING, sqlite_where=_WAITING),
    Index(None, "status", "settled_at"),
    postgresql_with=OFTEN_REWRITTEN,
)
