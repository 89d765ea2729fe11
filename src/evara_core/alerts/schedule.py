"""When a rule is at work: times of the week on the wall clock of a place.

A window is `[start, end)`. One that ends before it starts goes on after midnight and
belongs to the day on which it started: Friday 22:00 to 06:00 is at work on Saturday at
03:00 although Saturday is not among its days. Whether a moment lies inside is read off
the wall, so on the days on which clocks change a window keeps its wall-clock times and is
an hour shorter or longer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ALL_DAYS", "MAX_WINDOWS", "DayWindow", "Schedule"]

ALL_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

MAX_WINDOWS = 50
"""Windows of a schedule. A timetable with more belongs into a calendar."""

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|(24):(00)", re.ASCII)
_DAY = timedelta(days=1)
_DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DayWindow:
    """The same time on some days of the week.

    Raises:
        ValueError: A day or a time is not one, or the window is empty.
    """

    days: Sequence[str] = ALL_DAYS
    """Those on which it starts."""

    start: str = "00:00"
    end: str = "24:00"
    """Not inside any more. Not after `start`: it is on the next day."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "days", tuple(self.days))
        unknown = [day for day in self.days if day not in ALL_DAYS]
        if unknown or not self.days:
            msg = f"days are some of {', '.join(ALL_DAYS)}"
            raise ValueError(msg)
        if self.start_min == _DAY_MIN or self.start == self.end:
            msg = "a window starts before 24:00 and ends at another time"
            raise ValueError(msg)

    @property
    def start_min(self) -> int:
        """Minutes on the wall clock."""
        return _minutes(self.start)

    @property
    def end_min(self) -> int:
        """Minutes on the wall clock, counted from the day on which it starts."""
        end = _minutes(self.end)
        return end if end > self.start_min else end + _DAY_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Some windows, in one zone.

    Raises:
        ValueError: The zone is unknown, or there are no windows or too many.
    """

    zone: str
    """An IANA name, such as `Asia/Kolkata`."""

    windows: Sequence[DayWindow]

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", tuple(self.windows))
        if not 0 < len(self.windows) <= MAX_WINDOWS:
            msg = f"a schedule has 1 to {MAX_WINDOWS} windows"
            raise ValueError(msg)
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            msg = f"there is no zone {self.zone[:64]!r}"
            raise ValueError(msg) from error

    def covers(self, moment: datetime) -> bool:
        """Whether *moment* lies in a window."""
        local = moment.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday(), (local.weekday() - 1) % 7
        return any(
            (ALL_DAYS[today] in window.days and window.start_min <= minute < window.end_min)
            or (ALL_DAYS[yesterday] in window.days and minute + _DAY_MIN < window.end_min)
            for window in self.windows
        )

    def next_edge(self, after: datetime) -> datetime:
        """Return the first moment after *after* at which `covers` may change its answer."""
        zone = ZoneInfo(self.zone)
        local = after.astimezone(zone)
        edges = [
            edge
            for days in range(-1, 9)
            for edge in self._edges(local.date() + days * _DAY, zone)
            if edge > after
        ]
        # A change of the clocks moves the wall under a window without any edge of its own.
        return min([*edges, *_clock_changes(after, zone)], default=after + 7 * _DAY)

    def _edges(self, day: date, zone: ZoneInfo) -> list[datetime]:
        name = ALL_DAYS[day.weekday()]
        return [
            moment
            for window in self.windows
            if name in window.days
            for minute in (window.start_min, window.end_min)
            for moment in _moments(day, minute, zone)
        ]


def _minutes(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        msg = f"{text[:16]!r} is no time of day, such as 07:30 or 24:00"
        raise ValueError(msg)
    hours, minutes = (part for part in match.groups() if part is not None)
    return int(hours) * 60 + int(minutes)


def _moments(day: date, minute: int, zone: ZoneInfo) -> list[datetime]:
    """Return when the wall shows a minute of *day*: twice where clocks are put back."""
    days, rest = divmod(minute, _DAY_MIN)
    wall = datetime(day.year, day.month, day.day, tzinfo=zone) + days * _DAY
    wall = wall.replace(hour=rest // 60, minute=rest % 60)
    return sorted({wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1)})


def _clock_changes(after: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the first change of the zone's offset within eight days, to the minute."""
    start = after.astimezone(UTC)
    for days in range(8):
        low, high = start + days * _DAY, start + (days + 1) * _DAY
        if low.astimezone(zone).utcoffset() == high.astimezone(zone).utcoffset():
            continue
        while high - low > timedelta(minutes=1):
            middle = low + (high - low) / 2
            if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset():
                low = middle
            else:
                high = middle
        return [high.replace(second=0, microsecond=0)]
    return []
