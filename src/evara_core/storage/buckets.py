"""Hours and days, as rollups cut time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bucket", "Period", "bucket_of", "outside"]


class Period(StrEnum):
    """How long a bucket is."""

    HOUR = "hour"
    DAY = "day"
    """By the calendar of a time zone: of 23 or 25 hours when the clocks are changed."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A piece of time: start <= moment < end, both in UTC."""

    period: Period
    start_at: datetime
    end_at: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start_at <= moment < self.end_at


def bucket_of(moment: datetime, period: Period, zone: tzinfo = UTC) -> Bucket:
    """Return the bucket that *moment* falls into. Hours are of UTC in every zone."""
    if period is Period.HOUR:
        start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return Bucket(period, start, start + timedelta(hours=1))
    day = moment.astimezone(zone).date()
    start, end = (
        datetime(date.year, date.month, date.day, tzinfo=zone).astimezone(UTC)
        for date in (day, day + timedelta(days=1))
    )
    return Bucket(period, start, end)


def outside(
    moments: Sequence[datetime], inside: datetime | None, period: Period, zone: tzinfo = UTC
) -> set[Bucket]:
    """Return the buckets of *moments* but the one that *inside* falls into."""
    bucket = None if inside is None else bucket_of(inside, period, zone)
    if not moments or (bucket is not None and min(moments) in bucket and max(moments) in bucket):
        # So it nearly always is, and looking at two moments is cheaper than at all.
        return set()
    found: set[Bucket] = set()
    last: Bucket | None = None
    for moment in moments:
        if last is None or moment not in last:
            last = bucket_of(moment, period, zone)
            found.add(last)
    return {other for other in found if other != bucket}
