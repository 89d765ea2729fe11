"""The rules that alerts are made by, and who did what."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    true,
)

from evara_core.storage.tables.base import metadata
from evara_core.storage.types import Id, UtcDateTime

__all__ = ["alert_rules", "audit_log", "upkeep_runs"]

alert_rules = Table(
    "alert_rules",
    metadata,
    Column("rule_id", Id, primary_key=True),
    # Whose rule it is; none: the platform's.
    Column("distributor_id", Id, ForeignKey("distributors.distributor_id")),
    Column("kind", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False, server_default=true()),
    Column("document", Text, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "distributor_id", "rule_id"),
)

audit_log = Table(
    "audit_log",
    metadata,
    # Counted by the chain, without a gap: two who append at once cannot both have the number.
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    # What clients know it by: numbers of the chain would tell how much others do.
    Column("entry_id", Text, nullable=False),
    # Counted for each distributor, and for the platform.
    Column("number", BigInteger, nullable=False),
    # The text that the digest is over, as it is. The columns after it are for searching.
    Column("content", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor_id", Id, nullable=False),
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("resource_id", Text, nullable=False),
    Column("is_allowed", Boolean, nullable=False),
    Column("distributor_id", Id),
    Column("community_id", Id),
    Column("customer_id", Id),
    UniqueConstraint("entry_id"),
    Index(None, "at", "entry_id"),
    Index(None, "distributor_id", "number"),
    Index(None, "distributor_id", "at", "entry_id"),
    Index(None, "community_id", "sequence"),
    Index(None, "customer_id", "sequence"),
    Index(None, "resource", "resource_id", "sequence"),
)

upkeep_runs = Table(
    "upkeep_runs",
    metadata,
    Column("job", Text, primary_key=True),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("is_ok", Boolean),
    Column("told", Text, nullable=False),
)
"""The newest run of each job of `storage.upkeep_jobs`. Whoever writes `begun_at` does the job."""
