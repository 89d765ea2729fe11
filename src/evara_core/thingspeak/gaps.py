"""Where a history has holes: in time, because a device was silent, or in ids. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta

    from evara_core.thingspeak.models import Entry

__all__ = ["Gap", "GapFinder", "find_gaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Two entries that follow each other, and should not."""

    after_id: int
    before_id: int
    start: datetime
    """When the first of the two was created."""

    end: datetime
    missing: int
    """How many ids lie between them: rows that the channel has, or had, elsewhere. 0 means
    that the device sent nothing; less than 0, that ids started again."""

    @property
    def duration(self) -> timedelta:
        """Return how long nothing came."""
        return self.end - self.start


class GapFinder:
    """Takes entries, oldest first, and tells of each gap.

    Args:
        longer_than: A silence that is longer is a gap.
    """

    def __init__(self, *, longer_than: timedelta) -> None:
        self._longer_than = longer_than
        self._previous: Entry | None = None

    def push(self, entry: Entry) -> Gap | None:
        """Take *entry*; return the gap before it, if there is one."""
        previous, self._previous = self._previous, entry
        if previous is None:
            return None
        missing = entry.entry_id - previous.entry_id - 1
        if not missing and entry.created_at - previous.created_at <= self._longer_than:
            return None
        return Gap(
            after_id=previous.entry_id,
            before_id=entry.entry_id,
            start=previous.created_at,
            end=entry.created_at,
            missing=missing,
        )


def find_gaps(entries: Iterable[Entry], *, longer_than: timedelta) -> Iterator[Gap]:
    """Yield the gaps between *entries*, which come oldest first. See `GapFinder`."""
    finder = GapFinder(longer_than=longer_than)
    for entry in entries:
        gap = finder.push(entry)
        if gap is not None:
            yield gap
