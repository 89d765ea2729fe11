"""Going on from a stored position: what came since, in the order of the ids. Performs nothing.

The channel numbers its rows as they arrive. So what is new are the ids above the position,
and the newest id, which every answer tells, says how many these are. They are looked for
where they usually are, after the time of the position; only when some are missing there,
also ahead of the server's clock and back in the past, where devices that report late and
bulk updates put them.

The row at the position is asked for as well: if it is gone or different, the channel was
cleared or rewritten.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cachetools import LRUCache

from evara_core.errors import ChannelReset, UpstreamGarbageError
from evara_core.thingspeak.malformed import Once, numbered
from evara_core.thingspeak.models import MalformedEntry
from evara_core.thingspeak.paging import (
    CROWDED_SECOND,
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
    from collections.abc import Iterable
    from datetime import datetime

    from evara_core.thingspeak.models import Entry, Position
    from evara_core.thingspeak.paging import Reading
    from evara_core.thingspeak.rows import Page

__all__ = [
    "LATE_ROWS",
    "REORDER_ROWS",
    "VainSearches",
    "all_since",
    "first_moment",
    "first_window",
    "read_since",
]

LATE_ROWS = 32_000
"""How many rows before the position are looked through for a late one, before we believe
that an id was never used: a month of a device that reports every minute or two."""

REORDER_ROWS = 20_000
"""How many rows are held back until those with lower ids are found."""

MAX_REMEMBERED = 10_000
"""Channels with a missing row; beyond that the one that was quiet longest is forgotten."""

_SECOND = timedelta(seconds=1)


class VainSearches:
    """Remembers which missing rows were looked for and not found.

    Without it, an id that was never used would be looked for with each poll, as long as
    it is the newest.
    """

    def __init__(self) -> None:
        self._vain: LRUCache[int, tuple[int, int]] = LRUCache(MAX_REMEMBERED)

    def note(self, channel_id: int, after: int, last: int) -> None:
        """Remember that not all ids above *after*, up to *last*, were found."""
        self._vain[channel_id] = (after, last)

    def knows(self, channel_id: int, after: int, last: int) -> bool:
        """Return whether that was the outcome last time."""
        return self._vain.get(channel_id) == (after, last)


def first_window(position: Position | None, *, rows: int = MAX_ROWS) -> Window:
    """Return what to ask for first, which nearly always is all there is to ask for."""
    return Window(min(FRESH_ROWS, rows), first_moment(position))


def first_moment(position: Position | None) -> datetime:
    """Return where that begins."""
    return DISTANT_PAST if position is None else position.created_at


def all_since(page: Page, position: Position | None, *, rows: int = MAX_ROWS) -> list[Entry] | None:
    """Return what came after *position* if *page*, the answer to the first window, tells.

    None: something is missing or out of order, and `read_since` finds out.
    """
    entries = page.entries
    if position is None or not entries or len(entries) >= FRESH_ROWS or len(entries) >= rows:
        return None
    first, entry_id = entries[0], position.entry_id
    if first.entry_id != entry_id or first.created_at != position.created_at:
        return None
    if page.has_malformed:
        return None
    fresh = entries[1:]
    if (page.last_entry_id or 0) != entry_id + len(fresh) or not _holds(first, position):
        return None
    for entry in fresh:
        entry_id += 1
        if entry.entry_id != entry_id:
            return None
    return fresh


def read_since(
    position: Position | None,
    *,
    page: Page | None = None,
    rows: int = MAX_ROWS,
    late_rows: int = LATE_ROWS,
    searches: VainSearches | None = None,
) -> Reading:
    """Read what came after *position*, by id; None: everything.

    Rows that arrive while this reads are left to the next reading.

    Args:
        position: The last entry that was taken.
        page: The answer to the first window, if it is there already.
        rows: How many rows to ask for at once.
        late_rows: How many older rows to look through for one that is missing.
        searches: What was looked for in vain before.

    Raises:
        ChannelReset: The row at *position* is gone or different, or ids start again.
    """
    first = first_window(position, rows=rows)
    if page is None:
        page = yield first
        assert page is not None
    fresh = all_since(page, position, rows=rows)
    if fresh is not None:
        # As it nearly always is: nothing is missing, and all is in order.
        yield Rows(fresh)
        return
    lower = first.start
    is_whole = len(page.entries) < first.rows
    after = 0 if position is None else position.entry_id
    entries = numbered(page)
    last = max([page.last_entry_id or 0, *(entry.entry_id for entry in entries)])
    queue = _InOrder(after=after, last=last)
    if position is not None:
        yield from _verify(position, page, queue, is_whole=is_whole)
    if not is_whole:
        yield from _read_slices(lower, page, position, queue, rows)
    yield Rows(queue.push(entries))
    searches = searches or VainSearches()
    if queue.missing and not searches.knows(page.channel_id, after, last):
        yield from _read_ahead(page, lower, queue, rows)
        if queue.missing and position is not None:
            yield from _read_late(lower - _SECOND, queue, rows, late_rows)
        if queue.missing:
            searches.note(page.channel_id, after, last)
    yield Rows(queue.rest())


def _verify(position: Position, page: Page, queue: _InOrder, *, is_whole: bool) -> Reading:
    """Refuse to go on if the position's row is gone or different."""
    if (page.last_entry_id or 0) < position.entry_id:
        raise _reset(page, position)
    # If more rows came than one page shows, it is looked at when its slice is read.
    if not is_whole or _is_among(page.entries, position):
        return
    # The page ends at the server's now, and the position may lie ahead of that.
    exact = yield Window(FRESH_ROWS, position.created_at, position.created_at)
    assert exact is not None
    if not _is_among(exact.entries, position):
        raise _reset(exact, position)
    yield Rows(queue.push(exact.entries))


def _read_slices(
    lower: datetime, page: Page, position: Position | None, queue: _InOrder, rows: int
) -> Reading:
    """Read what lies between the position and the oldest row of the first page."""
    oldest = page.entries[0]
    known = {(entry.created_at, entry.entry_id) for entry in page.entries}
    span = Span(
        start=lower,
        end=max(oldest.created_at, lower),
        rows=rows,
        last_entry_id=page.last_entry_id or 0,
    )
    if position is None:
        span.expect(oldest.entry_id, page.channel.created_at or lower)
    else:
        span.expect(oldest.entry_id - position.entry_id, position.created_at)
    unverified = position
    while (found := (yield from read_span(span))) is not None:
        if unverified is not None:
            # The first slice begins at the position's own second; but that of a row without
            # a time is that of the row before it.
            if _is_among(found, unverified):
                unverified = None
            elif unverified.held or any(e.entry_id > unverified.entry_id for e in found):
                raise _reset(page, unverified)
        yield Rows(queue.push(e for e in found if (e.created_at, e.entry_id) not in known))
    if unverified is not None and not _is_among(page.entries, unverified):
        raise _reset(page, unverified)


def _read_ahead(page: Page, lower: datetime, queue: _InOrder, rows: int) -> Reading:
    """Read what devices wrote whose clock is ahead of the server's."""
    newest = page.entries[-1].created_at if page.entries else lower
    size = min(rows, FRESH_ROWS)
    start = newest + _SECOND
    ahead = yield Window(size, start, DISTANT_FUTURE)
    assert ahead is not None
    if len(ahead.entries) >= size:
        known = {(entry.created_at, entry.entry_id) for entry in ahead.entries}
        span = Span(start=start, end=ahead.entries[0].created_at, rows=rows)
        while (found := (yield from read_span(span))) is not None:
            yield Rows(queue.push(e for e in found if (e.created_at, e.entry_id) not in known))
    yield Rows(queue.push(numbered(ahead)))


def _read_late(end: datetime, queue: _InOrder, rows: int, late_rows: int) -> Reading:
    """Read backwards from *end* until nothing is missing any more."""
    size, in_vain = min(rows, FRESH_ROWS), 0
    known: set[tuple[datetime, int]] = set()
    while queue.missing and in_vain < late_rows:
        page = yield Window(size, DISTANT_PAST, end)
        assert page is not None
        missing = queue.missing
        yield Rows(queue.push(e for e in page.entries if (e.created_at, e.entry_id) not in known))
        if len(page.entries) < size:
            return
        in_vain = 0 if queue.missing < missing else in_vain + size
        known = {(entry.created_at, entry.entry_id) for entry in page.entries}
        oldest = page.entries[0].created_at
        if oldest < end:
            end, size = oldest, rows
        elif size < MAX_ROWS:
            # A single second fills the page.
            size = min(size * 2, MAX_ROWS)
        else:
            raise UpstreamGarbageError(CROWDED_SECOND)


def _is_among(entries: Iterable[Entry], position: Position) -> bool:
    for entry in entries:
        if isinstance(entry, MalformedEntry):
            if _may_be(entry, position):
                return True
            continue
        if entry.entry_id == position.entry_id and entry.created_at == position.created_at:
            return _holds(entry, position)
    return False


def _may_be(entry: MalformedEntry, position: Position) -> bool:
    # What it does not tell may have been worked out in another way last time.
    has_id = entry.entry_id == position.entry_id or not entry.is_numbered
    has_time = entry.created_at == position.created_at or not entry.is_timed
    is_exact = entry.is_numbered and entry.is_timed
    return has_id and has_time and (is_exact or not position.held)


def _holds(entry: Entry, position: Position) -> bool:
    fields = entry.fields
    for number, held in position.held:  # noqa: SIM110 - a generator takes twice as long
        if fields.get(number, held) != held:
            return False
    return True


def _reset(page: Page, position: Position) -> ChannelReset:
    return ChannelReset(page.channel_id, position.entry_id, page.last_entry_id)


class _InOrder:
    """Holds rows back until those with lower ids are there."""

    def __init__(self, *, after: int, last: int) -> None:
        self._after = after
        self._last = last
        self._next = after + 1
        self._waiting: list[tuple[int, datetime, int, Entry]] = []
        self._count = 0
        self._waiting_ids: set[int] = set()
        self._skipped: list[range] = []
        self._once = Once()
        self.missing = last - after
        """How many ids up to the last were not seen yet."""

    def push(self, entries: Iterable[Entry]) -> list[Entry]:
        """Take *entries*, none of them twice; return those that are ready now."""
        ready: list[Entry] = []
        for entry in self._once.of(list(entries)):
            entry_id = entry.entry_id
            if not entry_id:
                # It stood alone, and follows what was read before.
                entry_id = max([self._next - 1, *self._waiting_ids]) + 1
                entry = replace(entry, entry_id=entry_id)  # noqa: PLW2901 - the same, placed
            if not self._after < entry_id <= self._last:
                continue
            if entry_id < self._next:
                # Found after we had given it up, or an id that was used twice.
                self.missing -= any(entry_id in skipped for skipped in self._skipped)
                ready.append(entry)
            elif entry_id == self._next and not self._waiting:
                self._next += 1
                self.missing -= 1
                ready.append(entry)
            else:
                self._wait(entry)
        self._release(ready)
        while len(self._waiting) > REORDER_ROWS:
            # What is missing lies further away than we hold rows for.
            first = self._waiting[0][0]
            self._skipped.append(range(self._next, first))
            self._next = first
            self._release(ready)
        return ready

    def rest(self) -> list[Entry]:
        """Return what still waits: the ids before it do not exist."""
        rest = [item[-1] for item in sorted(self._waiting)]
        self._waiting = []
        return rest

    def _wait(self, entry: Entry) -> None:
        if entry.entry_id not in self._waiting_ids:
            self._waiting_ids.add(entry.entry_id)
            self.missing -= 1
        # The count keeps two entries of the same id and time from being compared.
        self._count += 1
        item = (entry.entry_id, entry.created_at, self._count, entry)
        heapq.heappush(self._waiting, item)

    def _release(self, ready: list[Entry]) -> None:
        while self._waiting and self._waiting[0][0] <= self._next:
            entry_id, _, _, entry = heapq.heappop(self._waiting)
            self._waiting_ids.discard(entry_id)
            self._next = entry_id + 1
            ready.append(entry)
