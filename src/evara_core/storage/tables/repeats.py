"""The answers that a repeated request gets again."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table

from evara_core.storage.tables.base import metadata
from evara_core.storage.types import Id, Json, UtcDateTime

__all__ = ["idempotency_keys"]

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("digest", Id, primary_key=True),
    Column("fingerprint", Id, nullable=False),
    Column("status", Integer),
    Column("headers", Json),
    Column("body", LargeBinary),
    Column("until", UtcDateTime, nullable=False),
    Index(None, "until"),
)
"""For `storage.idempotency.SqlIdempotencyStore`."""
