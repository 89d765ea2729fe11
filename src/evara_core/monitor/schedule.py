"""When each node is due for a look. Decides, and waits for nothing.

Each node has moments of its own on a fixed grid, spread over its interval by a hash of its
id: a thousand nodes a minute are seventeen looks a second and not a burst of a thousand. A
look that ends late does not move the grid, and moments that passed meanwhile are skipped,
not piled up.

Who has waited longest goes first. An urgent node counts as having waited an interval longer:
under overload it is looked at on time, and the others still get their turns. Nodes whose last
look failed, and nodes that catch up, may take no more than their share of what goes on at once.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Due", "Lane", "Schedule", "next_on_grid", "spread"]


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


class Lane(Enum):
    """What the next look at a node is."""

    USUAL = auto()
    URGENT = auto()
    BEHIND = auto()
    """Its last look brought so much that more is to come."""

    FAILING = auto()
    """Its last look failed."""


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
    is_urgent: bool = False
    is_behind: bool = False
    away: Lane | None = None
    """As what a look at it is under way."""

    @property
    def lane(self) -> Lane:
        if self.failures:
            return Lane.FAILING
        if self.is_behind:
            return Lane.BEHIND
        return Lane.URGENT if self.is_urgent else Lane.USUAL

    @property
    def rank_s(self) -> float:
        """When it would be due if it were not urgent: who is first goes first."""
        return self.due_s - self.interval_s * self.is_urgent


class Schedule:
    """The turns of all nodes. Times are seconds of a clock that never goes back."""

    def __init__(self, *, max_backoff_intervals: float = 10.0) -> None:
        self._turns: dict[str, _Turn] = {}
        self._lanes: dict[Lane, list[tuple[float, str]]] = {lane: [] for lane in Lane}
        self._away: Counter[Lane] = Counter()
        self._max_backoff = max_backoff_intervals

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def node_ids(self) -> set[str]:
        """The nodes that have turns."""
        return set(self._turns)

    def add(
        self, node_id: str, *, interval_s: float, now_s: float, is_urgent: bool = False
    ) -> None:
        """Give a node its turns, or other ones. A node that is new comes within an interval."""
        turn = self._turns.get(node_id)
        if turn is not None and (turn.interval_s, turn.is_urgent) == (interval_s, is_urgent):
            return
        offset_s = spread(node_id, interval_s)
        due_s = next_on_grid(now_s, interval_s=interval_s, offset_s=offset_s)
        if turn is None:
            turn = self._turns[node_id] = _Turn(interval_s, offset_s, due_s)
        elif turn.interval_s != interval_s:
            turn.interval_s, turn.offset_s, turn.due_s = interval_s, offset_s, due_s
        turn.is_urgent = is_urgent
        if turn.away is None:
            self._push(node_id, turn)

    def remove(self, node_id: str) -> None:
        """Take a node's turns away. A look that is under way may still end."""
        turn = self._turns.pop(node_id, None)
        if turn is not None and turn.away is not None:
            self._away[turn.away] -= 1

    def take(self, now_s: float, *, free: int, shares: Mapping[Lane, int]) -> list[Due]:
        """Return whose turn it is, who waited longest first, and hold them to be away.

        Args:
            now_s: The moment.
            free: Return at most so many.
            shares: How many looks of a lane may be under way at once; no limit where it
                says nothing.
        """
        taken: list[Due] = []
        while len(taken) < free:
            found = [
                (self._turns[lane_[0][1]].rank_s, lane)
                for lane, lane_ in self._lanes.items()
                if self._may_begin(lane, shares) and self._peek(lane) and lane_[0][0] <= now_s
            ]
            if not found:
                break
            lane = min(found, key=lambda one: one[0])[1]
            due_s, node_id = heapq.heappop(self._lanes[lane])
            self._turns[node_id].away = lane
            self._away[lane] += 1
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
        if turn is None or turn.away is None:
            return
        self._away[turn.away] -= 1
        turn.away = None
        turn.failures = turn.failures + 1 if is_failed else 0
        turn.is_behind = at_once and not is_failed
        if turn.is_behind:
            turn.due_s = now_s
        else:
            skipped = min(2.0 ** max(0, turn.failures - 1), self._max_backoff) - 1.0
            turn.due_s = next_on_grid(
                now_s + skipped * turn.interval_s,
                interval_s=turn.interval_s,
                offset_s=turn.offset_s,
            )
        self._push(node_id, turn)

    def next_due_s(self, *, shares: Mapping[Lane, int]) -> float:
        """Return when `take` has something to return; infinity if only a `done` can tell."""
        return min(
            (
                heap[0][0]
                for lane, heap in self._lanes.items()
                if self._may_begin(lane, shares) and self._peek(lane)
            ),
            default=math.inf,
        )

    def waiting(self, now_s: float) -> tuple[int, float]:
        """Return how many nodes wait although their turn has come, and the longest wait."""
        late = [
            now_s - turn.due_s
            for turn in self._turns.values()
            if turn.away is None and turn.due_s <= now_s
        ]
        return len(late), max(late, default=0.0)

    def lags(self, now_s: float, *, limit: int) -> dict[str, float]:
        """Return for how long nodes wait whose turn has come: the *limit* that wait longest."""
        late = (
            (now_s - turn.due_s, node_id)
            for node_id, turn in self._turns.items()
            if turn.away is None and turn.due_s < now_s
        )
        return {node_id: lag_s for lag_s, node_id in heapq.nlargest(limit, late)}

    def failures(self, node_id: str) -> int:
        """Return how many looks at a node have failed in a row."""
        turn = self._turns.get(node_id)
        return 0 if turn is None else turn.failures

    def _push(self, node_id: str, turn: _Turn) -> None:
        heapq.heappush(self._lanes[turn.lane], (turn.due_s, node_id))

    def _may_begin(self, lane: Lane, shares: Mapping[Lane, int]) -> bool:
        return self._away[lane] < shares.get(lane, math.inf)

    def _peek(self, lane: Lane) -> bool:
        """Whether *lane* has an entry, those that are void thrown out."""
        heap = self._lanes[lane]
        while heap:
            due_s, node_id = heap[0]
            turn = self._turns.get(node_id)
            if turn is not None and turn.away is None and turn.due_s == due_s and turn.lane is lane:
                return True
            heapq.heappop(heap)
        return False
