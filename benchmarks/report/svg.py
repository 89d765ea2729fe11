"""Plots as SVG text, in colours that can be read on white and on black."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH = 760
LABEL = 300
ROW = 22
INK = "#7d838c"
FAINT = "#7d838c55"
GOOD = "#2a9d5c"
BAD = "#dc4646"
LINES = ("#2f86d1", "#d98324", "#8a63c9", "#2a9d5c")
_LONGEST = 46


def margins(rows: Sequence[tuple[str, float, bool]], *, title: str) -> str:
    """Bars from the promise, in the middle, to what was measured: right is better."""
    reach = max(10.0, *(max(value, 1 / value) for _, value, _ in rows)) if rows else 10.0
    decades = min(2, math.ceil(math.log10(reach)))
    right = WIDTH - 60
    middle = (LABEL + right) / 2

    def x(value: float) -> float:
        clipped = min(10**decades, max(10**-decades, value))
        return middle + math.log10(clipped) / decades * (right - LABEL) / 2

    parts = []
    for exponent in range(-decades, decades + 1):
        at = x(10.0**exponent)
        parts.append(_line(at, 30, at, 34 + ROW * len(rows), INK if exponent == 0 else FAINT))
        name = "promised" if exponent == 0 else _power(exponent)
        parts.append(_text(at, 24, name, anchor="middle"))
    for number, (name, value, is_met) in enumerate(rows):
        top = 36 + ROW * number
        start, end = sorted((middle, x(value)))
        colour = GOOD if is_met else BAD
        parts += [
            _text(LABEL - 8, top + 12, _short(name), anchor="end"),
            _bar(start, top, end, colour),
            _text(right + 6, top + 12, f"{value:.3g}x", colour=colour),
        ]
    return _drawing(44 + ROW * len(rows), title, parts)


def peers(rows: Sequence[tuple[str, Mapping[str, float]]], *, title: str) -> str:
    """Dots for peers, by how many times better ours is: the line is ours."""
    flat = [value for _, found in rows for value in found.values()]
    least = min(0.5, *flat) if flat else 0.5
    most = max(10.0, *flat) if flat else 10.0
    low, high = math.log10(max(1e-3, least)), math.log10(min(1e4, most))
    right = WIDTH - 40

    def x(value: float) -> float:
        place = (math.log10(min(10**high, max(10**low, value))) - low) / (high - low)
        return LABEL + place * (right - LABEL)

    parts, top = [], 36
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        at = x(10.0**exponent)
        name = "ours" if exponent == 0 else _power(exponent)
        parts.append(_text(at, 24, name, anchor="middle"))
    for name, found in rows:
        parts.append(_text(LABEL - 8, top + 12, _short(name), anchor="end"))
        for peer, value in sorted(found.items(), key=lambda pair: -pair[1]):
            at, colour = x(value), GOOD if value >= 1 else BAD
            parts.append(f'<circle cx="{at:.1f}" cy="{top + 8}" r="4.5" fill="{colour}"/>')
            beside = f"{peer} {value:.2g}x" if value < 100 else f"{peer} {value:,.0f}x"
            if at > (LABEL + right) / 2:
                parts.append(_text(at - 8, top + 12, _short(beside), anchor="end"))
            else:
                parts.append(_text(at + 8, top + 12, _short(beside)))
            top += 18
        top += 8
    one = x(1.0)
    parts.insert(0, _line(one, 30, one, top, INK))
    return _drawing(top + 8, title, parts)


def growth(
    series: Mapping[str, Sequence[tuple[float, float]]], *, axis: str, unit: str, title: str
) -> str:
    """Lines over both axes' powers of ten."""
    points = [(a, b) for found in series.values() for a, b in found if a > 0 and b > 0]
    if not points:
        return _drawing(60, title, [])
    left, right, top, bottom = 70.0, WIDTH - 220.0, 34.0, 250.0
    x_of = _scale([a for a, _ in points], left, right)
    y_of = _scale([b for _, b in points], bottom, top)
    parts = [_line(left, bottom, right, bottom, INK), _line(left, top, left, bottom, INK)]
    parts += [
        _text(x_of(value), bottom + 18, _plain(value), anchor="middle")
        for value in _decades([a for a, _ in points])
    ]
    for value in _decades([b for _, b in points]):
        parts.append(_line(left, y_of(value), right, y_of(value), FAINT))
        parts.append(_text(left - 6, y_of(value) + 4, _plain(value), anchor="end"))
    parts.append(_text((left + right) / 2, bottom + 36, axis, anchor="middle"))
    parts.append(_text(left, top - 8, unit))
    ends: list[float] = []
    for number, (name, found) in enumerate(series.items()):
        colour = LINES[number % len(LINES)]
        path = " ".join(f"{x_of(a):.1f},{y_of(b):.1f}" for a, b in found if a > 0 and b > 0)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        at = y_of(found[-1][1]) + 4
        while any(abs(at - other) < 14 for other in ends):
            at += 14
        ends.append(at)
        parts.append(_text(right + 8, at, _short(name), colour=colour))
    return _drawing(int(bottom) + 46, title, parts)


# --- pieces -------------------------------------------------------------------------------------


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low = math.log10(min(values))
    high = math.log10(max(values))
    if high - low < 1:
        low, high = (low + high) / 2 - 0.5, (low + high) / 2 + 0.5

    def place(value: float) -> float:
        return start + (math.log10(value) - low) / (high - low) * (end - start)

    return place


def _decades(values: Sequence[float]) -> list[float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    if high - low < 1:
        low, high = (low + high) / 2 - 0.5, (low + high) / 2 + 0.5
    return [10.0**n for n in range(math.ceil(low), math.floor(high) + 1)]


def _plain(value: float) -> str:
    for size, name in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def _power(exponent: int) -> str:
    return f"{10**exponent:g}x" if exponent >= 0 else f"{10.0**exponent:g}x"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _bar(start: float, top: float, end: float, colour: str) -> str:
    width = max(2.0, end - start)
    return f'<rect x="{start:.1f}" y="{top}" width="{width:.1f}" height="14" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _drawing(height: int, title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" font-family="sans-serif" font-size="12">\n'
        f"<title>{escape(title)}</title>\n{body}\n</svg>\n"
    )
