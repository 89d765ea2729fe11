"""What people did to rules and alerts: who changed what and when, and what is to be done yet."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from evara_core.storage.tables.base import metadata
from evara_core.storage.types import Id, UtcDateTime

__all__ = ["alert_rule_changes", "alert_rule_version", "operator_actions"]

_WAITING = text("done_at IS NULL")
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

alert_rule_changes = Table(
    "alert_rule_changes",
    metadata,
    Column("sequence", _NUMBER, primary_key=True),
    # A rule that is gone keeps its past, and so does a tenant.
    Column("rule_id", Id, nullable=False),
    Column("distributor_id", Id),
    Column("change", Text, nullable=False),
    Column("document", Text),
    Column("changed_by", Id, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint(
        "change IN ('created', 'changed', 'deleted') AND (change = 'deleted') = (document IS NULL)",
        name="says_what_became_of_it",
    ),
    Index(None, "distributor_id", "rule_id", "sequence"),
)
"""One row for each change of a rule, with the rule as it was from then on."""

alert_rule_version = Table(
    "alert_rule_version",
    metadata,
    Column("singleton", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("singleton = 1", name="one_row"),
)
"""Counts changes of rules. Who changes one waits for whoever else does, until that commits: so a
greater number never becomes visible before a smaller one."""

operator_actions = Table(
    "operator_actions",
    metadata,
    Column("sequence", _NUMBER, primary_key=True),
    Column("node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), nullable=False),
    Column("rule_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode_id", Id),
    Column("asked_by", Id, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime),
    Column("note", Text, nullable=False),
    Column("done_at", UtcDateTime),
    Column("refusal", Text),
    CheckConstraint("refusal IS NULL OR done_at IS NOT NULL", name="refused_is_done"),
    Index(
        "ix_operator_actions_waiting", "sequence", postgresql_where=_WAITING, sqlite_where=_WAITING
    ),
    Index(None, "node_key", "sequence"),
)
"""What people said of alerts, for the engine that judges the node to take in, wherever it runs."""
