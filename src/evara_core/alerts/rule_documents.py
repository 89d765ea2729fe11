"""Rules as plain documents, as they stand in a database, in YAML or in JSON; and back.

A document says only what differs from the defaults. Spans of time are texts such as `10m`,
conditions are texts of `alerts.expression` (or trees of `alerts.plain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from evara_core.alerts.durations import parse_duration_s, render_duration
from evara_core.alerts.expression import parse_condition
from evara_core.alerts.inhibition import links_of
from evara_core.alerts.plain import condition_from_plain
from evara_core.alerts.rendering import render
from evara_core.alerts.rules import AlertRule, Flap, Level, Mutes, Step
from evara_core.alerts.schedule import DayWindow, Schedule
from evara_core.errors import InvalidInputError, InvalidRuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from evara_core.alerts.conditions import Condition

__all__ = ["LoadedRules", "load_rules", "rule_from_document", "rule_to_document"]

MAX_RULES = 10_000
"""Rules in one set of documents: a set is one tenant's. Compiling these takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRules:
    """What became of some documents."""

    rules: tuple[AlertRule, ...]
    refused: tuple[InvalidRuleError, ...]
    """One for each document that is no rule. The others are not disturbed."""

    places: tuple[int, ...] = ()
    """Which documents these are, counted from 0."""


def load_rules(documents: Iterable[object]) -> LoadedRules:
    """Return the rules that *documents* say, and why the others were refused.

    Raises:
        InvalidInputError: There are more than `MAX_RULES`.
    """
    rules: dict[str, AlertRule] = {}
    refused: list[InvalidRuleError] = []
    places: list[int] = []
    seen_at: dict[str, int] = {}
    for count, document in enumerate(documents):
        if count == MAX_RULES:
            problem = f"more than {MAX_RULES} rules"
            raise InvalidInputError(problem)
        try:
            rule = rule_from_document(document)
        except InvalidRuleError as error:
            refused.append(error)
            places.append(count)
            continue
        if rule.id in rules:
            refused.append(InvalidRuleError(rule.id, "there is another rule with this id"))
            places.append(count)
        rules.setdefault(rule.id, rule)
        seen_at.setdefault(rule.id, count)
    for rule_id, problem in links_of(rules.values())[1].items():
        refused.append(InvalidRuleError(rule_id, f"mutes: {problem}"))
        places.append(seen_at[rule_id])
        del rules[rule_id]
    return LoadedRules(rules=tuple(rules.values()), refused=tuple(refused), places=tuple(places))


def rule_from_document(document: object) -> AlertRule:
    """Return the rule that *document* says.

    Raises:
        InvalidRuleError: It says none, with what is wrong and where.
    """
    rule_id = "?"
    try:
        fields = _mapping(document, "a rule")
        rule_id = str(fields.get("id", "?"))[:128]
        given: dict[str, Any] = {name: _field(name, value) for name, value in fields.items()}
        _insist_on(given, _REQUIRED)
        return AlertRule(**given)
    except InvalidRuleError:
        raise
    except (InvalidInputError, TypeError, ValueError) as error:
        raise InvalidRuleError(rule_id, str(error)) from error


def rule_to_document(rule: AlertRule) -> dict[str, object]:
    """Return *rule* as a document: `rule_from_document` gives an equal rule."""
    document: dict[str, object] = {}
    for name, write in _WRITERS.items():
        value = getattr(rule, name)
        if name in _REQUIRED or value != _DEFAULTS[name]:
            document[name] = write(value)
    return document


def _insist_on(given: Mapping[str, object], names: Iterable[str]) -> None:
    for name in names:
        if name not in given:
            problem = f"it has no {name!r}"
            raise InvalidInputError(problem)


def _field(name: str, value: object) -> object:
    read = _READERS.get(name)
    if read is None:
        problem = f"there is no {name[:64]!r} in a rule (there are: {', '.join(_READERS)})"
        raise InvalidInputError(problem)
    try:
        return read(value)
    except (InvalidInputError, TypeError, ValueError) as error:
        problem = f"{name}: {error}"
        raise InvalidInputError(problem) from error


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        problem = f"{what} is a mapping of names to values"
        raise InvalidInputError(problem)
    return value


def _listed(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            problem = "a list is expected"
            raise InvalidInputError(problem)
        return tuple(read(item) for item in value)

    return read_all


def _parts(value: object, readers: Mapping[str, Callable[[object], Any]]) -> dict[str, Any]:
    given = _mapping(value, "it")
    unknown = sorted(set(given) - set(readers))
    if unknown:
        problem = f"there is no {unknown[0][:64]!r} here (there are: {', '.join(readers)})"
        raise InvalidInputError(problem)
    return {name: readers[name](part) for name, part in given.items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        problem = f"a text is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        problem = f"true or false is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        problem = f"a whole number is expected, not {value!r:.40}"
        raise InvalidInputError(problem)
    return value


def _span(value: object) -> timedelta:
    seconds = parse_duration_s(value) if isinstance(value, str) else None
    if seconds is None:
        problem = f"a span of time is expected, such as 10m or 6h, not {value!r:.40}"
        raise InvalidInputError(problem)
    return timedelta(seconds=seconds)


def _condition(value: object) -> Condition:
    return parse_condition(value) if isinstance(value, str) else condition_from_plain(value)


def _step(value: object) -> Step:
    return Step(**_parts(value, {"after": _span, "severity": _text}))


def _level(value: object) -> Level:
    return Level(**_parts(value, {"severity": _text, "when": _condition}))


def _flap(value: object) -> Flap:
    return Flap(**_parts(value, {"window": _span, "high": _whole, "low": _whole}))


def _mute(value: object) -> Mutes:
    return Mutes(**_parts(value, {"within": _text, "rules": _listed(_text)}))


def _day_window(value: object) -> DayWindow:
    return DayWindow(**_parts(value, {"days": _listed(_text), "start": _text, "end": _text}))


def _schedule(value: object) -> Schedule:
    return Schedule(**_parts(value, {"zone": _text, "windows": _listed(_day_window)}))


def _optional(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


def _write_span(span: timedelta) -> str:
    return render_duration(span.total_seconds())


def _write_steps(steps: Iterable[Step]) -> list[dict[str, str]]:
    return [{"after": _write_span(s.after), "severity": str(s.severity)} for s in steps]


def _write_levels(levels: Iterable[Level]) -> list[dict[str, str]]:
    return [{"severity": str(level.severity), "when": render(level.when)} for level in levels]


def _write_mutes(mutes: Iterable[Mutes]) -> list[dict[str, object]]:
    return [
        {"within": str(m.within), **({"rules": list(m.rules)} if m.rules else {})} for m in mutes
    ]


def _write_flap(flap: Flap) -> dict[str, object]:
    return {"window": _write_span(flap.window), "high": flap.high, "low": flap.low}


def _write_schedule(schedule: Schedule) -> dict[str, object]:
    windows = [{"days": list(w.days), "start": w.start, "end": w.end} for w in schedule.windows]
    return {"zone": schedule.zone, "windows": windows}


_REQUIRED = ("id", "kind", "when")
_READERS: Mapping[str, Callable[[object], Any]] = {
    "id": _text,
    "kind": _text,
    "label": _text,
    "message": _text,
    "severity": _text,
    "when": _condition,
    "clear_when": _optional(_condition),
    "hold": _span,
    "keep": _span,
    "on_unknown": _text,
    "unknown_limit": _span,
    "fresh_for": _optional(_span),
    "levels": _listed(_level),
    "severity_falls": _flag,
    "escalate": _listed(_step),
    "latching": _flag,
    "auto_clear": _optional(_span),
    "flap": _optional(_flap),
    "active": _optional(_schedule),
    "mutes": _listed(_mute),
    "max_open": _whole,
    "enabled": _flag,
}
_WRITERS: Mapping[str, Callable[[Any], object]] = {
    "id": str,
    "kind": str,
    "label": str,
    "message": str,
    "severity": str,
    "when": render,
    "clear_when": render,
    "hold": _write_span,
    "keep": _write_span,
    "on_unknown": str,
    "unknown_limit": _write_span,
    "fresh_for": _write_span,
    "levels": _write_levels,
    "severity_falls": bool,
    "escalate": _write_steps,
    "latching": bool,
    "auto_clear": _write_span,
    "flap": _write_flap,
    "active": _write_schedule,
    "mutes": _write_mutes,
    "max_open": int,
    "enabled": bool,
}
_DEFAULTS = {
    name: getattr(AlertRule(id="x", kind="x", when=parse_condition("true")), name)
    for name in _WRITERS
}
