"""Moments, in every form that ThingSpeak has written them; always aware and UTC here.

A time without an offset is refused: exports carry local times of two offsets a year,
and a guess would be wrong for half of it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from evara_core.errors import InvalidInputError

__all__ = ["USUAL_LENGTH", "parse_time", "render_query_time", "render_time"]

USUAL_LENGTH: Final = len("2021-05-04T05:21:56Z")
"""Characters of a moment as ThingSpeak nearly always writes it, with a Z as the last."""

_FORM = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?"
    r" ?(?:(?P<utc>Z|UTC)|(?P<sign>[+-])(?P<hours>[0-9]{2}):?(?P<minutes>[0-9]{2}))"
)
_NAIVE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?")
_SHOWN = 40
_FOUR_DIGITS = 1000
# Looked up, and not formatted: each poll renders a moment, and this takes half the time.
_TWO = tuple(f"{number:02}" for number in range(60))


def parse_time(text: str) -> datetime:
    """Return the moment that *text* names.

    Understood: `2021-05-04T05:21:56Z`, `…+00:00`, `…-05:00` (T or a space before the time),
    `2018-12-18 12:13:41 UTC`, `2021-02-18 16:46:23 -0500`, and fractions of a second.

    Raises:
        InvalidInputError: It is another form, has no offset, or is no moment.
    """
    try:
        if len(text) == USUAL_LENGTH and text[-1] == "Z":
            return datetime.fromisoformat(text)
        found = _FORM.fullmatch(text.strip())
        if found:
            return _from_parts(found)
    except (ValueError, OverflowError) as error:
        problem = f"no such moment: {text[:_SHOWN]!r}"
        raise InvalidInputError(problem) from error
    if _NAIVE.fullmatch(text.strip()):
        problem = f"no seconds or no offset from UTC in {text[:_SHOWN]!r}"
        raise InvalidInputError(problem)
    problem = f"not a time: {text[:_SHOWN]!r}"
    raise InvalidInputError(problem)


def render_time(moment: datetime) -> str:
    """Return *moment* as ThingSpeak writes it: `2021-05-04T05:21:56Z`, whole seconds."""
    return f"{moment.astimezone(UTC).isoformat(timespec='seconds')[:19]}Z"


def render_query_time(moment: datetime) -> str:
    """Return *moment* for `start` and `end`: `2021-05-04%2005:21:56`, whole seconds."""
    at = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    year = at.year if at.year >= _FOUR_DIGITS else f"{at.year:04}"
    day = f"{year}-{_TWO[at.month]}-{_TWO[at.day]}"
    return f"{day}%20{_TWO[at.hour]}:{_TWO[at.minute]}:{_TWO[at.second]}"


def _from_parts(found: re.Match[str]) -> datetime:
    moment = datetime.fromisoformat(f"{found['date']}T{found['time']}")
    if found["fraction"]:
        moment += timedelta(microseconds=int(found["fraction"][:6].ljust(6, "0")))
    if found["utc"]:
        return moment.replace(tzinfo=UTC)
    offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
    if found["sign"] == "-":
        offset = -offset
    return moment.replace(tzinfo=timezone(offset)).astimezone(UTC)
