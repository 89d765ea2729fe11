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
    """Nothing has been known for too long. An episode that was open stays open."""


class TransitionKind(StrEnum):
    """What happened to an episode."""

    FIRED = "fired"
    SEVERITY_CHANGED = "severity_changed"
    RESOLVED = "resolved"

    DATA_LOST = "data_lost"
    """Nothing has been known for so long that the episode counts as unknown. It stays open."""

    DATA_BACK = "data_back"
    """The episode is known to go on."""


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
    """Set while an episode is open."""

    severity: Severity | None = None
    since: datetime | None = None
    """Sample time at which the phase began."""

    held_s: float = 0.0
    """Sample time for which the condition has been true (pending) or clear (recovering)."""

    judged_at: datetime | None = None
    """`held_s` counts up to here."""

    answer: bool | None = None
    """What counts at present: True while the condition holds, False while it is clear, None
    while it is unknown, which neither gains nor loses time."""

    true_since: datetime | None = None
    """When the condition of the open episode became true, before its hold."""

    fired_at: datetime | None = None
    """When the open episode began."""

    unknown_since: datetime | None = None
    step: int = 0
    """How many steps of the rule's escalation have been taken."""

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
    """Sample time, or for what no sample caused the moment at which it came due."""

    fired_at: datetime | None = None
    """When the episode began."""

    historical: bool = False
    """The episode began and ended within one look: it is over before anybody could hear of it."""

    reason: str
    """A code, such as `condition`, `cleared`, `no_data`, `rule_changed`."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """Values, thresholds and times, by name."""

    sentence: str = ""
    """The same for people."""
