"""Moments as the service reads and prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["csv_time", "json_time", "read_time", "zone_of"]

_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Looked up and not formatted: moments are the larger half of the work of a row.
_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440))
_SECONDS = tuple(f"{second:02d}Z" for second in range(60))

# One zone for each whole hour, in the order in which the service looks for one: the
# standard offset decides the order, the offset of the moment decides the match.
_ZONES_BY_OFFSET = (
    "Pacific/Pago_Pago", "Pacific/Honolulu", "America/Juneau", "America/Los_Angeles",
    "America/Denver", "America/Phoenix", "America/Guatemala", "America/Chicago", "America/Bogota",
    "America/New_York", "America/Halifax", "America/Caracas", "America/Sao_Paulo", "America/Nuuk",
    "Atlantic/South_Georgia", "Atlantic/Azores", "Atlantic/Cape_Verde", "Europe/Dublin",
    "Europe/London", "UTC", "Europe/Paris", "Africa/Lagos", "Europe/Bucharest", "Africa/Cairo",
    "Europe/Moscow", "Asia/Kuwait", "Asia/Dubai", "Asia/Karachi", "Asia/Dhaka", "Asia/Bangkok",
    "Asia/Shanghai", "Asia/Tokyo", "Australia/Brisbane", "Australia/Sydney", "Asia/Magadan",
    "Pacific/Auckland", "Pacific/Tongatapu",
)  # fmt: skip


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).strftime("%Y-%m-%d")


def json_time(at_s: int, zone: tzinfo | None = None) -> str:
    """Return `2026-01-01T00:00:00Z`, or the same moment with the offset of *zone*."""
    if zone is None:
        number, second = divmod(at_s, _DAY_S)
        return _day(number) + _MINUTES[second // 60] + _SECONDS[second % 60]
    return datetime.fromtimestamp(at_s, zone).isoformat()


def csv_time(at_s: int, zone: tzinfo | None = None, *, iso: bool = True) -> str:
    """Return `2026-01-01T00:00:00+00:00`, or `2026-01-01 00:00:00 UTC` as older servers do."""
    moment = datetime.fromtimestamp(at_s, zone or UTC)
    if iso:
        return moment.isoformat()
    return moment.strftime("%Y-%m-%d %H:%M:%S ") + (
        "UTC" if zone is None else moment.strftime("%z")
    )


def read_time(text: str, zone: tzinfo | None = None) -> int | None:
    """Return the second that *text* names, read in *zone* unless it names its own; None if none.

    Understood are ISO 8601 with T or a blank, `… UTC`, dates alone, and epoch seconds.
    """
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) in {9, 10}:
        return int(text)
    if text.endswith(" UTC"):
        text = f"{text[:-4]}+00:00"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone or UTC)
        return int(moment.timestamp() // 1)
    except (ValueError, OverflowError):
        return None


@cache
def _names() -> frozenset[str]:
    # Not left to the file system, which on some machines takes `europe/paris` too.
    return frozenset(available_timezones())


def _named(name: str) -> ZoneInfo | None:
    if name in {"UTC", "Etc/UTC"} or name not in _names():
        return None
    return ZoneInfo(name)


def zone_of(params: Mapping[str, str], *, now_s: int) -> tzinfo | None:
    """Return the zone that a request asks for; None is UTC, also for a name that nobody knows."""
    name = params.get("timezone")
    if name:
        return _named(name)
    try:
        wanted = timedelta(hours=int(params["offset"]))
    except (KeyError, ValueError, OverflowError):
        return None
    now = datetime.fromtimestamp(now_s, UTC)
    for candidate in _ZONES_BY_OFFSET:
        zone = _named(candidate)
        if zone is not None and now.astimezone(zone).utcoffset() == wanted:
            return zone
    return None
