"""What receivers were told, and who decides what they are told next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, or_, select, update
from typing_extensions import override

from evara_core.alerts.notify.bucket import Bucket
from evara_core.alerts.notify.documents import Wording
from evara_core.alerts.notify.payload import encoded, words
from evara_core.alerts.notify.plain import group_from_plain, group_to_plain
from evara_core.errors import ConflictError
from evara_core.monitor.delivery import DeliveryStatus
from evara_core.monitor.notices import Lag, Lease, Memory, NotificationStore
from evara_core.serialization import dump_json, load_json
from evara_core.storage.bulk import among, insert_rows, storable_text
from evara_core.storage.deliveries import prune_deliveries
from evara_core.storage.outbox import oldest
from evara_core.storage.roster import load_roster, roster_stamp
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, outbox
from evara_core.storage.tables.notify import (
    deliveries,
    notification_groups,
    notification_leases,
    receiver_states,
)
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.access.sealing import Sealer
    from evara_core.alerts.notify.assembling import Roster
    from evara_core.alerts.notify.group import Group, Notification
    from evara_core.monitor.notices import Decided, NotifyLimits
    from evara_core.realtime.ports import Message
    from evara_core.storage.statements import Statements, T

__all__ = [
    "SqlNotificationStore", "mark_heard", "notification_log", "queue_notifications",
    "still_open", "store_decided", "take_lease", "unheard",
]  # fmt: skip

MAX_COUNTED = 1_000
"""Counting further takes time and says no more."""

_LEASE = "notifications"
_LEASES, _STATES = notification_leases.c, receiver_states.c


class SqlNotificationStore(NotificationStore):
    """The reference schema, as those who decide about notifications see it."""

    def __init__(self, engine: AsyncEngine, *, sealer: Sealer) -> None:
        """Open the secrets of receivers by *sealer*."""
        self._engine = engine
        self._dialect = engine.dialect.name
        self._sealer = sealer

    @override
    async def roster_stamp(self) -> str:
        return await self._read(roster_stamp())

    @override
    async def roster(self) -> Roster:
        return await self._read(load_roster(self._sealer))

    @override
    async def take_lease(self, holder: str, *, now: datetime, until: datetime) -> Lease | None:
        return await self._write(take_lease(holder, now=now, until=until))

    @override
    async def give_back(self, lease: Lease, *, now: datetime) -> None:
        await self._write(_hold(lease, until=now))

    @override
    async def memory(self) -> Memory:
        return await self._read(_memory())

    @override
    async def unheard(self, *, limit: int) -> Sequence[Message]:
        return await self._read(unheard(limit=limit))

    @override
    async def store(self, decided: Decided, *, now: datetime, until: datetime) -> None:
        await self._write(store_decided(decided, now=now, until=until, dialect=self._dialect))

    @override
    async def still_open(self, episode_ids: Collection[str]) -> frozenset[str]:
        return await self._read(still_open(episode_ids, dialect=self._dialect))

    @override
    async def lag(self, *, now: datetime) -> Lag:
        return await self._read(_lag(now))

    @override
    async def prune(
        self, *, now: datetime, limits: NotifyLimits, receivers: Collection[str]
    ) -> int:
        return await self._write(_prune(now, limits, receivers))

    async def _read(self, flow: Statements[T]) -> T:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(flow)

    async def _write(self, flow: Statements[T]) -> T:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(flow)


def take_lease(holder: str, *, now: datetime, until: datetime) -> Statements[Lease | None]:
    """End with the lease if it is free, over, or the holder's already."""
    free = or_(_LEASES.expires_at <= now, _LEASES.holder == holder)
    taken = yield Query(
        update(notification_leases)
        .where(_LEASES.name == _LEASE, free)
        .values(holder=holder, fence=_LEASES.fence + 1, expires_at=until)
    )
    if not taken.rowcount:
        there = yield Query(select(_LEASES.fence).where(_LEASES.name == _LEASE))
        if there.rows:
            return None
        # Two who begin at once: the key lets one of them.
        yield Query(
            insert(notification_leases).values(
                name=_LEASE, holder=holder, fence=1, expires_at=until
            )
        )
    answer = yield Query(select(_LEASES.fence).where(_LEASES.name == _LEASE))
    return Lease(holder=holder, fence=answer.rows[0].fence, until=until)


def unheard(*, limit: int) -> Statements[list[Message]]:
    """End with the oldest alert messages that nobody has decided about, in order."""
    columns = outbox.c
    return (yield from oldest(columns.kind == "alert", ~columns.is_noted, limit=limit))


def mark_heard(message_ids: Sequence[str], *, dialect: str) -> Statements[None]:
    """Remember that these were decided about."""
    if message_ids:
        heard = among(outbox.c.message_id, message_ids, dialect=dialect)
        yield Query(outbox.update().where(heard).values(is_noted=True))


def store_decided(
    decided: Decided, *, now: datetime, until: datetime, dialect: str
) -> Statements[None]:
    """Store what was decided, all of it, and hold the lease until *until*.

    Raises:
        ConflictError: Somebody else has the lease.
    """
    yield from _hold(decided.lease, until=until)
    yield from mark_heard(decided.noted, dialect=dialect)
    yield from queue_notifications(
        decided.notes,
        changed=decided.changed,
        over=decided.over,
        now=now,
        dialect=dialect,
        wordings=decided.wordings,
        owners=decided.owners,
    )
    yield from _store_buckets(decided.buckets)


def notification_log() -> Statements[list[Group]]:
    """End with every group, for a `Notifier` that begins."""
    answer = yield Query(select(notification_groups.c.document))
    return [group_from_plain(load_json(row.document)) for row in answer.rows]


def queue_notifications(
    notes: Sequence[Notification],
    *,
    changed: Sequence[Group],
    over: Sequence[tuple[str, str]],
    now: datetime,
    dialect: str,
    wordings: Mapping[str, Wording] | None = None,
    owners: Mapping[str, str] | None = None,
) -> Statements[None]:
    """Queue *notes* and remember what was told: in one transaction, so that it is said once.

    A note that is queued already is let go. *wordings* and *owners* are by receiver.
    """
    if notes:
        rows: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        for note in notes:
            wording = (wordings or {}).get(note.receiver, Wording())
            subject, text = words(
                note, subject=wording.subject, text=wording.text, zone=wording.zone
            )
            body = encoded(note, form=wording.form)
            values = (
                note.event_id, note.receiver, storable_text(subject), storable_text(text), body,
                str(DeliveryStatus.WAITING), 0, note.at, "", (owners or {}).get(note.receiver),
                note.at,
            )  # fmt: skip
            for name, value in zip(_COLUMNS, values, strict=True):
                rows[name].append(value)
        yield insert_rows(deliveries, rows, dialect=dialect, conflict="ON CONFLICT DO NOTHING")
    groups = notification_groups
    for receiver, key in [*over, *((group.receiver, group.key) for group in changed)]:
        yield Query(delete(groups).where(groups.c.receiver == receiver, groups.c.group_key == key))
    if changed:
        logged: dict[str, list[Any]] = {
            "receiver": [group.receiver for group in changed],
            "group_key": [group.key for group in changed],
            "document": [dump_json(group_to_plain(group)).decode() for group in changed],
            "updated_at": [now for _ in changed],
        }
        yield insert_rows(groups, logged, dialect=dialect)


def still_open(episode_ids: Collection[str], *, dialect: str) -> Statements[frozenset[str]]:
    """End with those that are in the history and not over."""
    if not episode_ids:
        return frozenset()
    history = alert_history.c
    answer = yield Query(
        select(history.episode_id).where(
            among(history.episode_id, sorted(episode_ids), dialect=dialect),
            history.resolved_at.is_(None),
        )
    )
    return frozenset(row.episode_id for row in answer.rows)


def _hold(lease: Lease, *, until: datetime) -> Statements[None]:
    answer = yield Query(
        update(notification_leases)
        .where(_LEASES.name == _LEASE, _LEASES.holder == lease.holder, _LEASES.fence == lease.fence)
        .values(expires_at=until)
    )
    if not answer.rowcount:
        problem = "another process decides about notifications by now"
        raise ConflictError(problem)


def _memory() -> Statements[Memory]:
    groups = yield from notification_log()
    answer = yield Query(select(receiver_states).where(_STATES.tokens.is_not(None)))
    buckets = {row.receiver: Bucket(tokens=row.tokens, at=row.tokens_at) for row in answer.rows}
    return Memory(groups=tuple(groups), buckets=buckets)


def _store_buckets(buckets: Mapping[str, Bucket]) -> Statements[None]:
    for receiver, bucket in buckets.items():
        values = {"tokens": bucket.tokens, "tokens_at": bucket.at}
        answer = yield Query(
            update(receiver_states).where(_STATES.receiver == receiver).values(**values)
        )
        if not answer.rowcount:
            yield Query(insert(receiver_states).values(receiver=receiver, **values))


def _lag(now: datetime) -> Statements[Lag]:
    columns = deliveries.c
    unheard_ = (
        select(outbox.c.sequence)
        .where(outbox.c.kind == "alert", ~outbox.c.is_noted)
        .limit(MAX_COUNTED)
        .subquery()
    )
    answer = yield Query(select(func.count()).select_from(unheard_))
    by_status = yield Query(
        select(
            columns.status,
            func.count().label("number"),
            func.min(columns.due_at).label("due_at"),
        )
        .where(columns.status != DeliveryStatus.DONE)
        .group_by(columns.status)
    )
    found = {row.status: row for row in by_status.rows}
    waiting = found.get(DeliveryStatus.WAITING)
    dead = found.get(DeliveryStatus.DEAD)
    overdue_s = 0.0 if waiting is None else max(0.0, (now - waiting.due_at).total_seconds())
    return Lag(
        unheard=answer.rows[0][0],
        waiting=0 if waiting is None else waiting.number,
        overdue_s=overdue_s,
        dead=0 if dead is None else dead.number,
    )


def _prune(now: datetime, limits: NotifyLimits, receivers: Collection[str]) -> Statements[int]:
    deleted = yield from prune_deliveries(
        done_before=now - limits.keep_done, dead_before=now - limits.keep_dead
    )
    groups = notification_groups.c
    answer = yield Query(
        delete(notification_groups).where(
            and_(
                groups.receiver.not_in(sorted(receivers)),
                groups.updated_at < now - limits.keep_groups,
            )
        )
    )
    return deleted + answer.rowcount


_COLUMNS = (
    "event_id", "receiver", "subject", "text", "body", "status", "attempts", "due_at", "error",
    "distributor_id", "queued_at",
)  # fmt: skip
