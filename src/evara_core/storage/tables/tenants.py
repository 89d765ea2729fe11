"""Who there is: distributors, their communities and customers, and the users."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    UniqueConstraint,
    true,
)

from evara_core.storage.tables.base import metadata, places_of_the_distributor
from evara_core.storage.types import Id, UtcDateTime

__all__ = ["communities", "customers", "distributors", "ended_sessions", "users"]

distributors = Table(
    "distributors",
    metadata,
    Column("distributor_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

communities = Table(
    "communities",
    metadata,
    Column("community_id", Id, primary_key=True),
    Column("distributor_id", Id, ForeignKey("distributors.distributor_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # What rows below refer to, so that none can name a community of another distributor.
    UniqueConstraint("community_id", "distributor_id"),
)

customers = Table(
    "customers",
    metadata,
    Column("customer_id", Id, primary_key=True),
    Column("distributor_id", Id, ForeignKey("distributors.distributor_id"), nullable=False),
    Column("community_id", Id),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(
        ["community_id", "distributor_id"],
        ["communities.community_id", "communities.distributor_id"],
    ),
    UniqueConstraint("customer_id", "distributor_id"),
)

users = Table(
    "users",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False),
    Column("distributor_id", Id, ForeignKey("distributors.distributor_id")),
    Column("community_id", Id, ForeignKey("communities.community_id")),
    Column("customer_id", Id, ForeignKey("customers.customer_id")),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("created_at", UtcDateTime, nullable=False),
    # Tokens of this moment and of before it are not good any more.
    Column("signed_out_at", UtcDateTime),
    *places_of_the_distributor(),
    # A role without the id that limits it: whoever reads the row would have to guess.
    CheckConstraint(
        "(role <> 'distributor' OR distributor_id IS NOT NULL)"
        " AND (role <> 'community_manager' OR community_id IS NOT NULL)"
        " AND (role <> 'customer' OR customer_id IS NOT NULL)",
        name="role_has_its_id",
    ),
    Index(None, "distributor_id", "user_id"),
)

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("user_id", Id, ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True),
    Column("session_id", Id, primary_key=True),
    Column("ended_at", UtcDateTime, nullable=False),
    Index(None, "ended_at"),
)
"""Sign-ins that were ended before their tokens: the `session_id` of tokens."""
