"""Idempotency keys in the database: they survive what the data survives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, LargeBinary, String, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from typing_extensions import override

from evara_core.api.idempotency import (
    Begun,
    Finished,
    IdempotencyPolicy,
    IdempotencyStore,
    KeptReply,
    Mismatched,
    Running,
)
from evara_core.storage.statements import Query
from evara_core.storage.types import Json, UtcDateTime
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.api.idempotency import IdempotencyKey, Kept
    from evara_core.clock import Clock
    from evara_core.storage.statements import Statements

__all__ = ["SqlIdempotencyStore", "idempotency_table"]


def idempotency_table(metadata: MetaData, *, name: str = "idempotency_keys") -> Table:
    """Return the table, as a part of *metadata*. Your migrations create it."""
    return Table(
        name,
        metadata,
        Column("digest", String(40), primary_key=True),
        Column("fingerprint", String(40), nullable=False),
        Column("status", Integer),
        Column("headers", Json),
        Column("body", LargeBinary),
        Column("until", UtcDateTime, nullable=False, index=True),
    )


class SqlIdempotencyStore(IdempotencyStore):
    """Keys in a table. Each call is a short transaction of its own.

    It is not the transaction of the request: a claim must be seen by others while the
    request still runs.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        table: Table,
        *,
        clock: Clock,
        policy: IdempotencyPolicy = IdempotencyPolicy(),
    ) -> None:
        """Keep keys in *table*, made by `idempotency_table`."""
        self._engine = engine
        self._table = table
        self._clock = clock
        self._policy = policy

    @override
    async def begin(self, key: IdempotencyKey) -> Kept:
        now = self._clock.now()
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(self._begin(key, now))

    @override
    async def finish(self, key: IdempotencyKey, reply: KeptReply) -> None:
        until = self._clock.now() + self._policy.keep_for
        async with AsyncUnit(self._engine) as unit:
            await unit.run(self._put(key, reply, until=until, is_free_at=None))

    @override
    async def release(self, key: IdempotencyKey) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(self._delete(key))

    async def prune(self) -> int:
        """Delete the keys whose time is up; return how many went."""
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(self._prune(self._clock.now()))

    def _begin(self, key: IdempotencyKey, now: datetime) -> Statements[Kept]:
        until = now + self._policy.abandon_after
        if (yield from self._put(key, None, until=until, is_free_at=now)):
            return Begun()
        found = select(self._table).where(self._table.c.digest == key.digest)
        answer = yield Query(found)
        row = answer.rows[0]
        if row.fingerprint != key.fingerprint:
            return Mismatched()
        if row.status is None:
            return Running()
        headers = tuple((name, value) for name, value in row.headers)
        return Finished(KeptReply(status=row.status, body=bytes(row.body), headers=headers))

    def _put(
        self,
        key: IdempotencyKey,
        reply: KeptReply | None,
        *,
        until: datetime,
        is_free_at: datetime | None,
    ) -> Statements[bool]:
        """Write the entry of *key*; return whether that was allowed.

        Args:
            key: What to file it under.
            reply: The answer; None: the request runs.
            until: When it is forgotten.
            is_free_at: Take the place of an older entry only if its time is up by then.
        """
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(self._table).values(
            digest=key.digest,
            fingerprint=key.fingerprint,
            status=None if reply is None else reply.status,
            headers=None if reply is None else [list(pair) for pair in reply.headers],
            body=None if reply is None else reply.body,
            until=until,
        )
        columns = ("fingerprint", "status", "headers", "body", "until")
        statement = insert.on_conflict_do_update(
            index_elements=[self._table.c.digest],
            set_={name: insert.excluded[name] for name in columns},
            where=None if is_free_at is None else self._table.c.until <= is_free_at,
        )
        answer = yield Query(statement.returning(self._table.c.digest))
        return bool(answer.rows)

    def _delete(self, key: IdempotencyKey) -> Statements[None]:
        yield Query(delete(self._table).where(self._table.c.digest == key.digest))

    def _prune(self, now: datetime) -> Statements[int]:
        answer = yield Query(delete(self._table).where(self._table.c.until <= now))
        return answer.rowcount
