"""Rules tried on a story: samples over time, and what must have been said at the end.

The unit tests of rules. A timeline is a plain document, so that it can stand in YAML, TOML
or JSON beside the rules that it tries:

    rules: [{id: low, kind: tank, when: level_percent < 20, hold: 10m}]
    every: 1m
    series: {level_percent: 50 15x12 60}
    told: [11m low fired warning, 13m low resolved warning]
    states: {5m: low pending}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.actions import ActionKind, OperatorAction
from evara_core.alerts.durations import parse_duration_s, render_duration
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.rule_documents import rule_from_document
from evara_core.alerts.series import parse_series
from evara_core.errors import InvalidInputError
from evara_core.telemetry.models import Node, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.alerts.episodes import Transition
    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Measured

__all__ = ["MAX_SLOTS", "Timeline", "TimelineReport", "timeline_from_document"]

MAX_SLOTS = 100_000
"""Moments of a timeline: two months of minutes, played in a second or two."""

_KEYS = (
    "name", "because", "rules", "config", "start", "every", "interval", "series", "arrivals",
    "until", "ticks", "actions", "told", "states",
)  # fmt: skip
_NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineReport:
    """How a timeline went."""

    told: tuple[str, ...]
    """Each transition as `11m low fired warning`, and its reason."""

    problems: tuple[str, ...]
    """What was expected and did not come true. Empty: it went as expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A story for rules. Moments are seconds since its start."""

    rules: tuple[AlertRule, ...]
    samples: Sequence[tuple[int, int, Mapping[str, Measured]]]
    """Measured, arrives, values."""

    told: tuple[str, ...] | None = None
    """All that must be said, in order; None: whatever is said is right."""

    states: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """By moment: `low pending`."""

    actions: Sequence[tuple[int, object]] = ()
    """What people do, before the samples of that moment: texts, or rules to work by."""

    ticks: Sequence[int] = ()
    config: Mapping[str, float] = field(default_factory=dict)
    interval_s: int = 60
    start: datetime = datetime(2026, 1, 5, tzinfo=UTC)
    """A Monday."""

    def play(self) -> TimelineReport:
        """Play it to an engine of its own."""
        return _Play(self).report()


def timeline_from_document(document: Mapping[str, object]) -> Timeline:
    """Return the timeline that *document* says.

    Raises:
        InvalidInputError: It says none, with what is wrong.
    """
    unknown = sorted(set(document) - set(_KEYS))
    if unknown:
        problem = f"there is no {unknown[0]!r} in a timeline (there are: {', '.join(_KEYS)})"
        raise InvalidInputError(problem)
    every_s = _seconds(document.get("every", "1m"))
    series = {str(n): parse_series(t) for n, t in _mapping(document.get("series", {})).items()}
    slots = max((len(items) for items in series.values()), default=0)
    until_s = _seconds(document.get("until", f"{max(slots - 1, 0) * every_s}s"))
    if every_s < 1 or max(slots, until_s // every_s) > MAX_SLOTS:
        problem = f"a timeline has up to {MAX_SLOTS} moments, a second or more apart"
        raise InvalidInputError(problem)
    arrivals = _mapping(document.get("arrivals", {}))
    late = {_seconds(at): _seconds(arrives) for at, arrives in arrivals.items()}
    told = document.get("told")
    has_ticks = document.get("ticks", True)
    return Timeline(
        rules=tuple(rule_from_document(each) for each in _list(document.get("rules", []))),
        samples=_samples(series, every_s, late),
        told=None if told is None else tuple(str(each) for each in _list(told)),
        states={
            _seconds(at): [str(each) for each in (state if isinstance(state, list) else [state])]
            for at, state in _mapping(document.get("states", {})).items()
        },
        actions=[_action(each) for each in _list(document.get("actions", []))],
        ticks=range(0, until_s + 1, every_s) if has_ticks else (),
        config={str(n): _number(v) for n, v in _mapping(document.get("config", {})).items()},
        interval_s=_seconds(document.get("interval", f"{every_s}s")),
        start=_moment(document.get("start", "2026-01-05T00:00:00Z")),
    )


class _Play:
    """One playing of a timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._rules = timeline.rules
        self._engine = AlertEngine(timeline.rules)
        self._node = Node(
            node_id=_NODE,
            label=_NODE,
            kind=timeline.rules[0].kind if timeline.rules else "tank",
            category=_NODE,
            tenancy=Tenancy(distributor_id=_NODE),
            config=timeline.config,
            expected_interval_s=timeline.interval_s,
        )
        self._newest: Reading | None = None
        self._told: list[Transition] = []
        self._problems: list[str] = []

    def report(self) -> TimelineReport:
        timeline = self._timeline
        moments = {arrives for _, arrives, _ in timeline.samples}
        moments |= {at for at, _ in timeline.actions} | {*timeline.ticks} | {*timeline.states}
        batches: dict[int, list[Reading]] = {}
        for number, (measured, arrives, values) in enumerate(timeline.samples):
            reading = self._reading(number, measured, arrives, values)
            batches.setdefault(arrives, []).append(reading)
        ticks = frozenset(timeline.ticks)
        for moment in sorted(moments):
            now = self._at(moment)
            for at, action in timeline.actions:
                if at == moment:
                    self._act(action, now)
            if moment in batches:
                self._told += self._engine.observe(self._node, batches[moment], now=now)
                self._newest = max(
                    [*batches[moment], *([self._newest] if self._newest else [])],
                    key=lambda reading: reading.measured_at,
                )
            if moment in ticks:
                self._told += self._engine.tick(now=now)
            self._expect(moment)
        return self._judged()

    def _judged(self) -> TimelineReport:
        told = tuple(self._line(transition) for transition in self._told)
        expected = self._timeline.told
        if expected is not None:
            for number in range(max(len(told), len(expected))):
                wanted = expected[number] if number < len(expected) else "nothing more"
                came = told[number] if number < len(told) else "nothing more"
                if not (came + " ").startswith(wanted + " "):
                    self._problems.append(f"expected {wanted!r}, and there came {came!r}")
        return TimelineReport(told=told, problems=tuple(self._problems))

    def _reading(
        self, number: int, measured: int, arrives: int, values: Mapping[str, Measured]
    ) -> Reading:
        return Reading(
            node_id=_NODE,
            measured_at=self._at(measured),
            entry_id=number,
            received_at=self._at(arrives),
            values=values,
        )

    def _at(self, second: int) -> datetime:
        return self._timeline.start + timedelta(seconds=second)

    def _line(self, transition: Transition) -> str:
        at = render_duration((transition.at - self._timeline.start).total_seconds())
        parts = [at, transition.rule_id, transition.kind, transition.severity, transition.reason]
        if transition.historical:
            parts.append("historical")
        if transition.muted:
            parts.append(f"muted:{transition.muted}")
        return " ".join(map(str, parts))

    def _expect(self, moment: int) -> None:
        phases = {state.rule_id: str(state.phase) for state in self._engine.export(_NODE)}
        for line in self._timeline.states.get(moment, ()):
            rule_id, _, wanted = line.partition(" ")
            phase = phases.get(rule_id, "normal")
            if phase != wanted:
                at = render_duration(moment)
                self._problems.append(f"at {at} expected {rule_id} {wanted}, and it was {phase}")

    def _act(self, action: object, now: datetime) -> None:
        engine = self._engine
        match action:
            case tuple(rules):
                self._rules = rules
                self._told += engine.replace_rules(rules, now=now)
            case {"do": "restart"}:
                self._restart()
            case {"do": "wait", "until": int(until)}:
                engine.wait(_NODE, until=self._at(until))
            case {"do": str(verb), "rule": str(rule_id), **rest}:
                until_s = rest.get("until")
                end = self._at(until_s) if isinstance(until_s, int) else None
                self._told += self._say(verb, rule_id, now, end)
            case _:
                problem = f"nobody can do {action!r:.80}"
                raise InvalidInputError(problem)

    def _say(
        self, verb: str, rule_id: str, now: datetime, until: datetime | None
    ) -> list[Transition]:
        engine = self._engine
        match verb:
            case "acknowledge":
                return engine.acknowledge(_NODE, rule_id, by="operator", now=now, until=until)
            case "unacknowledge":
                return engine.unacknowledge(_NODE, rule_id, now=now)
            case "shelve":
                return engine.shelve(_NODE, rule_id, by="operator", now=now, until=until)
            case "unshelve":
                return engine.unshelve(_NODE, rule_id, now=now)
            case "resolve":
                action = OperatorAction(
                    kind=ActionKind.RESOLVE, node_id=_NODE, rule_id=rule_id, by="operator", at=now
                )
                return engine.operate(action, now=now)
            case _:
                problem = f"nobody can {verb!r:.40}"
                raise InvalidInputError(problem)

    def _restart(self) -> None:
        states = self._engine.export(_NODE)
        self._engine = AlertEngine(self._rules)
        newest = self._newest
        self._engine.restore(
            self._node,
            states,
            last_sample_at=None if newest is None else newest.measured_at,
            last_received_at=None if newest is None else newest.received_at,
            values={} if newest is None else newest.values,
            recent=[] if newest is None else [newest],
        )


def _samples(
    series: Mapping[str, Sequence[Measured | None]], every_s: int, late: Mapping[int, int]
) -> Sequence[tuple[int, int, Mapping[str, Measured]]]:
    samples = []
    for slot in range(max((len(items) for items in series.values()), default=0)):
        found = {name: items[slot] for name, items in series.items() if slot < len(items)}
        values = {name: measured for name, measured in found.items() if measured is not None}
        if values:
            measured_s = slot * every_s
            samples.append((measured_s, late.get(measured_s, measured_s), values))
    return samples


def _action(plain: object) -> tuple[int, object]:
    given = dict(_mapping(plain))
    at = _seconds(given.pop("at", None))
    if "rules" in given:
        return at, tuple(rule_from_document(each) for each in _list(given["rules"]))
    if "until" in given:
        given["until"] = _seconds(given["until"])
    return at, given


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        problem = f"a mapping is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        problem = f"a list is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        problem = f"a number is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return float(value)


def _seconds(value: object) -> int:
    seconds = parse_duration_s(value) if isinstance(value, str) else None
    if seconds is None:
        problem = f"a moment is expected, such as 10m or 1h30m, not {value!r:.40}"
        raise InvalidInputError(problem)
    return seconds


def _moment(value: object) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - naive, and so refused
    if moment.tzinfo is None:
        problem = f"a moment with its zone is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return moment.astimezone(UTC)
