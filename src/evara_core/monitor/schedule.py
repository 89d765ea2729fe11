"""When each node is due for a look. Decides, and waits for nothing.

Each node has moments of its own on a fixed grid, spread over its interval by a hash of its
id: a thousand nodes a minute are seventeen looks a second and not a burst of a thousand. A
look that ends late does not move the grid, and moments that passed meanwhile are skipped,
not piled up.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["Due", "Schedule", "next_on_grid", "spread"]


def spread(node_id: str, interval_s: float) -> float:
    """Return where in its interval a node's moments lie: the same in every process."""
    digest = blake2b(node_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 * interval_s


def next_on_grid(after_s: float, *, interval_s: float, offset_s: float) -> float:
    """Return the first moment of the grid that is later than *after_s*."""
    steps = math.floor((after_s - offset_s) / interval_s) + 1
    moment = offset_s + steps * interval_s
    # The division may round a moment that is barely past to one that is to come.
    return moment if moment > after_s else moment + interval_s


@dataclass(frozen=True, slots=True)
class Due:
    """A node whose turn it is."""

    node_id: str
    lag_s: float
    """For how long it has waited."""


@dataclass(slots=True)
class _Turn:
    interval_s: float
    offset_s: float
    due_s: float
    failures: int = 0
    is_away: bool = False
    """A look at it is under way."""


class Schedule:
    """The turns of all nodes. Times are seconds of a clock that never goes back."""

    def __init__(self, *, max_backoff_intervals: float = 10.0) -> None:
        self._turns: dict[str, _Turn] = {}
        self._healthy: list[tuple[float, str]] = []
        self._failing: list[tuple[float, str]] = []
        self._away_failing = 0
        self._max_backoff = max_backoff_intervals

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def node_ids(self) -> set[str]:
        """The nodes that have turns."""
        return set(self._turns)

    def add(self, node_id: str, *, interval_s: float, now_s: float) -> None:
        """Give a node its turns, or other ones. A node that is new comes within an interval."""
        turn = self._turns.get(node_id)
        if turn is not None and turn.interval_s == interval_s:
            return
        offset_s = spread(node_id, interval_s)
        due_s = next_on_grid(now_s, interval_s=interval_s, offset_s=offset_s)
        if turn is None:
            turn = self._turns[node_id] = _Turn(interval_s, offset_s, due_s)
        else:
            turn.interval_s, turn.offset_s, turn.due_s = interval_s, offset_s, due_s
        if not turn.is_away:
            self._push(node_id, turn)

    def remove(self, node_id: str) -> None:
        """Take a node's turns away. A look that is under way may still end."""
        turn = self._turns.pop(node_id, None)
        if turn is not None and turn.is_away and turn.failures:
            self._away_failing -= 1

    def take(self, now_s: float, *, free: int, failing: int) -> list[Due]:
        """Return whose turn it is, who waited longest first, and hold them to be away.

        Args:
            now_s: The moment.
            free: Return at most so many.
            failing: Of nodes whose last look failed, let at most so many be away at once.
        """
        taken: list[Due] = []
        while len(taken) < free:
            heap = self._next_heap(now_s, may_fail=self._away_failing < failing)
            if heap is None:
                break
            due_s, node_id = heapq.heappop(heap)
            turn = self._turns[node_id]
            turn.is_away = True
            self._away_failing += turn.failures > 0
            taken.append(Due(node_id, now_s - due_s))
        return taken

    def done(self, node_id: str, now_s: float, *, is_failed: bool, at_once: bool = False) -> None:
        """Let a node's look have ended, and decide when the next one is.

        Args:
            node_id: Which. One that was removed meanwhile is no error.
            now_s: The moment.
            is_failed: It failed: the next one waits longer with each failure in a row.
            at_once: There is more to come.
        """
        turn = self._turns.get(node_id)
        if turn is None or not turn.is_away:
            return
        self._away_failing -= turn.failures > 0
        turn.is_away = False
        turn.failures = turn.failures + 1 if is_failed else 0
        if at_once and not is_failed:
            turn.due_s = now_s
        else:
            skipped = min(2.0 ** max(0, turn.failures - 1), self._max_backoff) - 1.0
            turn.due_s = next_on_grid(
                now_s + skipped * turn.interval_s,
                interval_s=turn.interval_s,
                offset_s=turn.offset_s,
            )
        self._push(node_id, turn)

    def next_due_s(self, *, failing: int) -> float:
        """Return when `take` has something to return; infinity if only a `done` can tell."""
        heaps = [self._healthy]
        if self._away_failing < failing:
            heaps.append(self._failing)
        return min((heap[0][0] for heap in heaps if self._peek(heap)), default=math.inf)

    def waiting(self, now_s: float) -> tuple[int, float]:
        """Return how many nodes wait although their turn has come, and the longest wait."""
        late = [
            now_s - turn.due_s
            for turn in self._turns.values()
            if not turn.is_away and turn.due_s <= now_s
        ]
        return len(late), max(late, default=0.0)

    def failures(self, node_id: str) -> int:
        """Return how many looks at a node have failed in a row."""
        turn = self._turns.get(node_id)
        return 0 if turn is None else turn.failures

    def _push(self, node_id: str, turn: _Turn) -> None:
        heapq.heappush(self._failing if turn.failures else self._healthy, (turn.due_s, node_id))

    def _next_heap(self, now_s: float, *, may_fail: bool) -> list[tuple[float, str]] | None:
        heaps = [self._healthy, self._failing] if may_fail else [self._healthy]
        found = [heap for heap in heaps if self._peek(heap) and heap[0][0] <= now_s]
        return min(found, key=lambda heap: heap[0], default=None)

    def _peek(self, heap: list[tuple[float, str]]) -> bool:
        """Whether *heap* has an entry, those that are void thrown out."""
        while heap:
            due_s, node_id = heap[0]
            turn = self._turns.get(node_id)
            is_valid = turn is not None and not turn.is_away and turn.due_s == due_s
            if is_valid and turn is not None and bool(turn.failures) == (heap is self._failing):
                return True
            heapq.heappop(heap)
        return False
