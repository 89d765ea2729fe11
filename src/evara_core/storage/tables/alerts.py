"""Where each rule stands for each node, and the story of every time that it fired."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from evara_core.storage.tables.base import (
    OFTEN_REWRITTEN,
    OFTEN_VACUUMED,
    metadata,
    places_of_the_distributor,
    tenancy_columns,
)
from evara_core.storage.types import Id, Json, UtcDateTime

__all__ = ["alert_history", "alert_states"]

_OPEN = text("resolved_at IS NULL")

alert_states = Table(
    "alert_states",
    metadata,
    Column("node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), primary_key=True),
    Column("rule_id", Id, primary_key=True),
    Column("rule_hash", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("episode_id", Id),
    Column("severity", Text),
    # All of `alerts.episodes.AlertState`; the columns before it are for people who look.
    Column("document", Text, nullable=False),
    CheckConstraint(
        "phase NOT IN ('firing', 'recovering') OR episode_id IS NOT NULL",
        name="active_has_an_episode",
    ),
    listeners=OFTEN_REWRITTEN,
)
"""A state that is not there is `normal`."""

alert_history = Table(
    "alert_history",
    metadata,
    Column("episode_id", Id, primary_key=True),
    Column("rule_id", Id, nullable=False),
    Column("node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), nullable=False),
    # Whose it was when it fired: a node that changes hands does not take its past along.
    *tenancy_columns(),
    Column("severity", Text, nullable=False),
    Column("fired_at", UtcDateTime, nullable=False),
    Column("fired_reason", Text, nullable=False),
    Column("fired_sentence", Text, nullable=False),
    Column("fired_facts", Json, nullable=False),
    Column("changed_at", UtcDateTime),
    Column("unknown_since", UtcDateTime),
    Column("resolved_at", UtcDateTime),
    Column("resolved_reason", Text),
    Column("resolved_sentence", Text),
    Column("resolved_facts", Json),
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", Id),
    Column("note", Text),
    *places_of_the_distributor(),
    CheckConstraint("resolved_at >= fired_at", name="resolved_after_it_fired"),
    CheckConstraint(
        "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="acknowledged_by_somebody"
    ),
    Index(
        "uq_alert_history_open",
        "node_key",
        "rule_id",
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    ),
    Index(
        "ix_alert_history_active",
        "distributor_id",
        "community_id",
        "customer_id",
        "severity",
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    ),
    Index(None, "fired_at", "episode_id"),
    Index(None, "distributor_id", "fired_at", "episode_id"),
    Index(None, "community_id", "fired_at", "episode_id"),
    Index(None, "customer_id", "fired_at", "episode_id"),
    Index(None, "node_key", "fired_at", "episode_id"),
    listeners=OFTEN_VACUUMED,
)
"""One row for each episode. At most one is open for each rule and node."""
