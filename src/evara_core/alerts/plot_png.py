"""The picture of a back-test as PNG. Needs the extra `plot`."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from evara_core._optional import provided_by

with provided_by("plot", package="matplotlib"):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

if TYPE_CHECKING:
    from datetime import datetime

    from matplotlib.axes import Axes

    from evara_core.alerts.plotting import Lane, Picture

__all__ = ["png_of"]

_COLOURS = {"info": "#4c8bf5", "warning": "#f2a33a", "critical": "#d64545"}


def png_of(picture: Picture) -> bytes:
    """Return *picture* as a PNG: panels of curves, and below them a row for each rule."""
    panels = len(picture.curves) + 1
    figure = Figure(figsize=(12, 2.2 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(picture.title)
    for axis, curve in zip(axes, picture.curves, strict=False):
        axis.plot(
            [_day(at) for at, _ in curve.points], [value for _, value in curve.points], lw=0.9
        )
        axis.set_ylabel(curve.metric)
    _bands(axes[-1], picture)
    axes[-1].xaxis_date()
    axes[-1].set_xlim(_day(picture.start), _day(picture.end))
    held = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(held, format="png")
    return held.getvalue()


def _day(at: datetime) -> float:
    """Return a moment as matplotlib counts: days since 1970."""
    return at.timestamp() / 86_400


def _bands(axis: Axes, picture: Picture) -> None:
    names = []
    for lane in picture.lanes:
        for rule_id in lane.backtest.rule_ids:
            names.append(f"{lane.name}: {rule_id}" if lane.name else rule_id)
            _row(axis, picture, lane, rule_id, len(names) - 1)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)


def _row(axis: Axes, picture: Picture, lane: Lane, rule_id: str, place: int) -> None:
    found = [each for each in lane.backtest.episodes if each.rule_id == rule_id]
    spans, colours = [], []
    for each in found:
        start = _day(each.fired_at)
        spans.append((start, _day(each.ended_at or picture.end) - start))
        colours.append(_COLOURS[each.severity])
    axis.broken_barh(spans, (place - 0.35, 0.7), facecolors=colours)
