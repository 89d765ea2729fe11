"""A condition tree as nested closures: the back end without code generation.

Terms are floats, NaN when unknown; conditions are True, False, or None when unknown.
Slower than `evara_core.alerts.generated`, which must agree with it on every sample.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from evara_core.alerts.conditions import (
    All,
    Any,
    Arithmetic,
    AtLeast,
    Between,
    Changed,
    Choose,
    Compare,
    Condition,
    Config,
    Constant,
    Evidence,
    Function,
    Has,
    In,
    Metric,
    Name,
    Negate,
    Not,
    Number,
    QualityIn,
    Rate,
    SilentFor,
    SilentIntervals,
    Span,
    Term,
    Window,
)
from evara_core.alerts.history import over, rate_per_h, varies
from evara_core.alerts.numbers import number_of, usable
from evara_core.alerts.sample import Sample
from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.telemetry.models import Measured

__all__ = ["Ask", "Figure", "Screen", "compile_condition", "compile_screen", "compile_term"]

Ask: TypeAlias = Callable[[Sample], bool | None]
"""A condition, compiled: True, False, or None when unknown."""

Figure: TypeAlias = Callable[[Sample], float]
"""A term, compiled: a finite float, or NaN when unknown."""

Screen: TypeAlias = "Callable[[Mapping[str, Measured], Mapping[str, float], Sample | None], int]"
"""Many conditions, compiled: values, configuration and sample of a node, to bits."""

_NAN = math.nan
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


_PICKS: dict[str, Callable[[list[float]], float]] = {
    "abs": lambda values: abs(values[0]),
    "max": max,
    "min": min,
}


def compile_condition(condition: Condition) -> Ask:
    """Return *condition* as a function of a sample."""
    match condition:
        case Compare(left, op, right):
            return _compare(compile_term(left), _COMPARISONS[op], compile_term(right))
        case Between(term, low, high):
            return compile_condition(All((Compare(low, "<=", term), Compare(term, "<=", high))))
        case All(parts):
            return _joined([compile_condition(part) for part in parts], decides=False)
        case Any(parts):
            return _joined([compile_condition(part) for part in parts], decides=True)
        case Not(part):
            return _negated(compile_condition(part))
        case Constant(value):
            return lambda _sample: value
        case In(term, values):
            return _member(compile_term(term), frozenset(values))
        case _:
            return _special(condition)


def compile_screen(conditions: Sequence[tuple[Condition, bool]]) -> Screen:
    """Return all *conditions* as one function for a sample that has just arrived.

    Bit n of its answer says that condition n asks for a closer look: because it is true,
    or, where its flag is set, because it is not known to be false. The sample itself may be
    None unless a condition looks at windows or evidence.
    """
    asks = [(compile_condition(condition), flag) for condition, flag in conditions]

    def screen(
        values: Mapping[str, Measured], config: Mapping[str, float], sample: Sample | None
    ) -> int:
        sample = sample or Sample(values, config=config, silent_s=0.0)
        hits = 0
        for number, (ask, when_unknown) in enumerate(asks):
            answer = ask(sample)
            if answer or (when_unknown and answer is None):
                hits |= 1 << number
        return hits

    return screen


def compile_term(term: Term) -> Figure:
    """Return *term* as a function of a sample."""
    match term:
        case Number(value):
            return lambda _sample: value
        case Metric() | Config() | Evidence():
            return _named(term)
        case Arithmetic("/", left, right):
            return _divided(compile_term(left), compile_term(right))
        case Arithmetic(op, left, right):
            return _operated(compile_term(left), _OPERATORS[op], compile_term(right))
        case Negate(part):
            figure = compile_term(part)
            return lambda sample: -figure(sample)
        case Function(name, parts):
            return _function(name, [compile_term(part) for part in parts])
        case Choose(condition, then, otherwise):
            return _chosen(
                compile_condition(condition), compile_term(then), compile_term(otherwise)
            )
        case _:
            return _windowed(term)


def _named(name: Name) -> Figure:
    key = name.name
    match name:
        case Metric():
            return lambda sample: usable(sample.values.get(key))
        case Config():
            return lambda sample: number_of(sample.config.get(key))
        case Evidence():
            return lambda sample: number_of(sample.evidence.get(key))


def _compare(left: Figure, op: Callable[[float, float], bool], right: Figure) -> Ask:
    def ask(sample: Sample) -> bool | None:
        a, b = left(sample), right(sample)
        return None if a != a or b != b else op(a, b)  # noqa: PLR0124 - NaN

    return ask


def _joined(parts: list[Ask], *, decides: bool) -> Ask:
    def ask(sample: Sample) -> bool | None:
        unknown = False
        for part in parts:
            answer = part(sample)
            if answer is decides:
                return decides
            unknown = unknown or answer is None
        return None if unknown else not decides

    return ask


def _negated(part: Ask) -> Ask:
    def ask(sample: Sample) -> bool | None:
        answer = part(sample)
        return None if answer is None else not answer

    return ask


def _member(figure: Figure, values: frozenset[float]) -> Ask:
    def ask(sample: Sample) -> bool | None:
        value = figure(sample)
        return None if value != value else value in values  # noqa: PLR0124 - NaN

    return ask


def _special(condition: Condition) -> Ask:
    match condition:
        case Has(name):
            figure = _named(name)
            return lambda sample: not math.isnan(figure(sample))
        case QualityIn(metric, qualities):
            return _quality(metric, frozenset(qualities))
        case SilentFor(seconds):
            return lambda sample: None if sample.silent_s is None else sample.silent_s >= seconds
        case SilentIntervals(count):
            return lambda sample: (
                None if sample.silent_s is None else sample.silent_s >= count * sample.interval_s
            )
        case Changed(metric, span):
            return _changed(metric, span)
        case AtLeast(count, samples, part):
            return _at_least(count, samples, compile_condition(part))
        case _:
            raise TypeError(type(condition).__name__)


def _quality(metric: str, qualities: frozenset[Quality]) -> Ask:
    def ask(sample: Sample) -> bool:
        measured = sample.values.get(metric)
        return (Quality.MISSING if measured is None else measured.quality) in qualities

    return ask


def _changed(metric: str, span: Span) -> Ask:
    def ask(sample: Sample) -> bool | None:
        history = sample.history
        return None if history is None else varies(history.columns[metric], span, sample.at_us)

    return ask


def _at_least(count: int, samples: int, part: Ask) -> Ask:
    def ask(sample: Sample) -> bool | None:
        history = sample.history
        if history is None:
            return None
        held = possible = 0
        for values in list(history.samples)[-samples:]:
            answer = part(Sample(values, config=sample.config, evidence=sample.evidence))
            held += answer is True
            possible += answer is not False
        return True if held >= count else None if possible >= count else False

    return ask


def _operated(left: Figure, op: Callable[[float, float], float], right: Figure) -> Figure:
    def figure(sample: Sample) -> float:
        value = op(left(sample), right(sample))
        return value if math.isfinite(value) else _NAN

    return figure


def _divided(left: Figure, right: Figure) -> Figure:
    def figure(sample: Sample) -> float:
        divisor = right(sample)
        value = left(sample) / divisor if divisor else _NAN
        return value if math.isfinite(value) else _NAN

    return figure


def _function(name: str, parts: list[Figure]) -> Figure:
    pick = _PICKS[name]

    # Python's own min and max answer by the order of their arguments when one is NaN.
    def figure(sample: Sample) -> float:
        values = [part(sample) for part in parts]
        return _NAN if any(map(math.isnan, values)) else pick(values)

    return figure


def _chosen(condition: Ask, then: Figure, otherwise: Figure) -> Figure:
    def figure(sample: Sample) -> float:
        answer = condition(sample)
        if answer is None:
            return _NAN
        return then(sample) if answer else otherwise(sample)

    return figure


def _windowed(term: Term) -> Figure:
    match term:
        case Window(function, metric, span, percent):
            return lambda sample: (
                _NAN
                if sample.history is None
                else over(sample.history.columns[metric], function, span, percent, sample.at_us)
            )
        case Rate(metric, span):
            return lambda sample: (
                _NAN
                if sample.history is None
                else rate_per_h(sample.history.columns[metric], span, sample.at_us)
            )
        case _:
            raise TypeError(type(term).__name__)
