"""One episode as those who are told about it see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import Severity, TransitionKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.access.tenancy import Tenancy
    from evara_core.alerts.episodes import Transition
    from evara_core.telemetry.models import Node

__all__ = ["Alert", "Happening"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A transition, and the node that it is about."""

    transition: Transition
    node_label: str
    node_kind: str
    tenancy: Tenancy
    labels: Mapping[str, str] = field(default_factory=dict)
    """What routes may ask for, besides the names that every alert has."""

    @classmethod
    def of(
        cls, node: Node, transition: Transition, *, labels: Mapping[str, str] | None = None
    ) -> Happening:
        """Return *transition* of *node*."""
        return cls(
            transition=transition,
            node_label=node.label,
            node_kind=node.kind,
            tenancy=node.tenancy,
            labels=dict(labels or {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """How an episode stands."""

    episode_id: str
    number: int
    """How many transitions of it have been heard, this one included."""

    rule_id: str
    node_id: str
    node_label: str
    node_kind: str
    severity: Severity
    fired_at: datetime
    changed_at: datetime
    resolved_at: datetime | None = None
    is_acknowledged: bool = False
    tenancy: Tenancy
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    sentence: str = ""
    reason: str = ""

    @property
    def event_id(self) -> str:
        """The same for every attempt to tell of this transition, and for no other."""
        return f"{self.episode_id}-{self.number}"

    @property
    def mark(self) -> str:
        """What a receiver has been told of it: an episode that became worse is news."""
        return f"{self.episode_id}/{self.severity}"

    def names(self) -> dict[str, str]:
        """Return all that routes and groups may ask for."""
        tenancy = self.tenancy
        return {
            **self.labels,
            "rule": self.rule_id,
            "node": self.node_id,
            "kind": self.node_kind,
            "severity": str(self.severity),
            "distributor": tenancy.distributor_id or "",
            "community": tenancy.community_id or "",
            "customer": tenancy.customer_id or "",
        }

    @classmethod
    def moved_on(cls, before: Alert | None, happening: Happening) -> Alert:
        """Return how the episode stands after *happening*."""
        told = happening.transition
        seen = before is not None and before.is_acknowledged
        if told.kind is TransitionKind.ACKNOWLEDGED:
            seen = True
        elif told.kind is TransitionKind.UNACKNOWLEDGED or (
            before is not None and told.severity.rank > before.severity.rank
        ):
            seen = False
        return cls(
            episode_id=told.episode_id,
            number=1 if before is None else before.number + 1,
            rule_id=told.rule_id,
            node_id=told.node_id,
            node_label=happening.node_label,
            node_kind=happening.node_kind,
            severity=told.severity,
            fired_at=told.fired_at or (before.fired_at if before else told.at),
            changed_at=told.at,
            resolved_at=told.at if told.kind is TransitionKind.RESOLVED else None,
            is_acknowledged=seen,
            tenancy=happening.tenancy,
            labels=happening.labels,
            facts=told.facts,
            sentence=told.sentence,
            reason=told.reason,
        )
