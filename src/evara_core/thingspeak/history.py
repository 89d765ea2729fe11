"""Reading a channel from one time to another: each row once, oldest first. Performs nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.thingspeak.malformed import Once
from evara_core.thingspeak.paging import (
    DISTANT_FUTURE,
    DISTANT_PAST,
    FRESH_ROWS,
    MAX_ROWS,
    Rows,
    Span,
    Window,
    read_span,
)

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.thingspeak.models import Entry
    from evara_core.thingspeak.paging import Reading

__all__ = ["read_history"]


class _Seen:
    """What a reading has come across."""

    def __init__(self) -> None:
        self.newest: datetime | None = None
        self.last_entry_id = 0
        self._lowest = 0
        self._highest = 0
        self._count = 0
        self._once = Once()

    def new(self, entries: list[Entry]) -> list[Entry]:
        """Take notice of *entries*, which follow those before; return them, each once."""
        self._note(entries)
        return self._once.of(entries)

    def _note(self, entries: list[Entry]) -> None:
        if not entries:
            return
        ids = [entry.entry_id for entry in entries]
        self.newest = entries[-1].created_at
        self._lowest = min(*ids, self._lowest or ids[0])
        self._highest = max(*ids, self._highest)
        self._count += len(ids)

    def misses_some(self, *, from_the_first: bool) -> bool:
        """Return whether ids are missing among those seen, or up to the channel's last."""
        lowest = 1 if from_the_first else self._lowest
        return (
            self._highest < self.last_entry_id or self._count != self._highest - max(lowest, 1) + 1
        )


def read_history(
    start: datetime | None, end: datetime | None, *, is_past: bool, rows: int = MAX_ROWS
) -> Reading:
    """Read from *start* to *end*, both included; None: from the first row, up to the last.

    *is_past* says that *end* lies so far back that an answer from the cache will do.
    *rows* is the size of a page.

    Raises:
        ChannelReset: The channel was cleared on the way.
    """
    lower = start or DISTANT_PAST
    seen = _Seen()
    yield from _read(lower, end, rows if is_past else min(rows, FRESH_ROWS), rows, seen)
    if end is None and seen.misses_some(from_the_first=start is None):
        # A device whose clock is ahead writes rows that the server, which stops at its own
        # now, does not show of itself.
        lower = seen.newest + timedelta(seconds=1) if seen.newest else lower
        yield from _read(lower, DISTANT_FUTURE, min(rows, FRESH_ROWS), rows, seen)


def _read(
    lower: datetime, upper: datetime | None, first_rows: int, rows: int, seen: _Seen
) -> Reading:
    page = yield Window(first_rows, lower, upper)
    assert page is not None
    seen.last_entry_id = max(seen.last_entry_id, page.last_entry_id or 0)
    tail = _between(page.entries, lower, upper)
    if len(page.entries) >= first_rows and tail:
        oldest = tail[0]
        known = {(entry.created_at, entry.entry_id) for entry in tail}
        span = Span(
            start=lower,
            end=oldest.created_at,
            rows=rows,
            last_entry_id=page.last_entry_id or 0,
        )
        span.expect(oldest.entry_id, page.channel.created_at or lower)
        while (found := (yield from read_span(span))) is not None:
            fresh = [e for e in found if (e.created_at, e.entry_id) not in known]
            # Rows of the second at which the tail begins belong among the tail's.
            ready = [e for e in fresh if lower <= e.created_at < oldest.created_at]
            tail.extend(e for e in fresh if e.created_at >= oldest.created_at)
            yield Rows(seen.new(ready))
        tail.sort(key=lambda entry: (entry.created_at, entry.entry_id))
    yield Rows(seen.new(tail))


def _between(entries: list[Entry], lower: datetime, upper: datetime | None) -> list[Entry]:
    return [
        entry
        for entry in entries
        if lower <= entry.created_at and (upper is None or entry.created_at <= upper)
    ]
