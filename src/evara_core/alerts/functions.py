"""The functions that an expression may call, and what becomes of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, get_args

from evara_core.alerts.conditions import (
    AtLeast,
    Between,
    Changed,
    Condition,
    Config,
    Evidence,
    Function,
    FunctionName,
    Has,
    Metric,
    Number,
    Rate,
    SilentFor,
    SilentIntervals,
    Span,
    Term,
    Window,
    WindowFunction,
)
from evara_core.alerts.durations import parse_duration_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["FUNCTIONS", "Arguments", "Mismatch", "Part", "QualityOf", "Text"]

_BETWEEN_TERMS = 3
_AT_LEAST_PARTS = 3


@dataclass(frozen=True, slots=True)
class QualityOf:
    """`quality(level_cm)`: only good to be compared with words."""

    metric: str


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted word."""

    value: str


Part: TypeAlias = Term | Condition | QualityOf | Text
"""What an expression can be while it is read."""


class Mismatch(Exception):  # noqa: N818 - the parser turns it into the error, with the position
    """An argument is not what the function takes."""

    def __init__(self, argument: int, expected: str) -> None:
        super().__init__(argument, expected)
        self.argument = argument
        """Its index; the number of arguments when one is missing."""

        self.expected = expected


class Arguments:
    """What a call was given, asked for by kind."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def count(self, low: int, high: int | None = None) -> None:
        """Insist on so many arguments."""
        if len(self._parts) < low:
            raise Mismatch(
                len(self._parts), f"{low} arguments or more" if low > 1 else "an argument"
            )
        if high is not None and len(self._parts) > high:
            raise Mismatch(high, "`)`: that is too many arguments")

    def term(self, index: int) -> Term:
        """Return an argument that is a number."""
        part = self._parts[index]
        if not isinstance(part, Term):
            raise Mismatch(index, "a number")
        return part

    def condition(self, index: int) -> Condition:
        """Return an argument that is a condition."""
        part = self._parts[index]
        if not isinstance(part, Condition):
            raise Mismatch(index, "a condition, such as a comparison")
        return part

    def metric(self, index: int) -> str:
        """Return the name of a metric."""
        part = self._parts[index]
        if not isinstance(part, Metric):
            raise Mismatch(index, "the name of a metric")
        return part.name

    def whole(self, index: int) -> int:
        """Return a whole number."""
        part = self._parts[index]
        if not isinstance(part, Number) or not part.value.is_integer():
            raise Mismatch(index, "a whole number")
        return int(part.value)

    def seconds(self, index: int) -> int:
        """Return a duration."""
        part = self._parts[index]
        seconds = parse_duration_s(part.value) if isinstance(part, Text) else None
        if seconds is None:
            raise Mismatch(index, "a duration, such as '10m' or '6h'")
        return seconds

    def span(self, index: int) -> Span:
        """Return a window: a duration or a number of samples."""
        if isinstance(self._parts[index], Text):
            return Span(seconds=self.seconds(index))
        return Span(samples=self.whole(index))


def _pure(name: FunctionName) -> Callable[[Arguments], Part]:
    def build(given: Arguments) -> Part:
        given.count(*((1, 1) if name == "abs" else (2, None)))
        return Function(name, tuple(given.term(index) for index in range(len(given))))

    return build


def _window(function: WindowFunction) -> Callable[[Arguments], Part]:
    def build(given: Arguments) -> Part:
        given.count(2, 2)
        return Window(function, given.metric(0), given.span(1))

    return build


def _percentile(given: Arguments) -> Part:
    given.count(3, 3)
    percent = given.term(1)
    if not isinstance(percent, Number):
        raise Mismatch(1, "a percentage")
    return Window(WindowFunction.PERCENTILE, given.metric(0), given.span(2), percent.value)


def _rate(given: Arguments) -> Part:
    given.count(1, 2)
    return Rate(given.metric(0), given.span(1) if len(given) > 1 else Span(samples=2))


def _changed(given: Arguments) -> Part:
    given.count(1, 2)
    return Changed(given.metric(0), given.span(1) if len(given) > 1 else Span(samples=2))


def _between(given: Arguments) -> Part:
    given.count(_BETWEEN_TERMS, _BETWEEN_TERMS)
    return Between(given.term(0), given.term(1), given.term(2))


def _at_least(given: Arguments) -> Part:
    given.count(_AT_LEAST_PARTS, _AT_LEAST_PARTS)
    return AtLeast(given.whole(0), given.whole(1), given.condition(2))


def _silent_for(given: Arguments) -> Part:
    given.count(1, 1)
    return SilentFor(given.seconds(0))


def _silent_intervals(given: Arguments) -> Part:
    given.count(1, 1)
    return SilentIntervals(given.whole(0))


def _has(given: Arguments) -> Part:
    given.count(1, 1)
    name = given.term(0)
    if not isinstance(name, Metric | Config | Evidence):
        raise Mismatch(0, "a name")
    return Has(name)


def _quality(given: Arguments) -> Part:
    given.count(1, 1)
    return QualityOf(given.metric(0))


FUNCTIONS: Mapping[str, Callable[[Arguments], Part]] = {
    **{name: _pure(name) for name in get_args(FunctionName)},
    **{f.value: _window(f) for f in WindowFunction if f is not WindowFunction.PERCENTILE},
    WindowFunction.PERCENTILE.value: _percentile,
    "at_least": _at_least,
    "between": _between,
    "changed": _changed,
    "has": _has,
    "quality": _quality,
    "rate_per_h": _rate,
    "silent_for": _silent_for,
    "silent_intervals": _silent_intervals,
}
"""What each function makes of its arguments. Each may raise `Mismatch`."""
