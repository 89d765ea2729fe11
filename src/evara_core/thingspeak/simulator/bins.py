"""Aggregation, as wrong as the server's: it divides by rows, not by values."""

from __future__ import annotations

from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator.history import Row
from evara_core.thingspeak.simulator.numerals import float_text, is_within, number, rounded
from evara_core.thingspeak.simulator.window import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

__all__ = ["HOW", "MAX_BINS", "aggregated", "binning_of", "filtered", "merged_values"]

_MINUTES = {"10": 10, "15": 15, "20": 20, "30": 30, "60": 60, "240": 240, "720": 720, "1440": 1440}
_DAY_S = 86_400

MAX_BINS = 50_000
"""In one answer: ten-minute bins over most of a year. The oldest are left out beyond it."""

# The first of these that a request names wins; the others are ignored.
HOW = ("timescale", "sum", "average", "median")


def binning_of(params: Mapping[str, str]) -> tuple[str, int] | None:
    """Return how and into bins of how many seconds; None when no usable size was asked for."""
    for how in HOW:
        if how in params:
            size = params[how]
            if size == "daily":
                return how, _DAY_S
            minutes = _MINUTES.get(size)
            if minutes is not None:
                return how, minutes * 60
    return None


def aggregated(
    rows: Sequence[Row],
    how: str,
    size_s: int,
    *,
    kept_days: MutableMapping[tuple[str, int], Row] | None = None,
    now_s: int = 0,
) -> list[Row]:
    """Return one row without id per bin, from the first row's bin to the last row's.

    Bins are aligned to the Unix epoch; empty ones have nothing but nulls.

    Args:
        rows: Oldest first.
        how: One of `HOW`.
        size_s: Seconds in a bin.
        kept_days: Bins of past days that were worked out before, used and filled.
        now_s: What is past.
    """
    if not rows:
        return []
    told: dict[int, Row] = {}
    comma = False
    for bin_s, group in groupby(rows, key=lambda row: row.at_s - row.at_s % size_s):
        inside = list(group)
        comma = comma or any("," in value for row in inside for value in row.values if value)
        made = Row(0, bin_s, merged_values(inside, how, comma=comma))
        if kept_days is not None and bin_s + size_s <= now_s:
            made = kept_days.setdefault((how, bin_s), made)
        told[bin_s] = made
    last = max(told)
    first = max(min(told), last - (MAX_BINS - 1) * size_s)
    return [told.get(at_s) or Row(0, at_s) for at_s in range(first, last + 1, size_s)]


def merged_values(rows: Sequence[Row], how: str, *, comma: bool = False) -> tuple[str | None, ...]:
    """Return the values of one bin."""
    if how == "timescale":
        return rows[0].values
    merge = _MERGE[how]
    merged: list[str | None] = []
    for column in zip(*(row.values for row in rows), strict=True):
        numbers = [value for value in map(number, column) if value is not None]
        value = merge(numbers, len(column)) if numbers else None
        merged.append(None if value is None else float_text(value, comma=comma))
    return tuple(merged)


def _sum(numbers: Sequence[float], _: int) -> float:
    return float(sum(numbers))


def _average(numbers: Sequence[float], rows: int) -> float:
    # The server's mistake, kept: what is null or no number counts as 0.
    return sum(numbers) / rows


def _median(numbers: Sequence[float], _: int) -> float:
    return float(median(numbers))


_MERGE: Mapping[str, Callable[[Sequence[float], int], float]] = {
    "sum": _sum,
    "average": _average,
    "median": _median,
}


def filtered(rows: Sequence[Row], params: Mapping[str, str], fields: Sequence[int]) -> list[Row]:
    """Return *rows* after min, max and round, which look at the fields that are shown."""
    low, high = number(params.get("min")), number(params.get("max"))
    if low is not None or high is not None:
        rows = [row for row in rows if all(is_within(row.values[n - 1], low, high) for n in fields)]
    if "round" in params:
        places = whole(params["round"])
        rows = [
            row._replace(values=tuple(rounded(value, places) for value in row.values))
            for row in rows
        ]
    return list(rows)
