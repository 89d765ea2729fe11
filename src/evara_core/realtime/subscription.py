"""One client's share of the stream: what waits for it, and when it is let go.

It is filled by the hub and emptied by whoever writes to the client.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Self, TypeAlias

import anyio

from evara_core.errors import ClosedError
from evara_core.realtime.codes import ByeCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import datetime

    from evara_core.clock import Clock
    from evara_core.realtime.limits import HubLimits
    from evara_core.realtime.ports import BusPosition, Delivery, Message
    from evara_core.realtime.selection import Selection

__all__ = ["Bye", "Event", "Item", "Pending", "Resync", "Subscription"]

_COALESCED_KINDS = frozenset({"reading", "node"})

_PRECISE_BELOW_S = 1.0
"""A shorter wait has a timer of its own; longer ones are ended by the hub's sweep."""


class Event:
    """A delivery, encoded at most once for each wire format, whatever the number of clients."""

    __slots__ = ("_encoded", "delivery", "is_coalesced", "slot")

    def __init__(self, delivery: Delivery) -> None:
        message = delivery.message
        self.delivery = delivery
        self.is_coalesced = message.kind in _COALESCED_KINDS
        """Whether newer news of the same kind and key replaces it."""

        self.slot: tuple[str, str] | str = (
            (message.kind, message.key) if self.is_coalesced else message.message_id
        )
        """Its place in what waits for a client."""

        self._encoded: dict[Callable[[Delivery], bytes], bytes] = {}

    def encoded(self, encode: Callable[[Delivery], bytes]) -> bytes:
        """Return what *encode* makes of it."""
        found = self._encoded.get(encode)
        if found is None:
            found = self._encoded[encode] = encode(self.delivery)
        return found


@dataclass(frozen=True, slots=True)
class Resync:
    """Something is missing between what came before and what comes next."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The end, and why."""

    code: ByeCode


Item: TypeAlias = Event | Resync | Bye


class Pending:
    """What waits for one client, in the order of the stream.

    Newer news takes the place of older at the *end* of the line: so whatever was sent, all
    that came before it was sent too or will be replaced by something yet to come, and
    resuming from the last id loses nothing.

    Args:
        most_events: Alerts that may wait. One more, and the client is let go.
        most_keys: Things whose newest value may wait, likewise.
    """

    __slots__ = ("_events", "_items", "_most_events", "_most_keys", "coalesced")

    def __init__(self, *, most_events: int, most_keys: int) -> None:
        self._items: dict[tuple[str, str] | str, Event | Resync] = {}
        self._events = 0
        self._most_events = most_events
        self._most_keys = most_keys
        self.coalesced = 0
        """How often newer news replaced older."""

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, event: Event) -> bool:
        """Queue *event*; False when there is no room, and the client must go."""
        items, slot = self._items, event.slot
        if event.is_coalesced:
            if items.pop(slot, None) is not None:
                self.coalesced += 1
            items[slot] = event
            return len(items) - self._events <= self._most_keys
        if slot in items:
            return True
        items[slot] = event
        self._events += 1
        return self._events <= self._most_events

    def offer_resync(self) -> None:
        """Queue the news that something is missing here."""
        key = ("", "")
        self._items.pop(key, None)
        self._items[key] = Resync()

    def take(self, most: int) -> list[Event | Resync]:
        """Remove and return the oldest *most* items."""
        keys = list(islice(self._items, most))
        self._events -= sum(isinstance(key, str) for key in keys)
        return [self._items.pop(key) for key in keys]

    def keep(self, is_kept: Callable[[Message], bool]) -> None:
        """Forget the messages that are not to be kept."""
        kept = [
            item
            for item in self.take(len(self._items))
            if isinstance(item, Resync) or is_kept(item.delivery.message)
        ]
        for item in kept:
            if isinstance(item, Resync):
                self.offer_resync()
            else:
                self.offer(item)

    def clear(self) -> None:
        """Forget everything: the client is gone, or starts anew."""
        self._items.clear()
        self._events = 0


class Subscription:
    """A client of the hub, from `Hub.subscribe` to `close`."""

    __slots__ = (
        "_catch_up",
        "_clock",
        "_due_at_s",
        "_ended",
        "_expires_at",
        "_is_over",
        "_is_released",
        "_leave",
        "_limits",
        "_news",
        "_place",
        "_stuck",
        "_waiting_since_s",
        "_writing_s",
        "behind",
        "floor",
        "pending",
        "principal_id",
        "selections",
        "topics",
    )

    def __init__(
        self,
        *,
        principal_id: str,
        topics: frozenset[str],
        expires_at: datetime | None,
        clock: Clock,
        limits: HubLimits,
        after: BusPosition | None,
        selections: tuple[Selection, ...] | None,
        place: Callable[[], BusPosition],
        leave: Callable[[Subscription], None],
        catch_up: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        self.principal_id = principal_id
        self.topics = topics
        self.selections = selections
        """What it wants to hear of its topics; None: everything."""

        self.behind = after
        """What lies after this has yet to be fetched out of history; None: it is live."""

        self.floor: BusPosition | None = None
        """What lies up to here was seen already, if the hub comes to it only now."""

        self.pending = Pending(
            most_events=limits.events_per_client, most_keys=limits.keys_per_client
        )
        self._expires_at = expires_at
        self._clock = clock
        self._limits = limits
        self._place = place
        self._leave = leave
        self._catch_up = catch_up
        self._news: anyio.Event | None = None
        """Somebody waits for what comes."""

        self._due_at_s = math.inf
        """When `sweep` has to do something."""

        self._is_released = False
        """What waits may be fetched: the window in which more may join it is over."""

        self._stuck: Callable[[], None] | None = None
        self._writing_s = math.inf
        self._waiting_since_s: float | None = None
        self._ended: ByeCode | None = None
        self._is_over = False

    def __repr__(self) -> str:
        state = self._ended or f"{len(self.pending)} pending"
        return f"<Subscription of {self.principal_id}: {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> BusPosition | None:
        """Everything up to here was fetched, also where nothing was for it; None: not yet.

        Tell it to a client that hears little, so that it never resumes from long ago.
        """
        if self.pending or self.behind is not None or self.floor is not None:
            return None
        return self._place()

    @property
    def expires_at(self) -> datetime | None:
        """When the right to listen ends, as far as it was told."""
        return self._expires_at

    async def receive(self, *, wait_s: float = 15.0) -> list[Item]:
        """Return what has come, oldest first, waiting up to *wait_s* for the first of it.

        Nothing came when the list is empty: send a heartbeat. A `Bye` is the last item of
        the last list; after it there is nothing to receive.

        Raises:
            ClosedError: It was closed, or its `Bye` was received.
            UpstreamError: The bus is away, and is needed for what was missed.
        """
        if self._is_over:
            raise ClosedError
        self._due_at_s = math.inf
        while self.behind is not None and len(self.pending) < self._limits.batch:
            await self._catch_up(self)
            self._is_released = True
        if not (self._is_released and self.pending) and self._ended is None:
            await self._wait(min(wait_s, self._time_left_s()))
        if self._expires_at is not None and self._time_left_s() <= 0:
            self.end(ByeCode.TOKEN_EXPIRED)
        found = self._fetch()
        if self._stuck is not None:
            self._due_at_s = anyio.current_time() + self._writing_s
        return found

    async def _wait(self, wait_s: float) -> None:
        self._is_released = False
        self._news = anyio.Event()
        try:
            if wait_s < _PRECISE_BELOW_S:
                with anyio.move_on_after(wait_s):
                    await self._news.wait()
            else:
                self._due_at_s = anyio.current_time() + wait_s
                await self._news.wait()
        finally:
            self._news = None
            self._due_at_s = math.inf

    def when_stuck(self, leave: Callable[[], None], *, after_s: float) -> None:
        """Call *leave* when what was fetched has not been written *after_s* seconds later."""
        self._stuck, self._writing_s = leave, after_s

    def sweep(self, now_s: float) -> None:
        """End a wait, or a write, that takes too long. The hub calls this now and then.

        One look at all clients costs less than two timers for each write.
        """
        if now_s < self._due_at_s:
            return
        self._due_at_s = math.inf
        if self._news is not None:
            self._news.set()
        elif self._stuck is not None:
            self._stuck()

    def wants(self, message: Message) -> bool:
        """Say whether *message*, which the client may hear, is of what it wants to hear."""
        return self.selections is None or any(each.wants(message) for each in self.selections)

    def offer(self, event: Event, *, now_s: float | None = None) -> bool:
        """Queue *event*; False when it does not fit, or waited too long. `wake` afterwards."""
        if now_s is None:
            now_s = self._clock.elapsed_s()
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        is_late = now_s - self._waiting_since_s > self._limits.longest_wait_s
        return self.pending.offer(event) and not is_late

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits: who queues something must wake it."""
        return self._waiting_since_s is None

    def wake(self) -> None:
        """Let `receive` return with what was offered."""
        self._is_released = True
        if self._news is not None:
            self._news.set()

    def offer_resync(self) -> None:
        """Queue the news that something is missing here."""
        self.pending.offer_resync()
        self.wake()

    def start_over(self) -> None:
        """Forget what waits: the client must read a snapshot anyway."""
        self.pending.clear()
        self.offer_resync()

    def narrow(self, topics: frozenset[str]) -> None:
        """Hear *topics* from now on, and forget what waits of others."""
        gained = topics - self.topics
        self.topics = topics
        self._keep(lambda message: not topics.isdisjoint(message.topics))
        if gained:
            self.offer_resync()

    def select(self, selections: Collection[Selection] | None) -> None:
        """Hear what is of one of *selections* from now on; None: everything.

        What happened before is not told: read a snapshot after this.
        """
        self.selections = None if selections is None else tuple(selections)
        self._keep(self.wants)

    def extend(self, expires_at: datetime | None) -> None:
        """Let the right to listen end at another time: the client came with a new token."""
        self._expires_at = expires_at
        self.wake()

    def end(self, code: ByeCode) -> None:
        """Say goodbye with *code*. The first reason is the one that counts."""
        if self._ended is None:
            self._ended = code
            if code is not ByeCode.SHUTTING_DOWN:
                self.pending.clear()
            self.wake()

    def close(self) -> None:
        """Leave the hub. Closing twice is no error."""
        self._is_over = True
        self.pending.clear()
        self._leave(self)
        self.wake()

    def _keep(self, is_kept: Callable[[Message], bool]) -> None:
        self.pending.keep(is_kept)
        if not self.pending:
            self._waiting_since_s = None
            self._is_released = False

    def _time_left_s(self) -> float:
        if self._expires_at is None:
            return math.inf
        return (self._expires_at - self._clock.now()).total_seconds()

    def _fetch(self) -> list[Item]:
        taken: list[Item] = [*self.pending.take(self._limits.batch)]
        self._is_released = bool(self.pending)
        self._waiting_since_s = self._clock.elapsed_s() if self.pending else None
        if self._ended is not None and not self.pending:
            taken.append(Bye(self._ended))
            self._is_over = True
        return taken
