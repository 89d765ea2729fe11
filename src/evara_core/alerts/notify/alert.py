"""One episode as those who are told about it see it."""

from __future__ import annotations

import hashlib
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
    is_flapping: bool = False
    is_once: bool = False
    """It is said once, and never over: that a rule opens no more alerts."""

    muted: str | None = None
    """Why nobody is to be told at present. Not told is not forgotten."""

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
        """What a receiver has been told of it: that it became worse, or flaps, is news."""
        mark = f"{self.episode_id}/{self.severity}"
        return f"{mark}/flapping" if self.is_flapping else mark

    @property
    def is_firing(self) -> bool:
        """Whether it goes on, and people are to know."""
        return self.resolved_at is None and self.muted is None

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
        is_over = told.kind is TransitionKind.RESOLVED
        return cls(
            episode_id=_episode_of(told),
            number=1 if before is None else before.number + 1,
            rule_id=told.rule_id,
            node_id=told.node_id,
            node_label=happening.node_label or (before.node_label if before else told.node_id),
            node_kind=happening.node_kind or (before.node_kind if before else ""),
            severity=told.severity,
            fired_at=told.fired_at or (before.fired_at if before else told.at),
            changed_at=told.at,
            resolved_at=told.at if is_over else None,
            is_acknowledged=_is_seen(before, told),
            is_flapping=told.kind is TransitionKind.FLAPPING
            or (before is not None and before.is_flapping),
            is_once=told.kind is TransitionKind.STORM,
            muted=_mute(before, told),
            tenancy=before.tenancy if before else happening.tenancy,
            labels=happening.labels or (before.labels if before else {}),
            facts=told.facts or (before.facts if before else {}),
            sentence=told.sentence or (before.sentence if before else ""),
            reason=told.reason,
        )


def _episode_of(told: Transition) -> str:
    if told.episode_id:
        return told.episode_id
    # A storm belongs to no episode. The same one has the same name, however often it is heard.
    text = f"{told.kind}\n{told.rule_id}\n{told.node_id}\n{told.at.isoformat()}"
    return f"{told.kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _is_seen(before: Alert | None, told: Transition) -> bool:
    if told.kind is TransitionKind.ACKNOWLEDGED:
        return True
    if told.kind is TransitionKind.UNACKNOWLEDGED or before is None:
        return False
    return before.is_acknowledged and told.severity.rank <= before.severity.rank


def _mute(before: Alert | None, told: Transition) -> str | None:
    match told.kind:
        case TransitionKind.SHELVED | TransitionKind.OUT_OF_SERVICE:
            return str(told.kind)
        case TransitionKind.UNSHELVED | TransitionKind.IN_SERVICE:
            return told.muted
        case TransitionKind.ACKNOWLEDGED | TransitionKind.UNACKNOWLEDGED:
            # What people do is never muted itself.
            return before.muted if before else told.muted
        case _:
            return told.muted
