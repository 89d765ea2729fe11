"""What is told, and what is on its way, in memory: but to survive the process, as in a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.alerts.notify.assembling import Roster
from evara_core.alerts.notify.payload import encoded, words
from evara_core.alerts.notify.plain import group_from_plain, group_to_plain
from evara_core.errors import ConflictError
from evara_core.monitor.delivery import Delivery, DeliveryQueue, DeliveryStatus
from evara_core.monitor.notices import Lag, Lease, Memory, NotificationStore
from evara_core.serialization import dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from evara_core.alerts.notify.bucket import Bucket
    from evara_core.alerts.notify.group import Notification
    from evara_core.monitor.notices import Decided, NotifyLimits
    from evara_core.realtime.ports import Message

__all__ = ["MemoryNotifications"]


class MemoryNotifications(NotificationStore, DeliveryQueue):
    """Groups, buckets, a lease and deliveries, in one process and one thread.

    `fail_next` makes a transaction fail, as a database does that goes away.
    """

    def __init__(self, roster: Roster = Roster()) -> None:
        self._roster = roster
        self.outbox: dict[str, Message] = {}
        """Alert messages that nobody has decided about: put them in here."""

        self.open_episodes: set[str] = set()
        """Those that the history has, and that are not over."""

        self.deliveries: dict[tuple[str, str], Delivery] = {}
        self.notes: list[Notification] = []
        """All that were queued, in order."""

        self._groups: dict[tuple[str, str], bytes] = {}
        self._buckets: dict[str, Bucket] = {}
        self._lease: Lease | None = None
        self._claims: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._disabled: dict[str, str] = {}
        self._failure: tuple[Exception, bool] | None = None

    def fail_next(self, error: Exception, *, after_commit: bool = False) -> None:
        """Let the next `store` raise *error*: instead of its work, or after it."""
        self._failure = (error, after_commit)

    @override
    async def roster_stamp(self) -> str:
        return str(sorted(self._disabled))

    @override
    async def roster(self) -> Roster:
        return replace(self._roster, disabled=dict(self._disabled))

    @override
    async def take_lease(self, holder: str, *, now: datetime, until: datetime) -> Lease | None:
        held = self._lease
        if held is not None and held.holder != holder and held.until > now:
            return None
        self._lease = Lease(holder=holder, fence=1 if held is None else held.fence + 1, until=until)
        return self._lease

    @override
    async def give_back(self, lease: Lease, *, now: datetime) -> None:
        self._insist_on(lease)
        self._lease = replace(lease, until=now)

    @override
    async def memory(self) -> Memory:
        groups = tuple(group_from_plain(load_json(text)) for text in self._groups.values())
        return Memory(groups=groups, buckets=dict(self._buckets))

    @override
    async def unheard(self, *, limit: int) -> Sequence[Message]:
        return list(self.outbox.values())[:limit]

    @override
    async def store(self, decided: Decided, *, now: datetime, until: datetime) -> None:
        self._insist_on(decided.lease)
        failure, self._failure = self._failure, None
        if failure is not None and not failure[1]:
            raise failure[0]
        self._lease = replace(decided.lease, until=until)
        for message_id in decided.noted:
            self.outbox.pop(message_id, None)
        for note in decided.notes:
            self._queue(note, decided.owners.get(note.receiver))
        for key in decided.over:
            self._groups.pop(key, None)
        for group in decided.changed:
            self._groups[group.receiver, group.key] = dump_json(group_to_plain(group))
        self._buckets.update(decided.buckets)
        if failure is not None:
            raise failure[0]

    @override
    async def still_open(self, episode_ids: Collection[str]) -> frozenset[str]:
        return frozenset(episode_ids) & self.open_episodes

    @override
    async def lag(self, *, now: datetime) -> Lag:
        by_status = [delivery.status for delivery in self.deliveries.values()]
        due = [d.due_at for d in self.deliveries.values() if d.status is DeliveryStatus.WAITING]
        overdue = max((now - at for at in due), default=timedelta())
        return Lag(
            unheard=len(self.outbox),
            waiting=len(due),
            overdue_s=max(0.0, overdue.total_seconds()),
            dead=by_status.count(DeliveryStatus.DEAD),
        )

    @override
    async def prune(
        self, *, now: datetime, limits: NotifyLimits, receivers: Collection[str]
    ) -> int:
        old = [
            key
            for key, delivery in self.deliveries.items()
            if delivery.settled_at is not None
            and delivery.settled_at
            < now - (limits.keep_done if delivery.status == "done" else limits.keep_dead)
        ]
        for key in old:
            del self.deliveries[key]
        return len(old)

    @override
    async def claim(
        self,
        *,
        now: datetime,
        limit: int,
        holder: str,
        until: datetime,
        busy: Collection[str] = (),
    ) -> Sequence[Delivery]:
        due = sorted(
            (
                delivery
                for key, delivery in self.deliveries.items()
                if delivery.status is DeliveryStatus.WAITING
                and delivery.due_at <= now
                and delivery.receiver not in busy
                and (key not in self._claims or self._claims[key][1] <= now)
            ),
            key=lambda delivery: delivery.due_at,
        )[:limit]
        for delivery in due:
            self._claims[delivery.event_id, delivery.receiver] = (holder, until)
        return due

    @override
    async def settle(
        self, delivery: Delivery, *, now: datetime, holder: str, gone: str = ""
    ) -> bool:
        key = (delivery.event_id, delivery.receiver)
        is_held = self._claims.get(key, ("", now))[0] == holder
        if key not in self.deliveries or not (is_held or delivery.status is DeliveryStatus.DONE):
            return False
        is_settled = delivery.status is not DeliveryStatus.WAITING
        self.deliveries[key] = replace(delivery, settled_at=now if is_settled else None)
        self._claims.pop(key, None)
        if gone:
            self._disabled[delivery.receiver] = gone
        return True

    def _queue(self, note: Notification, owner: str | None) -> None:
        key = (note.event_id, note.receiver)
        if key in self.deliveries:
            return
        subject, text = words(note)
        self.notes.append(note)
        self.deliveries[key] = Delivery(
            event_id=note.event_id,
            receiver=note.receiver,
            subject=subject,
            text=text,
            body=encoded(note),
            due_at=note.at,
            owner=owner,
            queued_at=note.at,
        )

    def _insist_on(self, lease: Lease) -> None:
        held = self._lease
        if held is None or (held.holder, held.fence) != (lease.holder, lease.fence):
            problem = "another process decides about notifications by now"
            raise ConflictError(problem)
