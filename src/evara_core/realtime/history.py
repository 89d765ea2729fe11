"""The newest events, held in memory for clients that come back after a short break."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.realtime.ports import BusPosition
    from evara_core.realtime.subscription import Event

__all__ = ["HeldEvent", "History", "replaced_in"]

HeldEvent: TypeAlias = "tuple[BusPosition, Event | None]"
"""A place in the stream and what lies there; None where a message is repeated."""


class History:
    """The newest *most* events after a position, and where each of them lies.

    It also tells repetitions: a relay publishes at least once.
    """

    def __init__(self, base: BusPosition | None, *, most: int) -> None:
        self._base: BusPosition | None = base
        self._most = most
        self._entries: deque[HeldEvent] = deque()
        self._numbers: dict[BusPosition, int] = {}
        self._ids: dict[str, int] = {}
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, event: Event) -> bool:
        """Hold *event* as the newest; False when the same message was held already.

        A repetition keeps its place, so that clients may resume after it, but not its content.
        """
        position = event.delivery.position
        message_id = event.delivery.message.message_id
        number = self._dropped + len(self._entries)
        is_new = message_id not in self._ids
        self._entries.append((position, event if is_new else None))
        self._numbers[position] = number
        if is_new:
            self._ids[message_id] = number
        if len(self._entries) > self._most:
            self._drop_oldest()
        return is_new

    def holds(self, message_id: str) -> bool:
        """Say whether a message of this id is held."""
        return message_id in self._ids

    def since(self, position: BusPosition, *, limit: int) -> list[HeldEvent] | None:
        """Return the oldest *limit* after *position*; None when that is not known here."""
        if position == self._base:
            skipped = 0
        elif position in self._numbers:
            skipped = self._numbers[position] - self._dropped + 1
        else:
            return None
        return list(islice(self._entries, skipped, skipped + limit))

    def restart(self, base: BusPosition | None) -> None:
        """Forget everything: what comes next follows *base*; None: nobody knows what."""
        self._base = base
        self._dropped += len(self._entries)
        self._entries.clear()
        self._numbers.clear()
        self._ids.clear()

    def _drop_oldest(self) -> None:
        position, event = self._entries.popleft()
        self._dropped += 1
        self._base = position
        # A bus may give one position twice after it lost its data: the newer place counts.
        if self._numbers.get(position, self._dropped) < self._dropped:
            del self._numbers[position]
        if event is not None:
            del self._ids[event.delivery.message.message_id]


def replaced_in(events: Iterable[Event], history: History) -> set[Event]:
    """Return those of *events* that newer ones among them, for the same hearers, replace.

    They are held, but need not be offered to each client: that is most of a burst.
    """
    newest: dict[object, Event] = {}
    seen: set[str] = set()
    found: set[Event] = set()
    for event in events:
        message = event.delivery.message
        # A repetition is not heard again, so it replaces nothing.
        is_repeated = message.message_id in seen or history.holds(message.message_id)
        if event.is_coalesced and not is_repeated:
            seen.add(message.message_id)
            key = event.slot, message.topics
            if key in newest:
                found.add(newest[key])
            newest[key] = event
    return found
