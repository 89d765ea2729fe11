"""Who is to be looked at when: a heap with at most one live entry for each node."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evara_core.alerts.records import Record

__all__ = ["Agenda"]


class Agenda:
    """Nodes by the moment at which something may come due for them.

    A due time that moves later is left where it is: the node is looked at too early, and
    put back. So a node that reports all the time costs nothing here.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Record]] = []
        self._puts = 0

    def put(self, record: Record, due_us: int) -> None:
        """Have *record* looked at by *due_us*, if it is not due before."""
        if record.scheduled_us is not None and record.scheduled_us <= due_us:
            return
        record.scheduled_us = due_us
        self._puts += 1
        heapq.heappush(self._heap, (due_us, self._puts, record))

    def plan(self, record: Record, due_us: int | None) -> None:
        """Look at *record* when something comes due for it, which is not before *due_us*."""
        if record.is_moved:
            record.look_ahead()
        if due_us is not None:
            self.put(record, max(due_us, record.resume_us))
        if record.has_marks:
            end_us = record.next_mark_end_us()
            if end_us is not None:
                self.put(record, end_us)
        record.calm()

    def drop(self, record: Record) -> None:
        """Do not look at *record* any more."""
        record.scheduled_us = None

    def due(self, now_us: int) -> Iterator[Record]:
        """Take out and yield whatever is due, each once."""
        heap = self._heap
        while heap and heap[0][0] <= now_us:
            due_us, _, record = heapq.heappop(heap)
            if record.scheduled_us == due_us:
                record.scheduled_us = None
                yield record

    def next_us(self) -> int | None:
        """Return the earliest moment at which something may be due."""
        heap = self._heap
        while heap and heap[0][2].scheduled_us != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None
