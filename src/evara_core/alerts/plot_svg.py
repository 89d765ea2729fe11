"""The picture of a back-test as SVG: text, made without any other package."""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from evara_core.alerts.plotting import Curve, Lane, Picture

__all__ = ["MAX_BANDS", "svg_of"]

MAX_BANDS = 2_000
"""Episodes that are drawn in one lane; those beyond are counted in its name."""

_WIDTH, _LEFT, _RIGHT = 960, 140, 20
_PANEL, _LANE, _GAP, _TOP, _BOTTOM = 150, 18, 14, 34, 30
_COLOURS = {"info": "#4c8bf5", "warning": "#f2a33a", "critical": "#d64545"}
_TICKS = 6


def svg_of(picture: Picture) -> str:
    """Return *picture* as one SVG document: panels of curves, then a row for each rule."""
    rows = [(lane, rule_id) for lane in picture.lanes for rule_id in lane.backtest.rule_ids]
    curves_end = _TOP + len(picture.curves) * (_PANEL + _GAP)
    height = curves_end + len(rows) * _LANE + _BOTTOM
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">'
        ),
        f"<title>{escape(picture.title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(picture.title)}</text>',
        *_ticks(picture, height - _BOTTOM),
    ]
    for number, curve in enumerate(picture.curves):
        parts += _panel(picture, curve, _TOP + number * (_PANEL + _GAP))
    for number, (lane, rule_id) in enumerate(rows):
        parts += _row(picture, lane, rule_id, curves_end + number * _LANE)
    return "\n".join([*parts, "</svg>\n"])


def _x(picture: Picture, at: datetime) -> float:
    span = max(picture.end - picture.start, timedelta(seconds=1))
    share = min(1.0, max(0.0, (at - picture.start) / span))
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _ticks(picture: Picture, bottom: int) -> Iterator[str]:
    step = (picture.end - picture.start) / _TICKS
    form = "%Y-%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M"
    for number in range(_TICKS + 1):
        at = picture.start + number * step
        x = _x(picture, at)
        yield f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#e4e4e4"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{at.strftime(form)}</text>'


def _panel(picture: Picture, curve: Curve, top: int) -> Iterator[str]:
    values = [value for _, value in curve.points]
    least, most = min(values), max(values)
    span = (most - least) or 1.0

    def y(value: float) -> float:
        return top + _PANEL - (value - least) / span * _PANEL

    points = " ".join(f"{_x(picture, at):.1f},{y(value):.1f}" for at, value in curve.points)
    width = _WIDTH - _LEFT - _RIGHT
    place = f'x="{_LEFT}" y="{top}" width="{width}" height="{_PANEL}"'
    yield f'<rect {place} fill="none" stroke="#bbb"/>'
    yield f'<text x="8" y="{top + 12}">{escape(curve.metric)}</text>'
    for value in (least, most):
        yield f'<text x="{_LEFT - 6}" y="{y(value):.1f}" text-anchor="end">{value:.4g}</text>'
    yield f'<polyline points="{points}" fill="none" stroke="#2d6a8e" stroke-width="1.2"/>'


def _row(picture: Picture, lane: Lane, rule_id: str, top: int) -> Iterator[str]:
    found = [each for each in lane.backtest.episodes if each.rule_id == rule_id]
    name = f"{lane.name}: {rule_id}" if lane.name else rule_id
    yield f'<text x="8" y="{top + 12}">{escape(name[:24])} ({len(found)})</text>'
    for each in found[:MAX_BANDS]:
        x = _x(picture, each.fired_at)
        width = max(1.0, _x(picture, each.ended_at or picture.end) - x)
        told = escape(f"{rule_id} {each.severity} {each.fired_at:%Y-%m-%d %H:%M} {each.reason}")
        yield (
            f'<rect x="{x:.1f}" y="{top + 3}" width="{width:.1f}" height="{_LANE - 6}" '
            f'fill="{_COLOURS[each.severity]}"><title>{told}</title></rect>'
        )
