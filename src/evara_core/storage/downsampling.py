"""Fewer points that look the same. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

__all__ = ["lttb", "with_gaps"]

_ENDS = 2


def lttb(times: Sequence[float], values: Sequence[float], points: int) -> list[int]:
    """Return which of the points to keep so that a line through them looks like all of them.

    Largest triangle, three buckets (Steinarsson 2013): of each stretch the one point that
    stands out most from the point kept before it and the mean of the stretch after it. So
    peaks and dips stay, where a mean would flatten them.

    Args:
        times: Ascending.
        values: As many. Without missing ones: those are gaps, not points.
        points: How many to keep, 3 at least. The first and the last are always among them.

    Raises:
        InvalidInputError: *points* is too small, or the lengths differ.
    """
    count = len(times)
    if len(values) != count:
        problem = f"{count} times and {len(values)} values"
        raise InvalidInputError(problem)
    if points <= _ENDS:
        problem = f"a line needs 3 points or more, not {points}"
        raise InvalidInputError(problem)
    if count <= points:
        return list(range(count))
    width = (count - _ENDS) / (points - _ENDS)
    kept = [0]
    for stretch in range(points - _ENDS):
        start, end = int(stretch * width) + 1, int((stretch + 1) * width) + 1
        after = int((stretch + 2) * width) + 1
        ahead = _mean(times, values, end, min(after, count))
        kept.append(_standing_out(times, values, start, end, kept[-1], ahead))
    return [*kept, count - 1]


def with_gaps(
    times: Sequence[datetime], values: Sequence[float | None], longest: timedelta
) -> tuple[list[datetime], list[float | None]]:
    """Return the points with a missing value put in wherever two are further apart than *longest*.

    So a chart breaks its line there, and does not draw water that nobody measured.
    """
    kept_times: list[datetime] = []
    kept_values: list[float | None] = []
    for time, value in zip(times, values, strict=True):
        if kept_times and time - kept_times[-1] > longest:
            kept_times.append(kept_times[-1] + longest)
            kept_values.append(None)
        kept_times.append(time)
        kept_values.append(value)
    return kept_times, kept_values


def _mean(
    times: Sequence[float], values: Sequence[float], start: int, end: int
) -> tuple[float, float]:
    count = end - start
    return sum(times[start:end]) / count, sum(values[start:end]) / count


def _standing_out(
    times: Sequence[float],
    values: Sequence[float],
    start: int,
    end: int,
    before: int,
    ahead: tuple[float, float],
) -> int:
    time, value = times[before], values[before]
    run, rise = ahead[0] - time, ahead[1] - value
    best, largest = start, -1.0
    for place in range(start, end):
        area = abs(run * (values[place] - value) - (times[place] - time) * rise)
        if area > largest:
            best, largest = place, area
    return best
