"""What a picture of a back-test shows: curves of metrics, and bands where a rule would fire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.alerts.plan import metrics_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from evara_core.alerts.backtest import Backtest
    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Reading

__all__ = ["MAX_METRICS", "MAX_POINTS", "Curve", "Lane", "Picture", "Recorder", "picture_of"]

MAX_METRICS = 6
"""Curves in one picture: more are not told apart."""

MAX_POINTS = 2_000
"""Of a curve: more than a screen has columns. Each column keeps its least and its greatest."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric over time."""

    metric: str
    points: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """A set of rules, and what it would have said."""

    name: str
    backtest: Backtest


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn."""

    title: str
    start: datetime
    end: datetime
    curves: tuple[Curve, ...]
    lanes: tuple[Lane, ...]


class Recorder:
    """Lets readings pass, and keeps the metrics that rules ask for."""

    def __init__(self, rules: Iterable[AlertRule]) -> None:
        names = {name for rule in rules for name in metrics_asked(rule)}
        self._points: dict[str, list[tuple[datetime, float]]] = {
            name: [] for name in sorted(names)[:MAX_METRICS]
        }

    def passing(self, readings: Iterable[Reading]) -> Iterator[Reading]:
        """Yield *readings* as they are."""
        for reading in readings:
            for name, points in self._points.items():
                measured = reading.values.get(name)
                if measured is not None and measured.value is not None:
                    points.append((reading.measured_at, measured.value))
            yield reading

    def curves(self) -> tuple[Curve, ...]:
        """Return what was kept of each metric that was sent at all."""
        return tuple(
            Curve(name, thinned(points)) for name, points in self._points.items() if points
        )


def picture_of(title: str, lanes: Sequence[Lane], curves: Sequence[Curve]) -> Picture | None:
    """Return the picture of back-tests of the same readings; None when there were none."""
    starts = [lane.backtest.started_at for lane in lanes if lane.backtest.started_at is not None]
    ends = [lane.backtest.ended_at for lane in lanes if lane.backtest.ended_at is not None]
    if not starts or not ends:
        return None
    return Picture(title, min(starts), max(ends), tuple(curves), tuple(lanes))


def thinned(points: Sequence[tuple[datetime, float]]) -> tuple[tuple[datetime, float], ...]:
    """Return at most `MAX_POINTS` of *points*, among them the extremes of each stretch."""
    if len(points) <= MAX_POINTS:
        return tuple(points)
    size = -(-len(points) * 2 // MAX_POINTS)
    kept: list[tuple[datetime, float]] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return tuple(kept)
