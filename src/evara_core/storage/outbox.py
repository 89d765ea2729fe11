"""What others must hear: kept in the transaction that made it true, handed out after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, or_, select
from typing_extensions import override

from evara_core.monitor.ports import OutboxStore
from evara_core.realtime.ports import Message
from evara_core.storage.bulk import among, insert_rows, storable_json, storable_text
from evara_core.storage.statements import COPY_FROM_ROWS, NONE_TAKEN, CopyRows, Query
from evara_core.storage.tables import notification_leases, outbox
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements

__all__ = ["SqlOutboxStore", "mark_published", "oldest", "prune", "put_messages", "unpublished"]


class SqlOutboxStore(OutboxStore):
    """The outbox of the reference schema."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._dialect = engine.dialect.name

    @override
    async def unpublished(self, *, limit: int) -> Sequence[Message]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(unpublished(limit=limit))

    @override
    async def mark_published(self, message_ids: Sequence[str]) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(mark_published(message_ids, dialect=self._dialect))

    @override
    async def prune(self, *, keep: int) -> int:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(prune(keep=keep))


def put_messages(messages: Sequence[Message], *, dialect: str) -> Statements[None]:
    """Keep *messages*, in order. One that is there already, sent or not, is let go."""
    if messages:
        # The messages of one node have the same topics, and those of a community nearly.
        topics = {message.topics: storable_json(message.topics) for message in messages}
        rows: dict[str, list[Any]] = {
            "message_id": [message.message_id for message in messages],
            "kind": [message.kind for message in messages],
            "key": [storable_text(message.key) for message in messages],
            "topics": [topics[message.topics] for message in messages],
            "body": [message.body for message in messages],
        }
        if dialect == "postgresql" and len(messages) >= COPY_FROM_ROWS:
            answer = yield CopyRows(outbox.name, list(rows), list(zip(*rows.values(), strict=True)))
            if answer.rowcount != NONE_TAKEN:
                return
        yield insert_rows(outbox, rows, dialect=dialect, conflict="ON CONFLICT DO NOTHING")


def unpublished(*, limit: int) -> Statements[list[Message]]:
    """End with the oldest messages that did not go out yet, in order."""
    return (yield from oldest(~outbox.c.is_published, limit=limit))


def oldest(*where: ColumnElement[bool], limit: int) -> Statements[list[Message]]:
    """End with the oldest messages of which all of *where* is true, in order."""
    columns = outbox.c
    answer = yield Query(
        select(columns.message_id, columns.kind, columns.key, columns.topics, columns.body)
        .where(*where)
        .order_by(columns.sequence)
        .limit(limit)
    )
    return [
        Message(
            message_id=row.message_id,
            kind=row.kind,
            key=row.key,
            topics=tuple(row.topics),
            body=row.body,
        )
        for row in answer.rows
    ]


def mark_published(message_ids: Sequence[str], *, dialect: str) -> Statements[None]:
    """Remember that these went out."""
    if message_ids:
        sent = among(outbox.c.message_id, message_ids, dialect=dialect)
        yield Query(outbox.update().where(sent).values(is_published=True))


def prune(*, keep: int) -> Statements[int]:
    """Delete messages that went out, but the newest *keep*; end with how many went.

    Where somebody decides about notifications, or did once, alerts stay until they were heard.
    """
    columns = outbox.c
    is_heard = or_(
        columns.kind != "alert", columns.is_noted, ~exists(select(notification_leases.c.name))
    )
    newest = (
        select(outbox.c.sequence)
        .where(outbox.c.is_published)
        .order_by(outbox.c.sequence.desc())
        .offset(keep)
        .limit(1)
        .scalar_subquery()
    )
    answer = yield Query(
        outbox.delete().where(columns.is_published, columns.sequence <= newest, is_heard)
    )
    return answer.rowcount
