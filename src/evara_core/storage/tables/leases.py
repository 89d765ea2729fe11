"""Who does what among several processes, and until when."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from evara_core.storage.tables.base import OFTEN_REWRITTEN, metadata
from evara_core.storage.types import Id, UtcDateTime

__all__ = ["leases"]

leases = Table(
    "leases",
    metadata,
    Column("name", Id, primary_key=True),
    # NULL: it was given back.
    Column("holder", Id),
    # Rises with each new holder, and never falls: what an older one writes is refused by it.
    Column("token", BigInteger, nullable=False),
    Column("acquired_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    listeners=OFTEN_REWRITTEN,
)
"""One row for each thing that one process at a time does: the relay, a shard of polling."""
