"""What an alert rule is, and when one is refused."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from evara_core.alerts.conditions import Condition
from evara_core.alerts.episodes import Severity
from evara_core.alerts.rendering import render
from evara_core.alerts.soundness import problem_of
from evara_core.errors import InvalidRuleError
from evara_core.serialization import dump_json_sorted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.alerts.schedule import Schedule

__all__ = [
    "AlertRule", "Flap", "Level", "Mutes", "OnUnknown", "OnUnknownName", "SeverityName", "Step",
    "Within", "WithinName",
]  # fmt: skip

SeverityName: TypeAlias = Severity | Literal["info", "warning", "critical"]
WithinName: TypeAlias = (
    "Within | Literal['node', 'gateway', 'community', 'customer', 'distributor']"
)
OnUnknownName: TypeAlias = "OnUnknown | Literal['hold', 'resolve', 'alert', 'no_data']"

MAX_SPAN = timedelta(days=31)
"""The longest hold, keep, step or window: beyond a month, a rule is a report."""

MAX_PARTS = 8
"""Steps of an escalation, and levels. There are three severities."""

MAX_MUTED = 100
"""Rules that one rule mutes by name: more are all of them."""

MAX_RISES = 50
"""The most that a flap detector counts: eight bytes each are stored with the state."""

MAX_WORDS = 1_000
"""Characters of a label or a message. A text message has 160."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_ZERO = timedelta()


class OnUnknown(StrEnum):
    """What it means for a rule that its condition cannot be told."""

    HOLD = "hold"
    """Nothing changes: what fires goes on, what is pending neither gains nor loses time."""

    RESOLVE = "resolve"
    """As if the condition were false and clear."""

    ALERT = "alert"
    """As if the condition were true."""

    NO_DATA = "no_data"
    """Say so: the phase becomes `no_data` at once. An open episode stays open."""


class Within(StrEnum):
    """What a node shares with another whose alerts it mutes."""

    NODE = "node"
    """It is the same one."""

    GATEWAY = "gateway"
    """They report through the same gateway, or one is the gateway of the other."""

    COMMUNITY = "community"
    CUSTOMER = "customer"
    DISTRIBUTOR = "distributor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutes:
    """Whose alerts nobody is told of while an episode of this rule is open."""

    within: WithinName = Within.GATEWAY
    rules: Sequence[str] = ()
    """Their ids. None: all rules that mute nothing themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How an episode becomes worse with time, while nobody has acknowledged it."""

    after: timedelta
    """Since it fired."""

    severity: SeverityName


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What makes an episode worse than the rule's own severity."""

    severity: SeverityName
    when: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Flap:
    """When an alert comes and goes too often to be told each time.

    It flaps once it has fired `high` times within `window`; then its episode stays open
    until it fired at most `low` times within the last `window`.
    """

    window: timedelta = timedelta(hours=1)
    high: int = 4
    low: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When to tell people about a node, and when to stop.

    Raises:
        InvalidRuleError: At construction, so that a rule that exists can be used.
    """

    id: str
    kind: str
    """The kind of node that it watches: `tank`, `deep`, `flow` …"""

    when: Condition
    clear_when: Condition | None = None
    """What ends it; None: that `when` is false. `when` wins where both are true."""

    severity: SeverityName = Severity.WARNING
    hold: timedelta = _ZERO
    """How long `when` must be true, in sample time, before it fires: at exactly so long."""

    keep: timedelta = _ZERO
    """How long it must be clear, in sample time, before it resolves."""

    on_unknown: OnUnknownName = OnUnknown.HOLD
    unknown_limit: timedelta = timedelta(hours=24)
    """Under `hold`, how long unknown may last before the phase becomes `no_data`: a day
    bridges a flat battery that somebody changes in the morning."""

    fresh_for: timedelta | None = None
    """For how long a sample speaks for the time after it. None: three times the interval
    in which the node is expected to report."""

    levels: Sequence[Level] = ()
    """By how bad it is: the severity is that of the worst level that is true. It rises at
    once, and falls after `keep`."""

    severity_falls: bool = True
    """False: within an episode the severity of `levels` only rises."""

    escalate: Sequence[Step] = ()
    """By time since it fired; this severity only ever rises."""

    latching: bool = False
    """It does not resolve before somebody has acknowledged it."""

    auto_clear: timedelta | None = None
    """It resolves so long after the last sample by which it was true, whatever is unknown."""

    flap: Flap | None = None
    active: Schedule | None = None
    """When the rule is at work; None: always. Outside, nothing is pending and nothing fires."""

    max_open: int = 10_000
    """Episodes of this rule that may be open at once; more are not opened, and that is said.
    Ten thousand messages are read by nobody."""

    mutes: Sequence[Mutes] = ()
    """Which other alerts say nothing new while this one is open: those behind a gateway that
    is offline, say. What still goes on afterwards is told then."""

    label: str = ""
    """What people call it. Empty: the id."""

    message: str = ""
    """What to tell people, with the names of metrics and facts in braces: `{level_cm:1}`."""

    enabled: bool = True
    hash: str = field(init=False, compare=False)
    """Of what the rule means. Wording, severities and escalation are not part of it."""

    def __post_init__(self) -> None:
        try:
            self._normalise()
            problem = _problem_of(self)
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidRuleError(str(self.id), str(error)) from error
        if problem:
            raise InvalidRuleError(str(self.id), problem)
        object.__setattr__(self, "hash", self._hash())

    def _normalise(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("severity", Severity(self.severity))
        put("on_unknown", OnUnknown(self.on_unknown))
        steps = tuple(Step(after=s.after, severity=Severity(s.severity)) for s in self.escalate)
        put("escalate", steps)
        levels = tuple(Level(severity=Severity(n.severity), when=n.when) for n in self.levels)
        put("levels", levels)
        mutes = tuple(Mutes(within=Within(m.within), rules=tuple(m.rules)) for m in self.mutes)
        put("mutes", mutes)

    def _hash(self) -> str:
        meaning = {
            "kind": self.kind,
            "when": render(self.when),
            "clear_when": self.clear_when and render(self.clear_when),
            "hold_s": self.hold.total_seconds(),
            "keep_s": self.keep.total_seconds(),
            "on_unknown": self.on_unknown,
            "unknown_limit_s": self.unknown_limit.total_seconds(),
            "fresh_for_s": self.fresh_for and self.fresh_for.total_seconds(),
            "latching": self.latching,
            "auto_clear_s": self.auto_clear and self.auto_clear.total_seconds(),
            "flap": self.flap and [self.flap.window.total_seconds(), self.flap.high, self.flap.low],
            "active": self.active,
        }
        return hashlib.sha256(dump_json_sorted(meaning)).hexdigest()[:16]


def _problem_of(rule: AlertRule) -> str | None:
    if _ID.fullmatch(rule.id) is None:
        return "an id is up to 128 letters, digits and . _ : -"
    if not rule.kind:
        return "it names no kind of node"
    if max(len(rule.label), len(rule.message)) > MAX_WORDS:
        return f"label and message have at most {MAX_WORDS} characters"
    return (
        _problem_of_conditions(rule)
        or _problem_of_times(rule)
        or _problem_of_severities(rule)
        or _problem_of_counts(rule)
    )


def _problem_of_conditions(rule: AlertRule) -> str | None:
    trees: list[tuple[str, Condition]] = [("when", rule.when)]
    if rule.clear_when is not None:
        trees.append(("clear_when", rule.clear_when))
    trees += [(f"level {level.severity}", level.when) for level in rule.levels]
    for name, tree in trees:
        if not isinstance(tree, Condition):
            return f"{name} is no condition: make one of text with `expr`"
        if problem := problem_of(tree):
            return f"{name}: {problem}"
    return None


def _problem_of_times(rule: AlertRule) -> str | None:
    for name, span in (("hold", rule.hold), ("keep", rule.keep)):
        if not _ZERO <= span <= MAX_SPAN:
            return f"{name} is between 0 and {MAX_SPAN.days} days"
    spans = [rule.hold, rule.keep, rule.unknown_limit, *(step.after for step in rule.escalate)]
    if any(span.microseconds for span in spans):
        return "spans of time are whole seconds"
    limits = {
        "unknown_limit": rule.unknown_limit,
        "fresh_for": rule.fresh_for,
        "auto_clear": rule.auto_clear,
        "flap.window": None if rule.flap is None else rule.flap.window,
    }
    for name, limit in limits.items():
        if limit is not None and not _ZERO < limit <= MAX_SPAN:
            return f"{name} is more than 0 and at most {MAX_SPAN.days} days"
    return None


def _problem_of_severities(rule: AlertRule) -> str | None:
    if max(len(rule.escalate), len(rule.levels)) > MAX_PARTS:
        return f"more than {MAX_PARTS} steps or levels"
    base = Severity(rule.severity).rank
    after, rank = _ZERO, base
    for step in rule.escalate:
        if not after < step.after <= MAX_SPAN:
            return f"steps come in order of time, the last within {MAX_SPAN.days} days"
        if Severity(step.severity).rank <= rank:
            return "each step is more severe than the one before"
        after, rank = step.after, Severity(step.severity).rank
    ranks = [Severity(level.severity).rank for level in rule.levels]
    if any(rank <= base for rank in ranks) or len(set(ranks)) < len(ranks):
        return "levels are more severe than the rule, and each severity comes once"
    return None


def _problem_of_counts(rule: AlertRule) -> str | None:
    if len(rule.mutes) > MAX_PARTS or any(len(m.rules) > MAX_MUTED for m in rule.mutes):
        return f"it mutes in up to {MAX_PARTS} ways, each up to {MAX_MUTED} rules by name"
    if any(rule.id in m.rules for m in rule.mutes):
        return "it mutes itself"
    if rule.max_open < 1:
        return "max_open is at least 1"
    if rule.flap is not None and not 0 <= rule.flap.low < rule.flap.high <= MAX_RISES:
        return f"a flap detector needs 0 <= low < high <= {MAX_RISES}"
    return None
