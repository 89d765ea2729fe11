"""Who is told of alerts, what receivers were told, and what is on its way to them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
    true,
)

from evara_core.storage.tables.base import OFTEN_REWRITTEN, metadata
from evara_core.storage.types import Id, Measure, UtcDateTime

__all__ = [
    "deliveries",
    "notification_groups",
    "notification_leases",
    "notification_receivers",
    "notification_routes",
    "receiver_states",
]

_WAITING = text("status = 'waiting'")

notification_receivers = Table(
    "notification_receivers",
    metadata,
    Column("receiver_id", Id, primary_key=True),
    # Whose receiver it is; none: the platform's.
    Column("distributor_id", Id, ForeignKey("distributors.distributor_id")),
    Column("is_enabled", Boolean, nullable=False, server_default=true()),
    Column("document", Text, nullable=False),
    # What nobody is shown, sealed: `access.sealing`.
    Column("secrets", LargeBinary),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "distributor_id", "receiver_id"),
)

notification_routes = Table(
    "notification_routes",
    metadata,
    Column("route_id", Id, primary_key=True),
    Column("distributor_id", Id, ForeignKey("distributors.distributor_id")),
    # Routes are looked at in this order.
    Column("position", Integer, nullable=False),
    Column("is_enabled", Boolean, nullable=False, server_default=true()),
    Column("document", Text, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "distributor_id", "position", "route_id"),
)

receiver_states = Table(
    "receiver_states",
    metadata,
    Column("receiver", Id, primary_key=True),
    # The token bucket of storm control.
    Column("tokens", Measure),
    Column("tokens_at", UtcDateTime),
    # It asked never to be called again.
    Column("disabled_at", UtcDateTime),
    Column("disabled_reason", Text),
    listeners=OFTEN_REWRITTEN,
)
"""What is remembered of a receiver besides its groups. Also of those that a file names."""

notification_leases = Table(
    "notification_leases",
    metadata,
    Column("name", Id, primary_key=True),
    Column("holder", Id, nullable=False),
    # Counts who held it: what an earlier holder still wants to write is refused.
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    listeners=OFTEN_REWRITTEN,
)
"""Who decides what is told. A row says that somebody does, now or after a break."""

notification_groups = Table(
    "notification_groups",
    metadata,
    Column("receiver", Id, primary_key=True),
    Column("group_key", Id, primary_key=True),
    Column("document", Text, nullable=False),
    Column("updated_at", UtcDateTime),
    listeners=OFTEN_REWRITTEN,
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
    # Whose receiver it goes to; none: the platform's.
    Column("distributor_id", Id),
    Column("queued_at", UtcDateTime),
    # Who tries at present, and until when nobody else does.
    Column("leased_by", Id),
    Column("leased_until", UtcDateTime),
    Index("ix_deliveries_waiting", "due_at", postgresql_where=_WAITING, sqlite_where=_WAITING),
    Index(None, "status", "settled_at"),
    Index(None, "distributor_id", "queued_at", "event_id"),
    listeners=OFTEN_REWRITTEN,
)
