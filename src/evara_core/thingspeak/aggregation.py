"""Means, sums and the like over time, right where values are missing. Pure.

The server's own `average` divides by the number of rows, so that a field which is sent in
every second row comes out at half its mean; its days begin at midnight in Greenwich; and a
bin size that it does not know it ignores without a word. So: read the rows, and count here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Final

from evara_core.errors import InvalidInputError
from evara_core.thingspeak.values import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date, tzinfo

    from evara_core.thingspeak.models import Entry

__all__ = ["Aggregator", "Bin", "aggregate"]

DAY: Final = timedelta(days=1)

MAX_EMPTY_BINS: Final = 100_000
"""A silence of more bins than this is an error in a clock, and not worth filling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """What one field held between two moments. None where there was no number."""

    start: datetime
    """Included."""

    end: datetime
    """Not included."""

    count: int = 0
    """Numbers."""

    without: int = 0
    """Rows in which the field was null, empty or no number."""

    mean: float | None = None
    median: float | None = None
    sum: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    first: float | None = None
    last: float | None = None


class Aggregator:
    """Takes entries, oldest first, and gives out each bin when it is complete.

    Args:
        field: Which field, 1 to 8.
        every: How long a bin is: a part of a day that goes into it evenly, or whole days.
            Bins begin at midnight in *zone*, so a day may have 23 or 25 hours.
        zone: Where.
        fill: Give out bins in which there was nothing as well.

    Raises:
        InvalidInputError: *every* does not fit.
    """

    def __init__(
        self, *, field: int, every: timedelta, zone: tzinfo = UTC, fill: bool = True
    ) -> None:
        is_part = timedelta(0) < every <= DAY and not DAY % every
        is_days = every > DAY and not every % DAY
        if not (is_part or is_days):
            problem = "a bin is a part of a day that goes into it evenly, or whole days"
            raise InvalidInputError(problem)
        if field not in range(1, 9):
            problem = f"fields are numbered 1 to 8, not {field!r}"
            raise InvalidInputError(problem)
        self._field = field
        self._every = every
        self._zone = zone
        self._fill = fill
        self._bounds: tuple[datetime, datetime] | None = None
        self._numbers: list[float] = []
        self._without = 0

    def push(self, entry: Entry) -> list[Bin]:
        """Take *entry*; return the bins that are complete now.

        Raises:
            InvalidInputError: It is older than the bin of the one before.
        """
        done: list[Bin] = []
        at = entry.created_at
        if self._bounds is None:
            self._bounds = self._bounds_of(at)
        start, end = self._bounds
        if at < start:
            problem = f"entry {entry.entry_id} is older than the one before it"
            raise InvalidInputError(problem)
        if at >= end:
            done.append(self._close())
            self._bounds = self._bounds_of(at)
            if self._fill:
                done += self._between(end, self._bounds[0])
        value = number(entry.fields.get(self._field))
        if value is None:
            self._without += 1
        else:
            self._numbers.append(value)
        return done

    def finish(self) -> list[Bin]:
        """Return the last bin, complete or not."""
        if self._bounds is None:
            return []
        last = self._close()
        self._bounds = None
        return [last]

    def _close(self) -> Bin:
        assert self._bounds is not None
        start, end = self._bounds
        numbers, without = self._numbers, self._without
        self._numbers, self._without = [], 0
        if not numbers:
            return Bin(start=start, end=end, without=without)
        total = math.fsum(numbers)
        return Bin(
            start=start,
            end=end,
            count=len(numbers),
            without=without,
            mean=total / len(numbers),
            median=median(numbers),
            sum=total,
            minimum=min(numbers),
            maximum=max(numbers),
            first=numbers[0],
            last=numbers[-1],
        )

    def _between(self, start: datetime, end: datetime) -> Iterator[Bin]:
        for _ in range(MAX_EMPTY_BINS):
            if start >= end:
                return
            bounds = self._bounds_of(start)
            yield Bin(start=bounds[0], end=bounds[1])
            start = bounds[1]

    def _bounds_of(self, at: datetime) -> tuple[datetime, datetime]:
        day = at.astimezone(self._zone).date()
        if self._every > DAY:
            days = self._every.days
            first = day - timedelta(days=day.toordinal() % days)
            return self._midnight(first), self._midnight(first + self._every)
        midnight = self._midnight(day)
        start = midnight + (at - midnight) // self._every * self._every
        return start, min(start + self._every, self._midnight(day + DAY))

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)


def aggregate(
    entries: Iterable[Entry],
    *,
    field: int,
    every: timedelta,
    zone: tzinfo = UTC,
    fill: bool = True,
) -> Iterator[Bin]:
    """Yield the bins of *entries*, which come oldest first. See `Aggregator`."""
    aggregator = Aggregator(field=field, every=every, zone=zone, fill=fill)
    for entry in entries:
        yield from aggregator.push(entry)
    yield from aggregator.finish()
