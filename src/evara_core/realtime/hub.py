"""One reader of the bus for all clients of a process.

The hub reads each message once, hands it to the clients that may hear it, and never waits
for any of them: what a client has not fetched yet waits in a bounded line of its own. A
client that does not keep up is let go, with a code that says that it may resume.

A client resumes after the last position that it has seen. The newest messages are held in
memory; older ones are read from the bus; where neither reaches back, it is told to resync.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from evara_core.errors import ClosedError, LimitExceededError, UpstreamError
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.history import History, replaced_in
from evara_core.realtime.limits import HubLimits, HubStats
from evara_core.realtime.subscription import Event, Subscription

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from anyio.abc import TaskStatus

    from evara_core.clock import Clock
    from evara_core.realtime.history import HeldEvent
    from evara_core.realtime.ports import Batch, Bus, BusPosition
    from evara_core.realtime.selection import Selection

__all__ = ["Hub"]

_LOG = logging.getLogger(__name__)


class Hub:
    """Hands what is published to those who may hear it.

    Run `run` in a task of its own. Everything happens in that event loop.
    """

    def __init__(self, bus: Bus, *, clock: Clock, limits: HubLimits = HubLimits()) -> None:
        self._bus = bus
        self._clock = clock
        self._limits = limits
        self._position: BusPosition | None = None
        self._history = History(None, most=limits.held_messages)
        self._by_topic: dict[str, set[Subscription]] = {}
        self._clients: set[Subscription] = set()
        self._by_principal: dict[str, set[Subscription]] = {}
        self._idle: list[Subscription] = []
        """Those that something came for, and who have not been told yet."""

        self._to_wake = anyio.Event()
        self._woken_at_s = -math.inf
        self._window_s = limits.window_s
        self._nobody = anyio.Event()
        self._scope = anyio.CancelScope()
        self._is_closed = False
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._clients)} clients"
        return f"<Hub at {self._position}: {state}>"

    @property
    def position(self) -> BusPosition:
        """Everything up to here was handed out. Take it before you read a snapshot.

        Raises:
            UpstreamError: The bus could not be reached yet.
        """
        if self._position is None:
            problem = "the bus could not be reached yet"
            raise UpstreamError(problem)
        return self._position

    @property
    def principals(self) -> frozenset[str]:
        """Who listens now."""
        return frozenset(self._by_principal)

    def stats(self) -> HubStats:
        """Return what became of what."""
        return HubStats(
            clients=len(self._clients),
            coalesced=self._counts["coalesced"] + sum(c.pending.coalesced for c in self._clients),
            **{
                name: self._counts[name]
                for name in ("messages", "deliveries", "refused", "slow", "gaps", "bus_failures")
            },
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Read the bus until `aclose`. A bus that is away is tried again and again."""
        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._wake_in_turns)
                tasks.start_soon(self._sweep)
                await self._read(task_status)
                tasks.cancel_scope.cancel()

    async def _read(self, task_status: TaskStatus[None]) -> None:
        while self._position is None:
            try:
                self._position = await self._bus.end()
                self._history.restart(self._position)
            except UpstreamError as error:
                await self._pause(error)
        task_status.started()
        while not self._is_closed:
            try:
                batch = await self._bus.read(self.position, wait_s=self._limits.read_wait_s)
            except UpstreamError as error:
                await self._pause(error)
            except ClosedError:
                break
            else:
                await self._hand_out(batch)

    async def subscribe(
        self,
        *,
        principal_id: str,
        topics: Collection[str],
        after: BusPosition | None = None,
        expires_at: datetime | None = None,
        selections: Collection[Selection] | None = None,
    ) -> Subscription:
        """Let somebody listen to *topics*, which the caller has made sure that they may.

        Args:
            principal_id: For the limit of streams per user, and for `revise`.
            topics: The real-time topics that the principal may hear.
            after: Resume behind this position, as the client says; None: from now on.
            expires_at: When the right to listen ends, such as the token's end.
            selections: What it wants to hear of *topics*; None: everything.

        Returns:
            The subscription. Close it.

        Raises:
            LimitExceededError: There are too many streams, in all or of this principal.
            ClosedError: The hub is closed or draining.
        """
        self._admit(principal_id)
        client = Subscription(
            principal_id=principal_id,
            topics=frozenset(topics),
            expires_at=expires_at,
            clock=self._clock,
            limits=self._limits,
            after=after,
            selections=None if selections is None else tuple(selections),
            place=lambda: self.position,
            leave=self._leave,
            catch_up=self._catch_up,
        )
        self._clients.add(client)
        self._by_principal.setdefault(principal_id, set()).add(client)
        if after is None:
            self._list(client)
        return client

    def revise(self, principal_id: str, topics: Collection[str]) -> None:
        """Apply what *principal_id* may hear from now on to its streams. Nothing: they end."""
        allowed = frozenset(topics)
        for client in list(self._by_principal.get(principal_id, ())):
            if not allowed:
                self._let_go(client, ByeCode.FORBIDDEN)
            elif allowed != client.topics:
                self._unlist(client)
                client.narrow(allowed)
                if client.behind is None:
                    self._list(client)

    def let_all_go(self, code: ByeCode) -> None:
        """End every stream with *code*. Others may come."""
        for client in list(self._clients):
            self._let_go(client, code)

    async def drain(self, *, grace_s: float = 2.0) -> None:
        """Tell every client to come back later, and wait until they are gone.

        Nobody is admitted any more. Returns after *grace_s* at the latest.
        """
        self._is_closed = True
        self.let_all_go(ByeCode.SHUTTING_DOWN)
        with anyio.move_on_after(grace_s):
            while self._clients:
                self._nobody = anyio.Event()
                await self._nobody.wait()

    async def aclose(self) -> None:
        """Let everybody go at once, and stop reading."""
        await self.drain(grace_s=0)
        self._scope.cancel()

    # --- the stream -------------------------------------------------------------------

    async def _hand_out(self, batch: Batch) -> None:
        if batch.has_gap:
            self._counts["gaps"] += 1
            _LOG.warning("the bus has lost history: every client is told to resync")
            self._history.restart(None if batch.deliveries else batch.position)
            for client in self._clients:
                client.offer_resync()
        events = [Event(delivery) for delivery in batch.deliveries]
        replaced = replaced_in(events, self._history)
        work = 0
        woken_at_s = anyio.current_time()
        for event in events:
            delivery = event.delivery
            self._counts["messages"] += 1
            if self._history.add(event):
                if event in replaced:
                    self._counts["coalesced"] += len(self._hearers(delivery.message.topics))
                else:
                    work += self._offer(event)
            self._position = delivery.position
            if work > self._limits.offers_per_turn:
                work = 0
                now_s = anyio.current_time()
                if now_s - woken_at_s >= max(self._limits.longest_hold_s, self._window_s):
                    woken_at_s = now_s
                    self._wake()
                await anyio.lowlevel.checkpoint()
        self._position = batch.position
        self._wake()

    def _wake(self) -> None:
        """Let those be written to for whom something came: once in a window, not for each."""
        if self._limits.window_s > 0:
            self._to_wake.set()
            return
        idle, self._idle = self._idle, []
        for client in idle:
            client.wake()

    async def _wake_in_turns(self) -> None:
        took_s = 0.0
        while True:
            await self._to_wake.wait()
            # A machine that is slow, or busy with others, writes less often and more at once.
            self._window_s = self._limits.window_for(len(self._clients), last_took_s=took_s)
            due_at_s = self._woken_at_s + self._window_s
            await anyio.sleep(max(0.0, due_at_s - anyio.current_time()))
            self._to_wake = anyio.Event()
            self._woken_at_s = anyio.current_time()
            idle, self._idle = self._idle, []
            for lot in range(0, len(idle), self._limits.woken_per_turn):
                for client in idle[lot : lot + self._limits.woken_per_turn]:
                    client.wake()
                await anyio.lowlevel.checkpoint()
            took_s = anyio.current_time() - self._woken_at_s

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(self._limits.sweep_interval_s)
            now_s = anyio.current_time()
            for client in tuple(self._clients):
                client.sweep(now_s)

    def _offer(self, event: Event) -> int:
        message = event.delivery.message
        hearers = self._hearers(message.topics)
        now_s = self._clock.elapsed_s()
        for client in hearers:
            if client.floor is not None:
                if not self._bus.is_after(event.delivery.position, client.floor):
                    continue
                client.floor = None
            if client.selections is not None and not client.wants(message):
                continue
            if client.is_idle:
                self._idle.append(client)
            if not client.offer(event, now_s=now_s):
                self._counts["slow"] += 1
                self._let_go(client, ByeCode.SLOW_CONSUMER)
        self._counts["deliveries"] += len(hearers)
        return len(hearers)

    def _hearers(self, topics: Sequence[str]) -> Collection[Subscription]:
        found = [self._by_topic[topic] for topic in topics if topic in self._by_topic]
        if len(found) == 1:
            # Who is let go leaves the set while it is gone through.
            return tuple(found[0])
        return set[Subscription]().union(*found)

    async def _pause(self, error: UpstreamError) -> None:
        self._counts["bus_failures"] += 1
        _LOG.warning("the bus is away: %s", error)
        await anyio.sleep(self._limits.pause_after_failure_s)

    # --- the clients ------------------------------------------------------------------

    def _admit(self, principal_id: str) -> None:
        if self._is_closed:
            raise ClosedError
        limits = self._limits
        mine = len(self._by_principal.get(principal_id, ()))
        for limit, count, most in (
            ("streams", len(self._clients), limits.clients),
            ("streams_per_user", mine, limits.clients_per_principal),
        ):
            if count >= most:
                self._counts["refused"] += 1
                raise LimitExceededError(limit, retry_after_s=limits.retry_after_refusal_s)

    async def _catch_up(self, client: Subscription) -> None:
        """Queue some of what *client* has missed; list it when it has missed nothing more.

        Nothing is awaited between the last look at where the hub stands and the listing,
        so that no message falls in between.
        """
        position = client.behind
        if position is None:
            return
        is_ahead = self._bus.is_after(position, self.position)
        missed: Sequence[HeldEvent] | None = ()
        if position != self.position and not is_ahead:
            missed = self._history.since(position, limit=self._limits.batch)
            if missed is None:
                missed = await self._missed(position)
        if missed is None:
            self._counts["gaps"] += 1
            client.start_over()
        for place, event in missed or ():
            client.behind = place
            if event is None:
                continue
            message = event.delivery.message
            if not client.topics.isdisjoint(message.topics) and client.wants(message):
                client.offer(event)
        if not missed:
            client.behind = None
            client.floor = position if is_ahead else None
            self._list(client)

    async def _missed(self, after: BusPosition) -> list[HeldEvent] | None:
        """Return what the bus has after *after* and the hub has handed out; None: a gap."""
        batch = await self._bus.read(after, wait_s=0, limit=self._limits.batch)
        if batch.has_gap:
            return None
        found: list[HeldEvent] = [(d.position, Event(d)) for d in batch.deliveries]
        if batch.position != after:
            # Also when nothing in between could be read.
            found.append((batch.position, None))
        return [held for held in found if not self._bus.is_after(held[0], self.position)]

    def _list(self, client: Subscription) -> None:
        for topic in client.topics:
            self._by_topic.setdefault(topic, set()).add(client)

    def _unlist(self, client: Subscription) -> None:
        for topic in client.topics:
            listeners = self._by_topic.get(topic, set())
            listeners.discard(client)
            if not listeners:
                self._by_topic.pop(topic, None)

    def _let_go(self, client: Subscription, code: ByeCode) -> None:
        self._unlist(client)
        client.end(code)

    def _leave(self, client: Subscription) -> None:
        """Forget *client*: it was closed."""
        if client in self._clients:
            self._clients.discard(client)
            mine = self._by_principal[client.principal_id]
            mine.discard(client)
            if not mine:
                del self._by_principal[client.principal_id]
            self._counts["coalesced"] += client.pending.coalesced
            self._unlist(client)
        if not self._clients:
            self._nobody.set()
