"""Rules made ready to run: compiled, and indexed by the kind of node that they watch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from evara_core.alerts.conditions import (
    AtLeast,
    Changed,
    Compare,
    Condition,
    Constant,
    Evidence,
    Has,
    Metric,
    Node,
    QualityIn,
    Rate,
    SilentFor,
    SilentIntervals,
    Window,
    metrics_of,
    walk,
)
from evara_core.alerts.episodes import Severity
from evara_core.alerts.history import needs_of
from evara_core.alerts.moments import from_us, span_us, to_us
from evara_core.alerts.rendering import render
from evara_core.alerts.rules import OnUnknown
from evara_core.errors import InvalidRuleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evara_core.alerts.closures import Ask, Screen
    from evara_core.alerts.rules import AlertRule

__all__ = ["Backend", "CompiledRule", "Compiler", "Plan", "metrics_asked", "plan_rules"]

_US = 1_000_000
_NAMES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)


class Backend(Protocol):
    """What turns conditions into functions: `alerts.generated` or `alerts.closures`."""

    def compile_condition(self, condition: Condition, /) -> Ask:
        """Return *condition* as a function of a sample."""
        ...

    def compile_screen(self, conditions: Sequence[tuple[Condition, bool]], /) -> Screen:
        """Return all *conditions* as one function for a sample that has just arrived."""
        ...


class Compiler:
    """A back end that compiles each condition once, however many rules share it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._asks: dict[Condition, Ask] = {}

    def ask(self, condition: Condition) -> Ask:
        """Return *condition* compiled."""
        if condition not in self._asks:
            self._asks[condition] = self._backend.compile_condition(condition)
        return self._asks[condition]

    def screen(self, rules: Sequence[CompiledRule]) -> Screen:
        """Return the conditions of *rules* fused."""
        return self._backend.compile_screen(
            [(rule.rule.when, rule.speaks_when_unknown) for rule in rules]
        )

    def forget_all_but(self, plans: Iterable[Plan]) -> None:
        """Let go of conditions that no rule uses any more."""
        used = {tree for plan in plans for rule in plan.rules for tree in rule.trees}
        self._asks = {tree: ask for tree, ask in self._asks.items() if tree in used}


class CompiledRule:
    """A rule with its conditions compiled and its times in microseconds."""

    __slots__ = (
        "_edge_us",
        "_rests",
        "_since_us",
        "auto_clear_us",
        "by_arrival",
        "clear",
        "flap_us",
        "fresh_us",
        "hold_us",
        "id",
        "is_full",
        "is_scheduled",
        "keep_us",
        "levels",
        "looks_back",
        "metrics",
        "number",
        "on_unknown",
        "open",
        "principal",
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
        "when_text",
    )

    def __init__(self, rule: AlertRule, compiler: Compiler) -> None:
        self.rule = rule
        self.id = rule.id
        self.severity = Severity(rule.severity)
        self.on_unknown = OnUnknown(rule.on_unknown)
        self.trees = [rule.when, *(level.when for level in rule.levels)]
        self.when = compiler.ask(rule.when)
        self.when_text = render(rule.when)
        self.clear = None
        if rule.clear_when is not None:
            self.trees.append(rule.clear_when)
            self.clear = compiler.ask(rule.clear_when)
        self.levels = sorted(
            ((Severity(level.severity), compiler.ask(level.when)) for level in rule.levels),
            key=lambda level: -level[0].rank,
        )
        """Worst first."""

        self._set_times(rule)
        self._set_nature(rule)
        self.number = 0
        """Its place in the plan, from 0."""

        self.open = 0
        """How many of its episodes are open."""

        self.is_full = False
        """Whether it was said that no more are opened."""

        self._since_us = self._edge_us = 0
        self._rests = False

    def _set_times(self, rule: AlertRule) -> None:
        self.hold_us = span_us(rule.hold)
        self.keep_us = span_us(rule.keep)
        self.fresh_us = None if rule.fresh_for is None else span_us(rule.fresh_for)
        self.unknown_limit_us = span_us(rule.unknown_limit)
        self.auto_clear_us = None if rule.auto_clear is None else span_us(rule.auto_clear)
        self.flap_us = 0 if rule.flap is None else span_us(rule.flap.window)
        self.steps = [(span_us(step.after), Severity(step.severity)) for step in rule.escalate]

    def _set_nature(self, rule: AlertRule) -> None:
        nodes = [node for tree in self.trees for node in walk(tree)]
        named = [Metric(name) for name in _NAMES.findall(rule.message)]
        self.metrics = metrics_of([*nodes, *named])
        self.principal = _principal(walk(rule.when))
        self.silences_us = sorted({n.seconds * _US for n in nodes if isinstance(n, SilentFor)})
        self.silences = sorted({n.count for n in nodes if isinstance(n, SilentIntervals)})
        self.by_arrival = bool(self.silences_us or self.silences)
        """A rule that speaks of silence lives on the clock of the receiver."""

        self.looks_back = any(
            isinstance(n, Window | Rate | Changed | AtLeast | Evidence) for n in nodes
        )
        self.speaks_when_unknown = self.on_unknown in {OnUnknown.ALERT, OnUnknown.NO_DATA}
        self.wakes = (
            self.by_arrival
            or self.speaks_when_unknown
            or rule.active is not None
            or any(isinstance(n, Has | QualityIn | Constant) for n in nodes)
        )
        """Its answer may become true by the mere passing of time."""

        self.is_scheduled = rule.active is not None

    def rests_at(self, at_us: int) -> bool:
        """Whether *at_us* is outside the times at which the rule is at work."""
        if self.rule.active is None:
            return False
        self._look_at_schedule(at_us)
        return self._rests

    def next_edge_us(self, after_us: int) -> int | None:
        """Return when the rule may begin or stop to rest; None: never."""
        if self.rule.active is None:
            return None
        self._look_at_schedule(after_us)
        return self._edge_us

    def _look_at_schedule(self, at_us: int) -> None:
        schedule = self.rule.active
        if schedule is not None and not self._since_us <= at_us < self._edge_us:
            moment = from_us(at_us)
            self._since_us = at_us
            self._edge_us = to_us(schedule.next_edge(moment))
            self._rests = not schedule.covers(moment)


class Plan:
    """The rules of one kind of node."""

    __slots__ = ("by_id", "looks_back", "needs", "rules", "scheduled", "screen", "wakers")

    def __init__(self, rules: Sequence[CompiledRule], compiler: Compiler) -> None:
        self.rules = tuple(rules)
        self.by_id = {rule.id: rule for rule in rules}
        for number, rule in enumerate(rules):
            rule.number = number
        self.wakers = tuple(rule for rule in rules if rule.wakes)
        self.scheduled = tuple(rule for rule in rules if rule.is_scheduled)
        self.needs = needs_of(tree for rule in rules for tree in rule.trees)
        self.looks_back = any(rule.looks_back for rule in rules)
        self.screen = compiler.screen(self.rules)
        """Which rules a sample that has just arrived may set off, as bits."""


def plan_rules(
    rules: Iterable[AlertRule], compiler: Compiler, *, known: Mapping[str, CompiledRule]
) -> dict[str, Plan]:
    """Return the enabled *rules* compiled, by kind; those that are *known* already as they are.

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
            before = known.get(rule.id)
            same = before is not None and before.rule == rule
            compiled = before if before is not None and same else CompiledRule(rule, compiler)
            by_kind.setdefault(rule.kind, []).append(compiled)
    return {kind: Plan(compiled, compiler) for kind, compiled in by_kind.items()}


def metrics_asked(rule: AlertRule) -> tuple[str, ...]:
    """Return the metrics that the conditions of *rule* name, in order of their names."""
    trees = [rule.when, *(level.when for level in rule.levels)]
    if rule.clear_when is not None:
        trees.append(rule.clear_when)
    return metrics_of(node for tree in trees for node in walk(tree))


def _principal(nodes: Iterable[Node]) -> tuple[str, bool] | None:
    """Return the metric that the rule is first of all about, and whether more is worse."""
    for node in nodes:
        match node:
            case Compare(Metric(name), op, _) if op in {"<", "<=", ">", ">="}:
                return name, op in {">", ">="}
            case Compare(_, op, Metric(name)) if op in {"<", "<=", ">", ">="}:
                return name, op in {"<", "<="}
            case _:
                pass
    return None
