"""The rows of a channel: those its device reports by itself, and those that were written.

All moments are whole seconds since the Unix epoch, which is the service's resolution.
A device's rows are made when they are asked for and never kept, so a channel that
nobody reads costs nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["FIELDS", "NO_VALUES", "Coming", "Device", "History", "NoDevice", "Row"]

FIELDS = 8
"""Fields of a channel."""

NO_VALUES: tuple[str | None, ...] = (None,) * FIELDS


class Row(NamedTuple):
    """One row. A tuple, because thousands are made per request."""

    entry_id: int
    at_s: int
    values: tuple[str | None, ...] = NO_VALUES
    status: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    elevation: str | None = None


class Coming(NamedTuple):
    """A row that is not there yet."""

    due_s: int
    row: Row
    unless_taken: bool = False
    """Leave it out, in silence, when another row has its created_at by then."""


class Device(Protocol):
    """Something that reports by itself, and whose every report follows from its number.

    Reports are numbered from 0 in the order of their time, and no two share a second.
    """

    def count(self, at_s: int) -> int:
        """Return how many reports there are up to and including *at_s*."""
        ...

    def rows(self, first: int, stop: int) -> list[Row]:
        """Return the reports *first* <= number < *stop*, with `entry_id` = number + 1."""
        ...


class NoDevice(Device):
    """Nothing reports."""

    @override
    def count(self, at_s: int) -> int:
        return 0

    @override
    def rows(self, first: int, stop: int) -> list[Row]:
        return []


class History:
    """Every row of one channel, up to the moment that is asked for.

    Entry ids count arrivals, so a row that was written between two reports of the
    device shifts the ids of the later ones.
    """

    def __init__(
        self,
        device: Device | None = None,
        *,
        dropped: int = 0,
        coming: Iterable[Coming] = (),
    ) -> None:
        """Begin empty.

        Args:
            device: What reports by itself, if anything does.
            dropped: How many of its first reports are gone.
            coming: Rows that are not there yet, in the order of their moments.
        """
        self._device = device or NoDevice()
        self._reports = device is not None
        self._dropped = dropped
        self._by_id: dict[int, Row] = {}
        self._times: list[tuple[int, int]] = []
        self._arrivals: list[int] = []
        self._written_ids: list[int] = []
        self._coming = deque(coming)

    def count(self, now_s: int) -> int:
        """Return the number of rows."""
        self._settle(now_s)
        return self._reported(now_s) + len(self._by_id)

    def last_entry_id(self, now_s: int) -> int:
        """Return the newest id by arrival, or 0 when nothing arrived since the last clear."""
        if self._coming:
            self._settle(now_s)
        return self._last_id(now_s)

    def between(self, start_s: int, end_s: int, newest: int, *, now_s: int) -> list[Row]:
        """Return the *newest* rows with start <= created_at <= end, oldest first."""
        self._settle(now_s)
        return self._between(start_s, end_s, newest, now_s)

    def _between(self, start_s: int, end_s: int, newest: int, now_s: int) -> list[Row]:
        if newest <= 0 or start_s > end_s:
            return []
        stop = self._device.count(min(end_s, now_s))
        first = max(self._dropped, self._device.count(start_s - 1), stop - newest)
        reported = self._numbered(first, stop)
        if not self._by_id:
            return reported
        low = bisect_left(self._times, (start_s, 0))
        high = bisect_right(self._times, (end_s + 1, 0))
        written = [self._by_id[i] for _, i in self._times[max(low, high - newest) : high]]
        if not reported:
            return written
        merged = sorted(reported + written, key=_by_time)
        return merged[-newest:]

    def numbered(self, first_id: int, last_id: int, newest: int, *, now_s: int) -> list[Row]:
        """Return the rows with the *newest* highest ids in the span, sorted by created_at."""
        if newest <= 0:
            return []
        return self._with_ids(self._ids(first_id, last_id, now_s)[-newest:], now_s)

    def by_id(self, entry_id: int, *, now_s: int) -> Row | None:
        """Return the row with that id."""
        self._settle(now_s)
        row = self._by_id.get(entry_id)
        if row is not None or entry_id < 1 or not self._reports:
            return row
        low, high = self._dropped, self._device.count(now_s)
        if not self._arrivals:
            low += entry_id - 1
            return next(iter(self._numbered(low, min(low + 1, high))), None)
        while low < high:
            middle = (low + high) // 2
            candidate = self._numbered(middle, middle + 1)[0]
            if candidate.entry_id == entry_id:
                return candidate
            if candidate.entry_id < entry_id:
                low = middle + 1
            else:
                high = middle
        return None

    def has_time(self, at_s: int, *, now_s: int) -> bool:
        """Tell whether a row has exactly that created_at."""
        self._settle(now_s)
        return bool(self._between(at_s, at_s, 1, now_s))

    def write(self, row: Row, *, now_s: int) -> Row:
        """Add *row* now and return it with its id.

        A larger id that *row* brings is kept where no device reports: replays start
        where their export starts.
        """
        self._settle(now_s)
        return self._insert(row, now_s)

    def schedule(self, coming: Iterable[Coming]) -> None:
        """Let each row appear at its moment: what was accepted but waits, or a replay."""
        self._coming = deque(sorted([*self._coming, *coming], key=lambda item: item.due_s))

    def cleared(self, *, now_s: int) -> History:
        """Return what is left when every row is deleted: ids begin at 1 again.

        The device goes on reporting, and rows that are not due yet still come.
        """
        self._settle(now_s)
        return History(
            self._device if self._reports else None,
            dropped=self._device.count(now_s),
            coming=self._coming,
        )

    def everything(self, *, now_s: int, step: int = 1000) -> Iterator[list[Row]]:
        """Yield every row, *step* ids at a time."""
        ids = self._ids(1, self.last_entry_id(now_s), now_s)
        for first in range(0, len(ids), step):
            yield self._with_ids(ids[first : first + step], now_s)

    def _ids(self, first_id: int, last_id: int, now_s: int) -> Sequence[int]:
        last_id = min(last_id, self.last_entry_id(now_s))
        if self._reports:
            return range(max(first_id, 1), last_id + 1)
        ids = self._written_ids
        return ids[bisect_left(ids, first_id) : bisect_right(ids, last_id)]

    def _with_ids(self, ids: Iterable[int], now_s: int) -> list[Row]:
        found = (self.by_id(entry_id, now_s=now_s) for entry_id in ids)
        return sorted((row for row in found if row is not None), key=_by_time)

    def _last_id(self, now_s: int) -> int:
        if self._reports:
            return self._reported(now_s) + len(self._arrivals)
        return self._written_ids[-1] if self._written_ids else 0

    def _reported(self, now_s: int) -> int:
        return max(0, self._device.count(now_s) - self._dropped)

    def _numbered(self, first: int, stop: int) -> list[Row]:
        rows = self._device.rows(first, stop) if first < stop else []
        dropped, arrivals = self._dropped, self._arrivals
        if not dropped and not arrivals:
            return rows
        return [
            row._replace(entry_id=row.entry_id - dropped + bisect_left(arrivals, row.at_s))
            for row in rows
        ]

    def _settle(self, now_s: int) -> None:
        while self._coming and self._coming[0].due_s <= now_s:
            due_s, row, unless_taken = self._coming.popleft()
            if not (unless_taken and self._between(row.at_s, row.at_s, 1, due_s)):
                self._insert(row, due_s)

    def _insert(self, row: Row, arrives_s: int) -> Row:
        entry_id = self._last_id(arrives_s) + 1
        if self._reports:
            self._arrivals.append(max(arrives_s, self._arrivals[-1] if self._arrivals else 0))
        else:
            entry_id = max(entry_id, row.entry_id)
        row = row._replace(entry_id=entry_id)
        self._written_ids.append(entry_id)
        self._by_id[entry_id] = row
        insort(self._times, (row.at_s, entry_id))
        return row


def _by_time(row: Row) -> tuple[int, int]:
    return row.at_s, row.entry_id
