"""A condition tree as text again: what `expression` reads, with no bracket too many."""

from __future__ import annotations

from enum import IntEnum

from evara_core.alerts.conditions import (
    All,
    Any,
    Arithmetic,
    AtLeast,
    Between,
    Changed,
    Choose,
    Compare,
    Config,
    Constant,
    Evidence,
    Function,
    Has,
    In,
    Metric,
    Negate,
    Node,
    Not,
    Number,
    QualityIn,
    Rate,
    SilentFor,
    SilentIntervals,
    Span,
    Window,
)
from evara_core.alerts.durations import render_duration

__all__ = ["render", "render_number"]


class _Binding(IntEnum):
    """How tightly a node holds together; loosest first."""

    CHOICE = 0
    EITHER = 1
    BOTH = 2
    RELATION = 3
    SUM = 4
    PRODUCT = 5
    SIGN = 6
    WHOLE = 7


def render(node: Node) -> str:
    """Return *node* as text. `parse_condition(render(tree)) == tree` for every sound tree."""
    return _at(node, _Binding.CHOICE)


def render_number(value: float) -> str:
    """Return a float as people write it: 20, not 20.0."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - exact as int


def _at(node: Node, binding: _Binding) -> str:
    """Return *node* for a place that holds at least as tightly as *binding*."""
    own, text = _rendered(node)
    return f"({text})" if own < binding else text


def _rendered(node: Node) -> tuple[_Binding, str]:
    match node:
        case Any(parts):
            return _Binding.EITHER, " || ".join(_at(p, _Binding.BOTH) for p in parts)
        case All(parts):
            return _Binding.BOTH, " && ".join(_at(p, _Binding.RELATION) for p in parts)
        case Choose(condition, then, otherwise):
            asked = _at(condition, _Binding.EITHER)
            return _Binding.CHOICE, f"{asked} ? {render(then)} : {render(otherwise)}"
        case Compare() | In() | QualityIn():
            return _Binding.RELATION, _relation(node)
        case Arithmetic(op, left, right):
            own = _Binding.SUM if op in {"+", "-"} else _Binding.PRODUCT
            sides = f"{_at(left, own)} {op} {_at(right, _Binding(own + 1))}"
            return own, sides
        case Not() | Negate():
            return _signed(node)
        case _:
            return _Binding.WHOLE, _whole(node)


def _relation(node: Compare | In | QualityIn) -> str:
    match node:
        case Compare(left, op, right):
            return f"{_at(left, _Binding.SUM)} {op} {_at(right, _Binding.SUM)}"
        case In(term, values):
            return f"{_at(term, _Binding.SUM)} in [{', '.join(map(render_number, values))}]"
        case QualityIn():
            return _quality(node, "==")


def _signed(node: Not | Negate) -> tuple[_Binding, str]:
    match node:
        case Not(QualityIn(_, (_,)) as quality):
            return _Binding.RELATION, _quality(quality, "!=")
        case Not(condition):
            return _Binding.SIGN, f"!{_at(condition, _Binding.SIGN)}"
        case Negate(Number() as number):
            return _Binding.SIGN, f"-({render(number)})"
        case Negate(term):
            return _Binding.SIGN, f"-{_at(term, _Binding.SIGN)}"


def _quality(node: QualityIn, op: str) -> str:
    match node.qualities:
        case (only,):
            return f"quality({node.metric}) {op} '{only}'"
        case several:
            words = ", ".join(f"'{quality}'" for quality in several)
            return f"quality({node.metric}) in [{words}]"


def _whole(node: Node) -> str:
    match node:
        case Number(value):
            return render_number(value)
        case Constant(value):
            return "true" if value else "false"
        case Metric(name):
            return name
        case Config(name):
            return f"config.{name}"
        case Evidence(name):
            return f"evidence.{name}"
        case _:
            return _call(node)


def _call(node: Node) -> str:
    match node:
        case Function(name, terms):
            return f"{name}({', '.join(map(render, terms))})"
        case Between(term, low, high):
            return f"between({render(term)}, {render(low)}, {render(high)})"
        case Has(name):
            return f"has({render(name)})"
        case SilentFor(seconds):
            return f"silent_for('{render_duration(seconds)}')"
        case SilentIntervals(count):
            return f"silent_intervals({count})"
        case AtLeast(count, samples, condition):
            return f"at_least({count}, {samples}, {render(condition)})"
        case _:
            return _windowed(node)


def _windowed(node: Node) -> str:
    match node:
        case Window(function, metric, span, None):
            return f"{function}({metric}, {_span(span)})"
        case Window(function, metric, span, float() | int() as percent):
            return f"{function}({metric}, {render_number(float(percent))}, {_span(span)})"
        case Rate(metric, span):
            return f"rate_per_h({metric}{_optional(span)})"
        case Changed(metric, span):
            return f"changed({metric}{_optional(span)})"
        case _:
            raise TypeError(type(node).__name__)


def _span(span: Span) -> str:
    if span.seconds is not None:
        return f"'{render_duration(span.seconds)}'"
    return str(span.samples)


def _optional(span: Span) -> str:
    return "" if span == Span(samples=2) else f", {_span(span)}"
