"""Where an alert stands, and the story of each time that it fired."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "AlertState",
    "OperatorStatus",
    "Phase",
    "Severity",
    "Transition",
    "TransitionKind",
]


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """A number that is greater the worse it is."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


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
    """What happened."""

    FIRED = "fired"
    SEVERITY_CHANGED = "severity_changed"
    RESOLVED = "resolved"

    DATA_LOST = "data_lost"
    """Nothing has been known for so long that the episode counts as unknown. It stays open."""

    DATA_BACK = "data_back"
    """The episode is known to go on."""

    FLAPPING = "flapping"
    """It fired so often that the episode stays open until it is calm. Said once."""

    STORM = "storm"
    """So many episodes of the rule are open that no more are opened. Said once."""

    UNMUTED = "unmuted"
    """What muted it is over, and it goes on: people may hear of it now."""

    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    """Withdrawn, or it ran out, or the severity rose."""

    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"


class OperatorStatus(StrEnum):
    """Where one (rule, node) stands with people. Orthogonal to its phase (ISA 18.2)."""

    NONE = "none"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    SHELVED = "shelved"
    OUT_OF_SERVICE = "out_of_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """All that the engine remembers of one (rule, node). Stored with the readings.

    A state that is not there is `normal`, and nobody has shelved it.
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

    affirmed_at: datetime | None = None
    """The newest sample by which the open episode was true; None: it is true by absence."""

    unknown_since: datetime | None = None
    step: int = 0
    """How many steps of the rule's escalation have been taken."""

    peak: float | None = None
    """The worst value of the rule's first metric during the episode."""

    peak_at: datetime | None = None
    is_flapping: bool = False
    is_inhibited: bool = False
    """Nobody was told of the open episode, because another alert mutes it."""

    rises: tuple[float, ...] = ()
    """When it fired lately, in Unix seconds; for a rule that looks for flapping."""

    acknowledged_at: datetime | None = None
    """When somebody said to have seen the open episode."""

    acknowledged_by: str = ""
    acknowledged_note: str = ""
    acknowledgement_ends_at: datetime | None = None
    """It runs out then, if the episode is still open. None: it does not."""

    shelved_at: datetime | None = None
    """When somebody said not to want to hear of this (rule, node)."""

    shelved_by: str = ""
    shelved_note: str = ""
    shelving_ends_at: datetime | None = None
    """None while shelved: out of service, until somebody returns it."""

    last_sample_at: datetime | None = None
    """Samples up to here have been judged; older ones change nothing."""

    last_received_at: datetime | None = None
    """When the newest sample arrived, by our clock: silence is measured from here."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember: such a state need not be stored."""
        return self.phase is Phase.NORMAL and self.shelved_at is None

    @property
    def operator_status(self) -> OperatorStatus:
        """Where it stands with people."""
        if self.shelved_at is not None:
            timed = self.shelving_ends_at is not None
            return OperatorStatus.SHELVED if timed else OperatorStatus.OUT_OF_SERVICE
        if self.episode_id is None:
            return OperatorStatus.NONE
        seen = self.acknowledged_at is not None
        return OperatorStatus.ACKNOWLEDGED if seen else OperatorStatus.UNACKNOWLEDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Something that people must hear of, with the facts that decided it."""

    kind: TransitionKind
    rule_id: str
    node_id: str
    episode_id: str
    """Empty for what belongs to no episode: a storm, a shelving while all is normal."""

    severity: Severity
    at: datetime
    """Sample time, or for what no sample caused the moment at which it came due."""

    fired_at: datetime | None = None
    """When the episode began."""

    historical: bool = False
    """The episode began and ended within one look: it is over before anybody could hear of it."""

    muted: str | None = None
    """Why nobody is to be told, such as `shelved` or `maintenance`. It is history all the same."""

    reason: str
    """A code, such as `condition`, `cleared`, `no_data`, `rule_changed`."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """Values, thresholds and times, by name."""

    sentence: str = ""
    """The same for people."""
