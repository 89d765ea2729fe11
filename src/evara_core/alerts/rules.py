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

__all__ = ["AlertRule", "OnUnknown", "SeverityName", "Step"]

SeverityName: TypeAlias = Severity | Literal["info", "warning", "critical"]
OnUnknownName: TypeAlias = "OnUnknown | Literal['hold', 'resolve', 'alert', 'no_data']"

MAX_SPAN = timedelta(days=31)
"""The longest hold, keep or step: beyond it, a rule is a report."""

MAX_STEPS = 8
"""Steps of an escalation. There are three severities."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How an episode becomes worse with time."""

    after: timedelta
    """Since it fired."""

    severity: SeverityName


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

    escalate: Sequence[Step] = ()
    """By time since it fired; a severity only ever rises."""

    label: str = ""
    """What people call it. Empty: the id."""

    message: str = ""
    """What to tell people: words with `{names}` of metrics and of `node`, `severity`, `since`."""

    enabled: bool = True
    hash: str = field(init=False, compare=False)
    """Of what the rule means. Wording, severity and escalation are not part of it."""

    def __post_init__(self) -> None:
        try:
            self._normalise()
            problem = self._problem()
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidRuleError(str(self.id), str(error)) from error
        if problem:
            raise InvalidRuleError(str(self.id), problem)
        object.__setattr__(self, "hash", self._hash())

    def _normalise(self) -> None:
        set_field = object.__setattr__
        set_field(self, "severity", Severity(self.severity))
        set_field(self, "on_unknown", OnUnknown(self.on_unknown))
        steps = tuple(Step(after=s.after, severity=Severity(s.severity)) for s in self.escalate)
        set_field(self, "escalate", steps)

    def _problem(self) -> str | None:
        if _ID.fullmatch(self.id) is None:
            return "an id is up to 128 letters, digits and . _ : -"
        if not self.kind:
            return "it names no kind of node"
        return self._problem_of_conditions() or self._problem_of_times() or self._problem_of_steps()

    def _problem_of_conditions(self) -> str | None:
        for name, tree in (("when", self.when), ("clear_when", self.clear_when)):
            if tree is None:
                continue
            if not isinstance(tree, Condition):
                return f"{name} is no condition: make one of text with `expr`"
            if problem := problem_of(tree):
                return f"{name}: {problem}"
        return None

    def _problem_of_times(self) -> str | None:
        for name, span in (("hold", self.hold), ("keep", self.keep)):
            if not _ZERO <= span <= MAX_SPAN:
                return f"{name} is between 0 and {MAX_SPAN.days} days"
        for name, limit in (("unknown_limit", self.unknown_limit), ("fresh_for", self.fresh_for)):
            if limit is not None and not _ZERO < limit <= MAX_SPAN:
                return f"{name} is more than 0 and at most {MAX_SPAN.days} days"
        return None

    def _problem_of_steps(self) -> str | None:
        if len(self.escalate) > MAX_STEPS:
            return f"more than {MAX_STEPS} steps"
        after, severity = _ZERO, Severity(self.severity)
        for step in self.escalate:
            if not after < step.after <= MAX_SPAN:
                return f"steps come in order of time, the last within {MAX_SPAN.days} days"
            if _RANK[Severity(step.severity)] <= _RANK[severity]:
                return "each step is more severe than the one before"
            after, severity = step.after, Severity(step.severity)
        return None

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
        }
        return hashlib.sha256(dump_json_sorted(meaning)).hexdigest()[:16]
