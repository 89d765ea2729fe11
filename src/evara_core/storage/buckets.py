"""Hours and days, as rollups cut time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Bucket", "Period", "bucket_of", "buckets_of"]


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


def buckets_of(moments: Iterable[datetime], period: Period, zone: tzinfo = UTC) -> set[Bucket]:
    """Return the buckets that *moments* fall into."""
    found: set[Bucket] = set()
    last: Bucket | None = None
    for moment in moments:
        if last is None or moment not in last:
            last = bucket_of(moment, period, zone)
            found.add(last)
    return found
