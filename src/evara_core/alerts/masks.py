"""A condition tree over columns: many samples of one node at once, with NumPy.

The answer is two masks: where a condition is known to be true, and where it is known to
be false; where neither is, it is unknown. For back-tests and bulk work: columns must be
there already, because making them of readings costs more than it saves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from evara_core._optional import provided_by
from evara_core.alerts.columns import QUALITY_CODES, Columns, columns_of
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
    Term,
    Window,
)
from evara_core.alerts.history import Column, over, rate_per_h, varies
from evara_core.alerts.numbers import number_of
from evara_core.telemetry.models import Quality

with provided_by("numpy", package="numpy"):
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from evara_core.alerts.conditions import Span

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Mask: TypeAlias = Callable[[Columns], Bools]

__all__ = [
    "Columns",
    "MaskedCondition",
    "Masks",
    "columns_of",
    "compile_masks",
    "compute_masks",
]


class Masks(NamedTuple):
    """Where a condition is true, and where it is false."""

    true: Bools
    false: Bools


def compute_masks(condition: Condition, columns: Columns) -> Masks:
    """Return where *condition* is true and where it is false.

    A window looks back within the columns only. It sees a row as of its own time; the
    times of rows rise. `compile_masks` does the same for many columns.
    """
    return compile_masks(condition).both(columns)


def compile_masks(condition: Condition) -> MaskedCondition:
    """Return *condition* made ready for columns."""
    return MaskedCondition(condition)


class MaskedCondition:
    """A condition made ready for columns. Each mask is worked out only when it is asked for."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._true, self._false = _simple_pair(condition)

    def true(self, columns: Columns) -> Bools:
        """Return where it is known to be true."""
        if self._true is not None:
            return _spread(self._true(columns), columns.rows)
        return self.both(columns).true

    def false(self, columns: Columns) -> Bools:
        """Return where it is known to be false."""
        if self._false is not None:
            return _spread(self._false(columns), columns.rows)
        return self.both(columns).false

    def both(self, columns: Columns) -> Masks:
        """Return both masks."""
        if self._true is not None and self._false is not None:
            rows = columns.rows
            return Masks(_spread(self._true(columns), rows), _spread(self._false(columns), rows))
        with np.errstate(all="ignore"):
            pair = _Evaluator(columns).pair(self._condition)
        return Masks(_spread(pair.true, columns.rows), _spread(pair.false, columns.rows))


def _spread(mask: Bools, rows: int) -> Bools:
    return mask if mask.shape == (rows,) else np.broadcast_to(mask, (rows,))


def _simple_pair(condition: Condition) -> tuple[Mask | None, Mask | None]:
    """Return the two masks of comparisons of metrics with numbers, joined; else None, None.

    The way of most rules, without a tree to walk for each call.
    """
    match condition:
        case Compare(Metric(name), op, Number(value)) if op in _UFUNCS:
            true, false = _UFUNCS[op], _UFUNCS[_OPPOSITES[op]]
            return _comparison(name, true, value), _comparison(name, false, value)
        case Not(part):
            is_true, is_false = _simple_pair(part)
            return is_false, is_true
        case All(parts) | Any(parts):
            pairs = [_simple_pair(part) for part in parts]
            trues = [true for true, _ in pairs if true is not None]
            falses = [false for _, false in pairs if false is not None]
            if len(trues) < len(pairs):
                return None, None
            every: np.ufunc = np.logical_and
            some: np.ufunc = np.logical_or
            if isinstance(condition, Any):
                every, some = some, every
            return _folding(every, trues), _folding(some, falses)
        case _:
            return None, None


def _comparison(name: str, compare: np.ufunc, value: float) -> Mask:
    def mask(columns: Columns) -> Bools:
        found: Bools = compare(columns.values.get(name, _UNKNOWN), value)
        return found

    return mask


def _folding(join: np.ufunc, masks: Sequence[Mask]) -> Mask:
    first, *others = masks

    def mask(columns: Columns) -> Bools:
        joined = first(columns)
        for other in others:
            joined = join(joined, other(columns))
        return joined

    return mask


class _Evaluator:
    """Works out each part of a tree once."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._pairs: dict[Condition, Masks] = {}
        self._terms: dict[Term, Floats] = {}

    def pair(self, condition: Condition) -> Masks:
        if condition not in self._pairs:
            self._pairs[condition] = self._worked_out(condition)
        return self._pairs[condition]

    def _worked_out(self, condition: Condition) -> Masks:
        match condition:
            case All(parts):
                pairs = [self.pair(part) for part in parts]
                return Masks(_every([p.true for p in pairs]), _some([p.false for p in pairs]))
            case Any(parts):
                pairs = [self.pair(part) for part in parts]
                return Masks(_some([p.true for p in pairs]), _every([p.false for p in pairs]))
            case Not(part):
                true, false = self.pair(part)
                return Masks(false, true)
            case Compare(left, op, right):
                return _compared(self.term(left), op, self.term(right))
            case Between(term, low, high):
                x, a, b = self.term(term), self.term(low), self.term(high)
                return Masks((a <= x) & (x <= b), (x < a) | (x > b))
            case _:
                return self._special(condition)

    def _special(self, condition: Condition) -> Masks:
        match condition:
            case Constant(value):
                true = np.array([value])
                return Masks(true, ~true)
            case In(term, values):
                x = self.term(term)
                known = np.isin(x, np.array(values))
                return Masks(known, ~known & ~np.isnan(x))
            case Has(name):
                known = ~np.isnan(self.term(name))
                return Masks(known, ~known)
            case QualityIn(metric, qualities):
                known = np.isin(self._quality(metric), [QUALITY_CODES[q] for q in qualities])
                return Masks(known, ~known)
            case AtLeast(count, samples, part):
                return self._at_least(count, samples, part)
            case _:
                return self._in_time(condition)

    def _in_time(self, condition: Condition) -> Masks:
        match condition:
            case SilentFor(seconds):
                return self._silent(seconds)
            case SilentIntervals(count):
                return self._silent(count * self._columns.interval_s)
            case Changed(metric, span):
                answers = self._rolled(
                    metric, span, lambda column, at_us: varies(column, span, at_us)
                )
                true = np.array([answer is True for answer in answers], dtype=bool)
                false = np.array([answer is False for answer in answers], dtype=bool)
                return Masks(true, false)
            case _:
                raise TypeError(type(condition).__name__)

    def _silent(self, seconds: float) -> Masks:
        silent = self._columns.silent_s
        silent = np.zeros(1) if silent is None else silent
        return Masks(silent >= seconds, silent < seconds)

    def _at_least(self, count: int, samples: int, part: Condition) -> Masks:
        rows = self._columns.rows
        pair = self.pair(part)
        held = _rolling_sum(np.broadcast_to(pair.true, (rows,)), samples)
        possible = _rolling_sum(~np.broadcast_to(pair.false, (rows,)), samples)
        return Masks(held >= count, possible < count)

    def term(self, term: Term) -> Floats:
        if term not in self._terms:
            self._terms[term] = self._figure(term)
        return self._terms[term]

    def _figure(self, term: Term) -> Floats:
        match term:
            case Number(value):
                return np.array([value], dtype=np.float64)
            case Metric() | Config() | Evidence():
                return self._named(term)
            case Arithmetic(op, left, right):
                return _finite(_OPERATIONS[op](self.term(left), self.term(right)))
            case Negate(part):
                return -self.term(part)
            case Function(name, parts):
                return _FUNCTIONS[name]([self.term(part) for part in parts])
            case Choose(condition, then, otherwise):
                true, false = self.pair(condition)
                other = np.where(false, self.term(otherwise), np.nan)
                return np.where(true, self.term(then), other)
            case _:
                return self._windowed(term)

    def _named(self, name: Name) -> Floats:
        match name:
            case Metric(key):
                return self._columns.values.get(key, _UNKNOWN)
            case Config(key):
                return np.array([number_of(self._columns.config.get(key))])
            case Evidence(key):
                return self._columns.evidence.get(key, _UNKNOWN)

    def _windowed(self, term: Term) -> Floats:
        match term:
            case Window(function, metric, span, percent):
                figures = self._rolled(
                    metric, span, lambda column, at_us: over(column, function, span, percent, at_us)
                )
            case Rate(metric, span):
                figures = self._rolled(
                    metric, span, lambda column, at_us: rate_per_h(column, span, at_us)
                )
            case _:
                raise TypeError(type(term).__name__)
        return np.array(figures, dtype=np.float64)

    def _rolled(
        self, metric: str, span: Span, figure: Callable[[Column, int], object]
    ) -> list[object]:
        """Return what a window says at each row."""
        rows = self._columns.rows
        times = self._columns.times_us
        moments = range(rows) if times is None else times.tolist()
        values = np.broadcast_to(self.term(Metric(metric)), (rows,)).tolist()
        column = Column(span.seconds or 0, span.samples or 0)
        figures = []
        for at_us, value in zip(moments, values, strict=True):
            if math.isfinite(value):
                column.append(at_us, value)
            figures.append(figure(column, at_us))
        return figures

    def _quality(self, metric: str) -> NDArray[np.int8]:
        codes = self._columns.qualities.get(metric)
        if codes is not None:
            return codes
        missing = np.isnan(self.term(Metric(metric)))
        return np.where(
            missing, QUALITY_CODES[Quality.MISSING], QUALITY_CODES[Quality.GOOD]
        ).astype(np.int8)


def _compared(a: Floats, op: str, b: Floats) -> Masks:
    match op:
        case "<":
            return Masks(a < b, a >= b)
        case "<=":
            return Masks(a <= b, a > b)
        case ">":
            return Masks(a > b, a <= b)
        case ">=":
            return Masks(a >= b, a < b)
        case "==":
            return Masks(a == b, (a < b) | (a > b))
        case _:
            return Masks((a < b) | (a > b), a == b)


def _every(masks: Sequence[Bools]) -> Bools:
    joined = masks[0]
    for mask in masks[1:]:
        joined = joined & mask
    return joined


def _some(masks: Sequence[Bools]) -> Bools:
    joined = masks[0]
    for mask in masks[1:]:
        joined = joined | mask
    return joined


def _finite(figures: Floats) -> Floats:
    return np.where(np.isfinite(figures), figures, np.nan)


def _rolling_sum(mask: Bools, rows: int) -> NDArray[np.int64]:
    total = np.concatenate(([0], np.cumsum(mask)))
    first = np.maximum(np.arange(len(mask)) + 1 - rows, 0)
    return np.asarray(total[1:] - total[first], dtype=np.int64)


_UNKNOWN = np.array([np.nan])
_OPPOSITES = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_UFUNCS: dict[str, np.ufunc] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_OPERATIONS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
_FUNCTIONS: dict[str, Callable[[Sequence[Floats]], Floats]] = {
    "abs": lambda parts: np.abs(parts[0]),
    "max": lambda parts: _folded(np.maximum, parts),
    "min": lambda parts: _folded(np.minimum, parts),
}


def _folded(operation: Callable[[Floats, Floats], Floats], parts: Sequence[Floats]) -> Floats:
    result = parts[0]
    for part in parts[1:]:
        result = operation(result, part)
    return result
