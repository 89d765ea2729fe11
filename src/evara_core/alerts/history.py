"""The recent samples of one node: what windows look back on. Kept only for rules that ask."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.alerts.conditions import AtLeast, Changed, Node, Rate, Span, Window, walk
from evara_core.alerts.conditions import WindowFunction as Fn
from evara_core.alerts.numbers import usable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evara_core.telemetry.models import Measured

__all__ = ["MAX_COLUMN", "Column", "History", "Needs", "needs_of", "over", "rate_per_h", "varies"]

MAX_COLUMN = 20_160
"""Samples of one metric kept for one node: a week of one every 30 s. Older ones go first."""

_US = 1_000_000
_US_PER_H = 3_600 * _US
_NAN = math.nan


@dataclass(frozen=True, slots=True)
class Needs:
    """How much history some rules look back on."""

    columns: Mapping[str, tuple[int, int]]
    """By metric: seconds, and samples."""

    samples: int
    """Whole samples."""

    def __bool__(self) -> bool:
        return bool(self.columns) or self.samples > 0

    @property
    def seconds(self) -> int:
        """How far back it reaches in time."""
        return max((seconds for seconds, _ in self.columns.values()), default=0)


def needs_of(trees: Iterable[Node]) -> Needs:
    """Return what the windows in *trees* look back on."""
    columns: dict[str, tuple[int, int]] = {}
    samples = 0
    for tree in trees:
        for node in walk(tree):
            match node:
                case Window(_, metric, span) | Rate(metric, span) | Changed(metric, span):
                    seconds, count = columns.get(metric, (0, 0))
                    columns[metric] = (
                        max(seconds, span.seconds or 0),
                        max(count, span.samples or 0),
                    )
                case AtLeast(_, number, _):
                    samples = max(samples, number)
                case _:
                    pass
    return Needs(columns, samples)


class Column:
    """The usable values of one metric, oldest first, with their times."""

    __slots__ = ("_count", "_reach_us", "times_us", "values")

    def __init__(self, seconds: int, count: int) -> None:
        self.times_us: list[int] = []
        self.values: list[float] = []
        self._reach_us = seconds * _US
        self._count = count

    def append(self, at_us: int, value: float) -> None:
        """Add a sample. One that is not newer than the newest is there already."""
        if self.times_us and at_us <= self.times_us[-1]:
            return
        self.times_us.append(at_us)
        self.values.append(value)
        # The first sample beyond the reach stays: it proves that the window is covered.
        if len(self.times_us) > 1 and self.times_us[1] <= at_us - self._reach_us:
            self._trim(at_us)
        elif len(self.times_us) > MAX_COLUMN:
            self._drop(len(self.times_us) - MAX_COLUMN)

    def _trim(self, at_us: int) -> None:
        beyond = bisect_right(self.times_us, at_us - self._reach_us) - 1
        useless = min(beyond, len(self.times_us) - self._count)
        if useless > len(self.times_us) // 4:
            self._drop(useless)

    def _drop(self, count: int) -> None:
        del self.times_us[:count]
        del self.values[:count]

    def start(self, span: Span, at_us: int) -> int:
        """Return the index of the first sample in the window that ends at *at_us*."""
        if span.seconds is not None:
            return bisect_right(self.times_us, at_us - span.seconds * _US)
        return max(0, len(self.values) - (span.samples or 0))

    def covers(self, span: Span, at_us: int) -> bool:
        """Whether the window lies within what has been seen."""
        if span.seconds is not None:
            return bool(self.times_us) and self.times_us[0] <= at_us - span.seconds * _US
        return len(self.values) >= (span.samples or 0)


class History:
    """What the rules of one node look back on."""

    __slots__ = ("columns", "samples")

    def __init__(self, needs: Needs) -> None:
        self.columns = {
            metric: Column(seconds, count) for metric, (seconds, count) in needs.columns.items()
        }
        self.samples: deque[Mapping[str, Measured]] = deque(maxlen=needs.samples)
        """Newest last."""

    def append(self, at_us: int, values: Mapping[str, Measured]) -> None:
        """Add a sample."""
        for metric, column in self.columns.items():
            value = usable(values.get(metric))
            if math.isfinite(value):
                column.append(at_us, value)
        if self.samples.maxlen:
            self.samples.append(values)

    def take_over(self, other: History) -> None:
        """Keep what *other* knows of the same metrics."""
        for metric, column in self.columns.items():
            known = other.columns.get(metric)
            if known is not None:
                column.times_us, column.values = known.times_us[:], known.values[:]
        self.samples.extend(other.samples)


def over(column: Column, function: Fn, span: Span, percent: float | None, at_us: int) -> float:
    """Return a figure over a window; NaN when there is nothing to compute it from."""
    values = column.values[column.start(span, at_us) :]
    if function is Fn.COUNT:
        return float(len(values))
    if not values:
        return _NAN
    match function:
        case Fn.MIN:
            return min(values)
        case Fn.MAX:
            return max(values)
        case Fn.MEAN:
            return _mean(values)
        case Fn.PERCENTILE:
            return _percentile(values, percent or 0.0)


def rate_per_h(column: Column, span: Span, at_us: int) -> float:
    """Return the change per hour over a window; NaN when it has fewer than two samples."""
    first = column.start(span, at_us)
    if len(column.values) - first < 2:  # noqa: PLR2004 - a slope needs two points
        return _NAN
    change = column.values[-1] - column.values[first]
    slope = change / (column.times_us[-1] - column.times_us[first]) * _US_PER_H
    return slope if math.isfinite(slope) else _NAN


def varies(column: Column, span: Span, at_us: int) -> bool | None:
    """Whether a window holds more than one value; None when that cannot be told yet."""
    first = column.start(span, at_us)
    if span.seconds is not None and first:
        # What was said last before the window was so when the window began.
        first -= 1
    values = column.values[first:]
    if values and min(values) != max(values):
        return True
    return False if column.covers(span, at_us) else None


def _mean(values: list[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return _NAN


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    value = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    return value if math.isfinite(value) else _NAN
