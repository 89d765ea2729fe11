"""The log of what receivers were told, and the queue of what is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, select, update
from typing_extensions import override

from evara_core.alerts.notify.payload import payload, words
from evara_core.alerts.notify.plain import group_from_plain, group_to_plain
from evara_core.errors import NotFoundError
from evara_core.monitor.delivery import Delivery, DeliveryQueue, DeliveryStatus
from evara_core.serialization import dump_json, load_json
from evara_core.storage.bulk import insert_rows, storable_text
from evara_core.storage.statements import Query
from evara_core.storage.tables.notify import deliveries, notification_groups
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.alerts.notify.notifier import Group, Notification
    from evara_core.storage.statements import Statements

__all__ = ["SqlDeliveryQueue", "dead_letters", "notification_log", "queue_notifications", "replay"]

MAX_LISTED = 500
"""Dead letters of one answer."""


class SqlDeliveryQueue(DeliveryQueue):
    """The queue of the reference schema."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @override
    async def due(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(_due(now, limit))

    @override
    async def settle(self, delivery: Delivery, *, now: datetime) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(_settle(delivery, now))


def notification_log() -> Statements[list[Group]]:
    """End with every group, for a `Notifier` that begins."""
    answer = yield Query(select(notification_groups.c.document))
    return [group_from_plain(load_json(row.document)) for row in answer.rows]


def queue_notifications(
    notes: Sequence[Notification],
    *,
    changed: Sequence[Group],
    over: Sequence[tuple[str, str]],
    dialect: str,
    templates: Mapping[str, Mapping[str, str]] | None = None,
) -> Statements[None]:
    """Queue *notes* and remember what was told: in one transaction, so that it is said once.

    A note that is queued already is let go. *templates* are, by receiver, the arguments of
    `words`.
    """
    if notes:
        rows: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        for note in notes:
            subject, text = words(note, **(templates or {}).get(note.receiver, {}))
            values = (
                note.event_id, note.receiver, storable_text(subject), storable_text(text),
                dump_json(payload(note)), str(DeliveryStatus.WAITING), 0, note.at, "",
            )  # fmt: skip
            for name, value in zip(_COLUMNS, values, strict=True):
                rows[name].append(value)
        yield insert_rows(deliveries, rows, dialect=dialect, conflict="ON CONFLICT DO NOTHING")
    groups = notification_groups
    for receiver, key in [*over, *((group.receiver, group.key) for group in changed)]:
        yield Query(delete(groups).where(groups.c.receiver == receiver, groups.c.group_key == key))
    if changed:
        logged = {
            "receiver": [group.receiver for group in changed],
            "group_key": [group.key for group in changed],
            "document": [dump_json(group_to_plain(group)).decode() for group in changed],
        }
        yield insert_rows(groups, logged, dialect=dialect)


def dead_letters(*, limit: int = MAX_LISTED) -> Statements[list[Delivery]]:
    """End with what was given up, the newest first."""
    answer = yield Query(
        select(deliveries)
        .where(deliveries.c.status == DeliveryStatus.DEAD)
        .order_by(deliveries.c.settled_at.desc())
        .limit(min(limit, MAX_LISTED))
    )
    return [_delivery(row) for row in answer.rows]


def replay(event_id: str, receiver: str, *, now: datetime) -> Statements[None]:
    """Let a dead letter be tried again from the beginning, under its old event id.

    Raises:
        NotFoundError: It is not there, or not dead.
    """
    answer = yield Query(
        update(deliveries)
        .where(_is(event_id, receiver), deliveries.c.status == DeliveryStatus.DEAD)
        .values(
            status=str(DeliveryStatus.WAITING), attempts=0, due_at=now, error="", settled_at=None
        )
    )
    if not answer.rowcount:
        what = "dead letter"
        raise NotFoundError(what)


def _due(now: datetime, limit: int) -> Statements[list[Delivery]]:
    answer = yield Query(
        select(deliveries)
        .where(deliveries.c.status == DeliveryStatus.WAITING, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at)
        .limit(limit)
    )
    return [_delivery(row) for row in answer.rows]


def _settle(delivery: Delivery, now: datetime) -> Statements[None]:
    is_settled = delivery.status is not DeliveryStatus.WAITING
    yield Query(
        update(deliveries)
        .where(_is(delivery.event_id, delivery.receiver))
        .values(
            status=str(delivery.status),
            attempts=delivery.attempts,
            due_at=delivery.due_at,
            error=storable_text(delivery.error),
            settled_at=now if is_settled else None,
        )
    )


_COLUMNS = (
    "event_id", "receiver", "subject", "text", "body", "status", "attempts", "due_at", "error",
)  # fmt: skip


def _is(event_id: str, receiver: str) -> ColumnElement[bool]:
    return and_(deliveries.c.event_id == event_id, deliveries.c.receiver == receiver)


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
    )
