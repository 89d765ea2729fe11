"""How to read a long history and how to go on from a position. Performs nothing.

A read gives the newest rows of a time window, at most 8,000. Going backwards would mean
to hold everything before the oldest row can be handed out; so the time is cut into slices
that are read forwards, each narrow enough to be given whole. How wide, the density of the
rows read so far tells; a slice that turns out full is cut again, and nothing of it is used.

Answers of more than 100 rows come from a cache that may be five minutes old. So whatever
touches the present is first asked for in 100 rows, and only the past in larger pages.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from evara_core.errors import ChannelReset, UpstreamGarbageError
from evara_core.thingspeak.rows import Page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.thingspeak.models import Entry

__all__ = [
    "BATCH_ENTRIES",
    "CROWDED_SECOND",
    "DISTANT_FUTURE",
    "DISTANT_PAST",
    "FRESH_ROWS",
    "MAX_ROWS",
    "Reading",
    "Rows",
    "Span",
    "Window",
    "read_span",
]

FRESH_ROWS = 100
"""An answer of no more rows than this is never a cached one."""

MAX_ROWS = 8000
"""The server gives no more at once, whatever it is asked for."""

BATCH_ENTRIES = 5_000
"""How many entries a poll returns at most; the next one goes on after the last of them."""

DISTANT_PAST = datetime(1970, 1, 1, tzinfo=UTC)
"""Devices without a clock report from here."""

DISTANT_FUTURE = datetime(2200, 1, 1, tzinfo=UTC)
"""And some from the 2100s, which is where their counters end."""

CROWDED_SECOND = "8,000 rows or more in one second cannot be told apart by any question"

_SECOND = timedelta(seconds=1)

# A slice is planned to be this full: a little over and it would have to be read again.
_PLANNED_FILL = 0.6
_LARGEST_STEP = 16.0


class Window(NamedTuple):
    """The newest *rows* rows from *start* to *end*, both included, whole seconds."""

    rows: int
    start: datetime
    end: datetime | None = None
    """None: up to now, by the server's clock."""


class Rows(NamedTuple):
    """Entries that are ready to be handed out."""

    entries: list[Entry]


Reading: TypeAlias = Generator[Window | Rows, Page | None, None]
"""Asks for windows, is given pages, and puts out rows on the way."""


@dataclass(slots=True, kw_only=True)
class Span:
    """A time from *start* to *end*, both included, to be read in slices."""

    start: datetime
    end: datetime
    rows: int = MAX_ROWS
    """How many to ask for at once."""

    width_s: float = float("inf")
    """How wide the next slice is."""

    last_entry_id: int = 0
    """What the channel said when the reading began. It never gets less, but by a reset."""

    def expect(self, rows: int, since: datetime) -> None:
        """Plan for about *rows* rows between *since* and the end, evenly spread."""
        seconds = max(1.0, (self.end - max(since, self.start)).total_seconds())
        if rows >= self.rows:
            lead_s = max(0.0, (since - self.start).total_seconds())
            self.width_s = lead_s + seconds * self.rows * _PLANNED_FILL / rows


def read_span(span: Span) -> Generator[Window, Page | None, list[Entry] | None]:
    """Read the next slice of *span*; return its rows by time, or None past the end.

    Raises:
        UpstreamGarbageError: More rows share one second than can be asked for.
    """
    rows = span.rows
    while span.start <= span.end:
        left_s = (span.end - span.start).total_seconds()
        width_s = int(min(max(span.width_s - 1, 0.0), left_s))
        end = span.start + timedelta(seconds=width_s)
        page = yield Window(rows, span.start, end)
        assert page is not None
        yield from _refuse_reset(page, span.last_entry_id)
        found = page.entries
        if len(found) < rows:
            span.start = end + _SECOND
            span.width_s = _next_width(width_s + 1, len(found), span.rows)
            return _within(found, span.start - timedelta(seconds=width_s + 1), end)
        if width_s == 0:
            if rows >= MAX_ROWS:
                raise UpstreamGarbageError(CROWDED_SECOND)
            rows = min(rows * 2, MAX_ROWS)
            continue
        given_s = (end - found[0].created_at).total_seconds() + 1
        span.width_s = max(1.0, min(given_s * _PLANNED_FILL, (width_s + 1) / 2))
    return None


def _refuse_reset(page: Page, last_entry_id: int) -> Generator[Window, Page | None, None]:
    if (page.last_entry_id or 0) >= last_entry_id:
        return
    # A large answer may be minutes old; a small one says how it is now.
    fresh = yield Window(1, DISTANT_PAST)
    assert fresh is not None
    if (fresh.last_entry_id or 0) < last_entry_id:
        raise ChannelReset(fresh.channel_id, last_entry_id, fresh.last_entry_id)


def _next_width(width_s: int, found: int, rows: int) -> float:
    if not found:
        return width_s * _LARGEST_STEP
    return width_s * max(1 / _LARGEST_STEP, min(_LARGEST_STEP, rows * _PLANNED_FILL / found))


def _within(entries: Iterable[Entry], start: datetime, end: datetime) -> list[Entry]:
    """Return those that are really in the window: a server's fault must not double rows."""
    return [entry for entry in entries if start <= entry.created_at < end + _SECOND]
