"""From alerts in the outbox to notifications that arrive: one object that runs it all."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio import TASK_STATUS_IGNORED

from evara_core.alerts.notify.assembling import Roster, assemble
from evara_core.alerts.notify.notifier import Notifier
from evara_core.alerts.notify.receivers import Routing
from evara_core.errors import ConflictError, EvaraError, InvalidInputError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.channel_book import ChannelBook, standard_makers
from evara_core.monitor.deliver import Deliverer
from evara_core.monitor.messages import happening_of
from evara_core.monitor.notices import Decided, Lag, Lease, NotifyLimits
from evara_core.monitor.waiting import Backoff, Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from anyio.abc import TaskStatus

    from evara_core.alerts.notify.alert import Alert, Happening
    from evara_core.clock import Clock
    from evara_core.monitor.channel_book import MakeChannel
    from evara_core.monitor.delivery import DeliveryQueue
    from evara_core.monitor.notices import NotificationStore
    from evara_core.monitor.waiting import Sleep
    from evara_core.realtime.ports import Message

__all__ = ["NotificationRunner", "NotificationStatus"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationStatus:
    """How it stands."""

    decides: bool
    """Whether this process holds the lease."""

    groups_due_at: datetime | None
    heard: int
    unreadable: int
    """Messages that told of no alert. They are not looked at again."""

    queued: int
    delivered: int
    given_up: int
    under_way: int
    lag: Lag
    disabled: Mapping[str, str] = field(default_factory=dict)
    """Receivers that asked never to be called again."""

    problems: Sequence[str] = ()
    """Receivers and routes that do not work, and why."""

    last_error: str = ""


class NotificationRunner:
    """Hears of alerts, decides who is told, and delivers.

    Run one in each process that is to deliver. One of them decides, whoever holds the lease;
    when it dies another one goes on within `NotifyLimits.lease`. All that it knows is stored
    with what it queues, so nothing is lost or queued twice, whatever it is killed in. What was
    sent just before a kill may be sent once more, under the same event id.

    Args:
        store: What is decided.
        queue: The deliveries of the same store.
        clock: Our time.
        makers: How channels are made, by type; None: webhooks and nothing else.
        roster: Receivers and routes besides those in the store, such as those of a file.
        muted: Says why an alert is not to be told at a moment, such as a maintenance window.
        limits: How much at once, and how often.
        holder: Its name among others; None: a new one.
        sleep: Waits, by *clock*.
    """

    def __init__(
        self,
        *,
        store: NotificationStore,
        queue: DeliveryQueue,
        clock: Clock,
        makers: Mapping[str, MakeChannel] | None = None,
        roster: Roster = Roster(),
        muted: Callable[[Alert, datetime], str | None] | None = None,
        limits: NotifyLimits = NotifyLimits(),
        holder: str | None = None,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._given = roster
        self._muted = muted
        self._limits = limits
        self._sleep = sleep
        self._holder = holder or str(TimeOrderedIds(clock=clock).new())
        self.book = ChannelBook(standard_makers() if makers is None else makers)
        self._deliverer = Deliverer(
            queue=queue, channels=self.book, clock=clock, holder=self._holder, sleep=sleep
        )
        self._roster: Roster | None = None
        self._routing = Routing((), ())
        self._stamp = ""
        self._problems: tuple[str, ...] = ()
        self._lease: Lease | None = None
        self._notifier: Notifier | None = None
        self._deciding = anyio.Lock()
        self._woken = Signal()
        self._stopped = anyio.Event()
        self._ready = anyio.Event()
        self._lag = Lag()
        self._heard = self._unreadable = self._queued = 0
        self._last_error = ""

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Work until `stop`, or until cancelled."""
        try:
            async with anyio.create_task_group() as parts:
                parts.start_soon(self._again, self.look_at_roster, self._limits.roster_interval_s)
                parts.start_soon(self._again, self._count, self._limits.lag_interval_s)
                parts.start_soon(self._again, self.upkeep, self._limits.upkeep_interval_s)
                parts.start_soon(self._decide_on)
                parts.start_soon(self._deliver, parts.cancel_scope)
                task_status.started()
        finally:
            with anyio.move_on_after(self._limits.stop_grace_s, shield=True):
                await self._give_back()
                await self.book.aclose()

    def stop(self) -> None:
        """Begin nothing more; let `run` return when what is under way is settled."""
        self._stopped.set()
        self._ready.set()
        self._deliverer.stop()

    def wake(self) -> None:
        """Look at the outbox at once: an alert was put in."""
        self._woken.set()

    def status(self) -> NotificationStatus:
        """Return how it stands."""
        notifier = self._notifier
        return NotificationStatus(
            decides=notifier is not None,
            groups_due_at=None if notifier is None else notifier.due_at,
            heard=self._heard,
            unreadable=self._unreadable,
            queued=self._queued,
            delivered=self._deliverer.delivered,
            given_up=self._deliverer.given_up,
            under_way=self._deliverer.under_way,
            lag=self._lag,
            disabled=dict(self._deliverer.disabled),
            problems=(*self._problems, *self.book.problems.values()),
            last_error=self._last_error,
        )

    async def look_at_roster(self) -> bool:
        """Work by the receivers and routes as they are now; return whether they changed.

        Raises:
            StorageUnavailableError: They are those from before.
        """
        stamp = await self._store.roster_stamp()
        if self._roster is not None and stamp == self._stamp:
            return False
        roster = self._given.plus(await self._store.roster())
        routing, self._problems = assemble(roster)
        await self.book.use(roster)
        self._deliverer.disabled = dict(roster.disabled)
        self._roster, self._routing, self._stamp = roster, routing, stamp
        self._ready.set()
        # What was decided by the old ones is stored: the next look begins from there.
        self._notifier = None
        self._woken.set()
        return True

    async def decide_some(self) -> int:
        """Hear of some transitions and queue what is due; return how many were heard.

        Raises:
            ConflictError: Another process decides by now.
            StorageUnavailableError: It cannot be said whether it was stored. It is looked at
                again, from what is stored.
        """
        if self._roster is None:
            await self.look_at_roster()
        async with self._deciding:
            return await self._decide_once()

    async def deliver_some(self) -> int:
        """Try what is due once; return how many there were.

        Raises:
            StorageUnavailableError: The queue is away.
        """
        if self._roster is None:
            await self.look_at_roster()
        return await self._deliverer.deliver_some()

    async def upkeep(self) -> None:
        """Prune, and end what was deleted while somebody was told of it.

        Raises:
            ConflictError: Another process decides by now.
            StorageUnavailableError: Another time.
        """
        notifier = self._notifier
        if notifier is None or self._roster is None:
            return
        async with self._deciding:
            known = notifier.open_episodes
            gone = known - await self._store.still_open(known)
            # What ended with a word about it was stored before, and is heard first.
            while await self._decide_once() >= self._limits.batch:
                pass
            if self._notifier is not None:
                self._notifier.end(gone & self._notifier.open_episodes, now=self._clock.now())
        receivers = [one.id for one in self._roster.receivers]
        await self._store.prune(now=self._clock.now(), limits=self._limits, receivers=receivers)

    async def _decide_once(self) -> int:
        now = self._clock.now()
        notifier = await self._begun(now)
        if notifier is None:
            return 0
        try:
            return await self._decide(notifier, now)
        except BaseException:
            # What it decided may not be stored: it begins again from what is.
            self._notifier = None
            raise

    async def _begun(self, now: datetime) -> Notifier | None:
        """Return what decides, if it is us who does."""
        lease = self._lease
        if lease is None or lease.until <= now:
            self._notifier = None
            lease = await self._store.take_lease(
                self._holder, now=now, until=now + self._limits.lease
            )
            self._lease = lease
        if lease is None:
            return None
        if self._notifier is None:
            memory = await self._store.memory()
            self._notifier = Notifier(
                self._routing, groups=memory.groups, buckets=memory.buckets, muted=self._muted
            )
        return self._notifier

    async def _decide(self, notifier: Notifier, now: datetime) -> int:
        assert self._lease is not None
        assert self._roster is not None
        messages = await self._store.unheard(limit=self._limits.batch)
        happenings = [found for m in messages if (found := self._read(m)) is not None]
        unknown = [
            found.transition.episode_id
            for found in happenings
            if found.transition.episode_id and not notifier.knows(found.transition.episode_id)
        ]
        going_on = await self._store.still_open(unknown)
        for happening in happenings:
            episode_id = happening.transition.episode_id
            # What is over already need not be told; and nobody hears anew of what was told.
            if not episode_id or episode_id in going_on or notifier.knows(episode_id):
                notifier.take(happening, now=now)
        # What ends within what is still to be heard need not be told.
        notes = [] if len(messages) >= self._limits.batch else notifier.due(now=now)
        changed, over = notifier.changes()
        decided = Decided(
            lease=self._lease,
            noted=[message.message_id for message in messages],
            notes=notes,
            changed=changed,
            over=over,
            buckets=notifier.bucket_changes(),
            wordings={one.id: one.wording for one in self._roster.receivers},
            owners=self._roster.owners,
        )
        until = now + self._limits.lease
        is_late = self._lease.until - now < self._limits.lease / 2
        if messages or notes or changed or over or is_late:
            try:
                await self._store.store(decided, now=now, until=until)
            except ConflictError:
                self._lease = None
                raise
            self._lease = Lease(holder=self._lease.holder, fence=self._lease.fence, until=until)
        self._heard += len(messages)
        self._queued += len(notes)
        if notes:
            self._deliverer.wake()
        return len(messages)

    def _read(self, message: Message) -> Happening | None:
        try:
            return happening_of(message)
        except InvalidInputError as error:
            self._unreadable += 1
            _log.warning("%s", error)
            return None

    async def _decide_on(self) -> None:
        backoff = Backoff(self._limits.first_backoff_s, self._limits.max_backoff_s)
        while not self._stopped.is_set():
            try:
                heard = await self.decide_some()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._failed("decide", error)
                await self._sleep(backoff.failed())
                continue
            backoff.succeeded()
            if heard < self._limits.batch:
                await self._woken.wait(self._limits.interval_s, self._sleep)

    async def _deliver(self, everything: anyio.CancelScope) -> None:
        async with anyio.create_task_group() as parts:
            parts.start_soon(self._end_in_time, parts.cancel_scope)
            # Before that there is no way to anybody.
            await self._ready.wait()
            await self._deliverer.run()
            parts.cancel_scope.cancel()
        everything.cancel()

    async def _end_in_time(self, deliveries: anyio.CancelScope) -> None:
        await self._stopped.wait()
        await anyio.sleep(self._limits.stop_grace_s)
        deliveries.cancel()

    async def _count(self) -> None:
        self._lag = await self._store.lag(now=self._clock.now())

    async def _again(self, do: Callable[[], Awaitable[object]], interval_s: float) -> None:
        while True:
            try:
                await do()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._failed(getattr(do, "__name__", "work").strip("_"), error)
            await self._sleep(interval_s)

    async def _give_back(self) -> None:
        lease, self._lease, self._notifier = self._lease, None, None
        if lease is not None:
            try:
                await self._store.give_back(lease, now=self._clock.now())
            except EvaraError as error:
                self._failed("give back the lease", error)

    def _failed(self, what: str, error: Exception) -> None:
        code = error.code if isinstance(error, EvaraError) else type(error).__name__
        self._last_error = f"{code}: {error}"
        _log.warning("notifications: cannot %s (%s)", what.replace("_", " "), code)
