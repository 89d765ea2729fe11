"""Rules made ready to run: compiled, and indexed by the kind of node that they watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.alerts.closures import compile_condition
from evara_core.alerts.conditions import (
    Constant,
    Has,
    QualityIn,
    SilentFor,
    SilentIntervals,
    metrics_of,
    walk,
)
from evara_core.alerts.episodes import Severity
from evara_core.alerts.history import needs_of
from evara_core.alerts.moments import span_us
from evara_core.alerts.rules import OnUnknown
from evara_core.errors import InvalidRuleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.alerts.rules import AlertRule

__all__ = ["CompiledRule", "Plan", "plan_rules"]

_US = 1_000_000


class CompiledRule:
    """A rule with its conditions compiled and its times in microseconds."""

    __slots__ = (
        "by_arrival",
        "clear",
        "fresh_us",
        "hold_us",
        "id",
        "keep_us",
        "metrics",
        "on_unknown",
        "rule",
        "severity",
        "silences",
        "silences_us",
        "speaks_when_unknown",
        "steps",
        "trees",
        "unknown_limit_us",
        "wakes",
        "when",
    )

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.id = rule.id
        self.severity = Severity(rule.severity)
        self.trees = [tree for tree in (rule.when, rule.clear_when) if tree is not None]
        self.when = compile_condition(rule.when)
        self.clear = None if rule.clear_when is None else compile_condition(rule.clear_when)
        self.hold_us = span_us(rule.hold)
        self.keep_us = span_us(rule.keep)
        self.fresh_us = None if rule.fresh_for is None else span_us(rule.fresh_for)
        self.unknown_limit_us = span_us(rule.unknown_limit)
        self.steps = [(span_us(step.after), Severity(step.severity)) for step in rule.escalate]
        self.on_unknown = OnUnknown(rule.on_unknown)
        self.speaks_when_unknown = self.on_unknown in {OnUnknown.ALERT, OnUnknown.NO_DATA}
        nodes = [node for tree in self.trees for node in walk(tree)]
        self.metrics = metrics_of(nodes)
        self.silences_us = sorted({n.seconds * _US for n in nodes if isinstance(n, SilentFor)})
        self.silences = sorted({n.count for n in nodes if isinstance(n, SilentIntervals)})
        self.by_arrival = bool(self.silences_us or self.silences)
        """A rule that speaks of silence lives on the clock of the receiver."""

        self.wakes = self.speaks_when_unknown or any(
            isinstance(node, Has | QualityIn | Constant | SilentFor | SilentIntervals)
            for node in nodes
        )
        """Its answer may become true by the mere passing of time."""


class Plan:
    """The rules of one kind of node."""

    __slots__ = ("by_id", "needs", "rules", "wakers")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self.rules = tuple(rules)
        self.by_id = {rule.id: rule for rule in rules}
        self.wakers = tuple(rule for rule in rules if rule.wakes)
        self.needs = needs_of(tree for rule in rules for tree in rule.trees)


def plan_rules(rules: Iterable[AlertRule]) -> dict[str, Plan]:
    """Return the enabled *rules* compiled, by kind.

    Raises:
        InvalidRuleError: Two rules share an id.
    """
    seen: set[str] = set()
    by_kind: dict[str, list[CompiledRule]] = {}
    for rule in rules:
        if rule.id in seen:
            raise InvalidRuleError(rule.id, "there is another rule with this id")
        seen.add(rule.id)
        if rule.enabled:
            by_kind.setdefault(rule.kind, []).append(CompiledRule(rule))
    return {kind: Plan(compiled) for kind, compiled in by_kind.items()}
