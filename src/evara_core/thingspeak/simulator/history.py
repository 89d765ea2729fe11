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
    from collections.abc import Iterable

__all__ = ["FIELDS", "Device", "History", "NoDevice", "Row"]

FIELDS = 8
"""Fields of a channel."""

_NO_VALUES = (None,) * FIELDS


class Row(NamedTuple):
    """One row. A tuple, because thousands are made per request."""

    entry_id: int
    at_s: int
    values: tuple[str | None, ...] = _NO_VALUES
    status: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    elevation: str | None = None


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

    def __init__(self, device: Device | None = None) -> None:
        self._device = device or NoDevice()
        self._reports = device is not None
        self._dropped = 0
        self._by_id: dict[int, Row] = {}
        self._times: list[tuple[int, int]] = []
        self._arrivals: list[int] = []
        self._last_written_id = 0
        self._coming: deque[tuple[int, Row]] = deque()

    def count(self, now_s: int) -> int:
        """Return the number of rows."""
        self._settle(now_s)
        return self._reported(now_s) + len(self._by_id)

    def last_entry_id(self, now_s: int) -> int:
        """Return the newest id by arrival, or 0 when nothing arrived since the last clear."""
        self._settle(now_s)
        if self._reports:
            return self._reported(now_s) + len(self._arrivals)
        return self._last_written_id

    def between(self, start_s: int, end_s: int, newest: int, *, now_s: int) -> list[Row]:
        """Return the *newest* rows with start <= created_at <= end, oldest first."""
        self._settle(now_s)
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
        merged = sorted(reported + written, key=lambda row: (row.at_s, row.entry_id))
        return merged[-newest:]

    def numbered(self, first_id: int, last_id: int, newest: int, *, now_s: int) -> list[Row]:
        """Return the *newest* rows with first <= entry_id <= last, oldest first."""
        last = min(last_id, self.last_entry_id(now_s))
        found: list[Row] = []
        for entry_id in range(last, max(first_id, 1) - 1, -1):
            row = self.by_id(entry_id, now_s=now_s)
            if row is not None:
                found.append(row)
            if len(found) == newest:
                break
        return sorted(found, key=lambda row: (row.at_s, row.entry_id))

    def by_id(self, entry_id: int, *, now_s: int) -> Row | None:
        """Return the row with that id."""
        self._settle(now_s)
        row = self._by_id.get(entry_id)
        if row is not None or entry_id < 1:
            return row
        stop = self._device.count(now_s)
        if not self._arrivals:
            first = self._dropped + entry_id - 1
            return next(iter(self._numbered(first, min(first + 1, stop))), None)
        low, high = self._dropped, stop
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
        return bool(self.between(at_s, at_s, 1, now_s=now_s))

    def write(self, row: Row, *, now_s: int) -> Row:
        """Add *row* now and return it with its id.

        A larger id that *row* brings is kept where no device reports: replays start
        where their export starts.
        """
        self._settle(now_s)
        return self._insert(row, now_s)

    def schedule(self, rows: Iterable[tuple[int, Row]]) -> None:
        """Let each row appear at its moment: what was accepted but waits, or a replay."""
        self._coming = deque(sorted([*self._coming, *rows], key=lambda due: due[0]))

    def clear(self, *, now_s: int) -> None:
        """Forget every row, also those to come that are due; ids start again at 1."""
        self._settle(now_s)
        self._dropped = self._device.count(now_s)
        self._by_id.clear()
        self._times.clear()
        self._arrivals.clear()
        self._last_written_id = 0

    def _reported(self, now_s: int) -> int:
        return max(0, self._device.count(now_s) - self._dropped)

    def _numbered(self, first: int, stop: int) -> list[Row]:
        rows = self._device.rows(first, stop) if first < stop else []
        if not self._dropped and not self._arrivals:
            return rows
        return [
            row._replace(
                entry_id=row.entry_id - self._dropped + bisect_left(self._arrivals, row.at_s)
            )
            for row in rows
        ]

    def _settle(self, now_s: int) -> None:
        while self._coming and self._coming[0][0] <= now_s:
            due_s, row = self._coming.popleft()
            self._insert(row, due_s)

    def _insert(self, row: Row, arrives_s: int) -> Row:
        entry_id = self.last_entry_id(arrives_s) + 1
        if self._reports:
            self._arrivals.append(max(arrives_s, self._arrivals[-1] if self._arrivals else 0))
        else:
            entry_id = max(entry_id, row.entry_id)
        row = row._replace(entry_id=entry_id)
        self._last_written_id = entry_id
        self._by_id[entry_id] = row
        insort(self._times, (row.at_s, entry_id))
        return row
