"""Where an alert stands, and the story of each time that it fired."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["AlertState", "Phase", "Severity", "Transition", "TransitionKind"]


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Phase(StrEnum):
    """Where the condition of one (rule, node) stands."""

    NORMAL = "normal"
    PENDING = "pending"
    """True, but not yet for as long as the rule's `hold`."""

    FIRING = "firing"
    RECOVERING = "recovering"
    """No longer true, but not yet for as long as the rule's `keep`. Still active."""

    NO_DATA = "no_data"


class TransitionKind(StrEnum):
    """What happened to an episode."""

    FIRED = "fired"
    SEVERITY_CHANGED = "severity_changed"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """All that the engine remembers of one (rule, node). Stored with the readings.

    A state that is not there is `normal`.
    """

    rule_id: str
    node_id: str
    rule_hash: str
    """Of what the rule means: another hash makes the engine look again."""

    phase: Phase = Phase.NORMAL
    episode_id: str | None = None
    """Set while firing or recovering."""

    severity: Severity | None = None
    since: datetime | None = None
    """Sample time at which the phase began."""

    held_s: float = 0.0
    """Sample time for which the condition has been true (pending) or clear (recovering)."""

    last_sample_at: datetime | None = None
    """Samples up to here have been judged; older ones change nothing."""

    last_received_at: datetime | None = None
    """When the newest sample arrived, by our clock: silence is measured from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Something that people must hear of, with the facts that decided it."""

    kind: TransitionKind
    rule_id: str
    node_id: str
    episode_id: str
    severity: Severity
    at: datetime
    """Sample time, or the time of the tick for what no sample caused."""

    reason: str
    """A code, such as `condition`, `cleared`, `no_data`, `rule_changed`."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """Values, thresholds and times, by name."""

    sentence: str = ""
    """The same for people."""
