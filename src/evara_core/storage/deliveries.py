"""Deliveries: claimed, settled, listed, replayed, and pruned when they are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select, true, tuple_, update
from typing_extensions import override

from evara_core.errors import NotFoundError
from evara_core.monitor.delivery import Delivery, DeliveryQueue, DeliveryStatus
from evara_core.storage.bulk import storable_text
from evara_core.storage.statements import Query
from evara_core.storage.tables.notify import deliveries, receiver_states
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements

__all__ = [
    "ANY_OWNER", "SqlDeliveryQueue", "claim", "dead_letters", "delivery_log", "enable_receiver",
    "prune_deliveries", "replay", "replay_all", "settle",
]  # fmt: skip

MAX_LISTED = 500
"""Deliveries of one answer."""

ANY_OWNER = "*"
"""Instead of a distributor: the deliveries of all. No distributor is called so."""

_DELIVERIES = deliveries.c


class SqlDeliveryQueue(DeliveryQueue):
    """The queue of the reference schema.

    On PostgreSQL those who claim do not wait for each other.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

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
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            # SQLite lets one write at a time, and looking comes much more often than finding.
            if not await unit.run(_is_due(now)):
                return ()
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(
                claim(now=now, limit=limit, holder=holder, until=until, busy=busy)
            )

    @override
    async def settle(
        self, delivery: Delivery, *, now: datetime, holder: str, gone: str = ""
    ) -> bool:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(settle(delivery, now=now, holder=holder, gone=gone))


def claim(
    *, now: datetime, limit: int, holder: str, until: datetime, busy: Collection[str] = ()
) -> Statements[list[Delivery]]:
    """Take waiting deliveries that are due; end with them, the longest due first."""
    answer = yield Query(
        select(deliveries)
        .where(_due(now), _DELIVERIES.receiver.not_in(sorted(busy)))
        .order_by(_DELIVERIES.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [_delivery(row) for row in answer.rows]
    if found:
        keys = [(one.event_id, one.receiver) for one in found]
        yield Query(
            update(deliveries)
            .where(tuple_(_DELIVERIES.event_id, _DELIVERIES.receiver).in_(keys))
            .values(leased_by=holder, leased_until=until)
        )
    return found


def settle(delivery: Delivery, *, now: datetime, holder: str, gone: str = "") -> Statements[bool]:
    """Store how a delivery stands after an attempt of *holder*; end with whether it was stored."""
    is_settled = delivery.status is not DeliveryStatus.WAITING
    where = [_is(delivery.event_id, delivery.receiver)]
    if delivery.status is not DeliveryStatus.DONE:
        where += [_DELIVERIES.leased_by == holder, _DELIVERIES.status == DeliveryStatus.WAITING]
    answer = yield Query(
        update(deliveries)
        .where(*where)
        .values(
            status=str(delivery.status),
            attempts=delivery.attempts,
            due_at=delivery.due_at,
            error=storable_text(delivery.error),
            settled_at=now if is_settled else None,
            leased_by=None,
            leased_until=None,
        )
    )
    if gone:
        yield from _disable(delivery.receiver, gone, now=now)
    return answer.rowcount > 0


def dead_letters(
    *, owner: str | None = ANY_OWNER, limit: int = MAX_LISTED
) -> Statements[list[Delivery]]:
    """End with what was given up, the newest first.

    *owner* is a distributor, None for the platform's own, `ANY_OWNER` for all.
    """
    answer = yield Query(
        select(deliveries)
        .where(_DELIVERIES.status == DeliveryStatus.DEAD, _owned(owner))
        .order_by(_DELIVERIES.settled_at.desc(), _DELIVERIES.event_id)
        .limit(min(limit, MAX_LISTED))
    )
    return [_delivery(row) for row in answer.rows]


def delivery_log(
    *,
    owner: str | None = ANY_OWNER,
    receiver: str | None = None,
    before: datetime | None = None,
    limit: int = MAX_LISTED,
) -> Statements[list[Delivery]]:
    """End with what was queued, the newest first; *before* goes on from the last one's moment."""
    where = [_owned(owner)]
    if receiver is not None:
        where.append(_DELIVERIES.receiver == receiver)
    if before is not None:
        where.append(_DELIVERIES.queued_at < before)
    answer = yield Query(
        select(deliveries)
        .where(*where)
        .order_by(_DELIVERIES.queued_at.desc(), _DELIVERIES.event_id)
        .limit(min(limit, MAX_LISTED))
    )
    return [_delivery(row) for row in answer.rows]


def replay(
    event_id: str, receiver: str, *, now: datetime, owner: str | None = ANY_OWNER
) -> Statements[None]:
    """Let a dead letter be tried again from the beginning, under its old event id.

    Raises:
        NotFoundError: It is not there, or not dead.
    """
    answer = yield _replayed(_is(event_id, receiver), owner, now)
    if not answer.rowcount:
        what = "dead letter"
        raise NotFoundError(what)


def replay_all(
    *, now: datetime, receiver: str | None = None, owner: str | None = ANY_OWNER
) -> Statements[int]:
    """Let all dead letters, or those to a receiver, be tried again; end with how many."""
    which = _DELIVERIES.receiver == receiver if receiver is not None else _owned(owner)
    answer = yield _replayed(which, owner, now)
    return answer.rowcount


def enable_receiver(receiver: str) -> Statements[bool]:
    """Let a receiver that asked never to be called again be called; end with whether it had."""
    answer = yield Query(
        update(receiver_states)
        .where(receiver_states.c.receiver == receiver, receiver_states.c.disabled_at.is_not(None))
        .values(disabled_at=None, disabled_reason=None)
    )
    return answer.rowcount > 0


def prune_deliveries(*, done_before: datetime, dead_before: datetime) -> Statements[int]:
    """Delete what arrived, and what was given up, before these; end with how many."""
    total = 0
    for status, before in (
        (DeliveryStatus.DONE, done_before),
        (DeliveryStatus.DEAD, dead_before),
    ):
        answer = yield Query(
            delete(deliveries).where(_DELIVERIES.status == status, _DELIVERIES.settled_at < before)
        )
        total += answer.rowcount
    return total


def _disable(receiver: str, reason: str, *, now: datetime) -> Statements[None]:
    values = {"disabled_at": now, "disabled_reason": storable_text(reason)}
    answer = yield Query(
        update(receiver_states).where(receiver_states.c.receiver == receiver).values(**values)
    )
    if not answer.rowcount:
        yield Query(receiver_states.insert().values(receiver=receiver, **values))


def _replayed(which: ColumnElement[bool], owner: str | None, now: datetime) -> Query:
    return Query(
        update(deliveries)
        .where(which, _owned(owner), _DELIVERIES.status == DeliveryStatus.DEAD)
        .values(
            status=str(DeliveryStatus.WAITING),
            attempts=0,
            due_at=now,
            error="",
            settled_at=None,
            leased_by=None,
            leased_until=None,
        )
    )


def _is_due(now: datetime) -> Statements[bool]:
    answer = yield Query(select(_DELIVERIES.event_id).where(_due(now)).limit(1))
    return bool(answer.rows)


def _due(now: datetime) -> ColumnElement[bool]:
    free = or_(_DELIVERIES.leased_until.is_(None), _DELIVERIES.leased_until <= now)
    return and_(_DELIVERIES.status == DeliveryStatus.WAITING, _DELIVERIES.due_at <= now, free)


def _owned(owner: str | None) -> ColumnElement[bool]:
    if owner == ANY_OWNER:
        return true()
    column = _DELIVERIES.distributor_id
    return column.is_(None) if owner is None else column == owner


def _is(event_id: str, receiver: str) -> ColumnElement[bool]:
    return and_(_DELIVERIES.event_id == event_id, _DELIVERIES.receiver == receiver)


def _delivery(row: Any) -> Delivery:  # noqa: ANN401 - a row has the columns of its statement
    return Delivery(
        event_id=row.event_id,
        receiver=row.receiver,
        subject=row.subject,
        text=row.text,
        body=row.body,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        due_at=row.due_at,
        error=row.error,
        owner=row.distributor_id,
        queued_at=row.queued_at,
        settled_at=row.settled_at,
    )
