"""Leases in the database: by its clock, which all processes share."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from typing_extensions import override

from evara_core.monitor.leases import Lease, LeaseStore
from evara_core.storage.statements import Query
from evara_core.storage.tables.leases import leases
from evara_core.storage.types import UtcDateTime
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.storage.statements import Statements

__all__ = ["SqlLeaseStore", "claim", "is_current", "moments", "release", "renew"]


class SqlLeaseStore(LeaseStore):
    """The leases of the reference schema.

    Args:
        engine: Of the database.
        clock: For SQLite, which is on one machine. PostgreSQL goes by its own.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._is_postgresql = engine.dialect.name == "postgresql"

    @override
    async def claim(self, name: str, *, holder: str, ttl_s: float) -> Lease | None:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(claim(name, holder=holder, ttl_s=ttl_s, now=self._now()))

    @override
    async def renew(self, lease: Lease, *, ttl_s: float) -> bool:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(renew(lease, ttl_s=ttl_s, now=self._now()))

    @override
    async def release(self, lease: Lease) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(release(lease, now=self._now()))

    def _now(self) -> datetime | None:
        return None if self._is_postgresql else self._clock.now()


def claim(
    name: str, *, holder: str, ttl_s: float, now: datetime | None
) -> Statements[Lease | None]:
    """End with the lease if it is free, expired or this holder's; else None.

    *now* is for SQLite; None on PostgreSQL, which has a clock of its own.
    """
    moment, until = moments(now, ttl_s)
    insert: Any = (postgresql if now is None else sqlite).insert(leases)
    values = {"holder": holder, "acquired_at": moment, "expires_at": until}
    statement = insert.values(name=name, token=1, **values).on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={**values, "token": leases.c.token + 1},
        where=or_(
            leases.c.holder.is_(None), leases.c.holder == holder, leases.c.expires_at <= moment
        ),
    )
    answer = yield Query(statement.returning(leases.c.token))
    if not answer.rows:
        return None
    return Lease(name=name, holder=holder, token=answer.rows[0].token)


def renew(lease: Lease, *, ttl_s: float, now: datetime | None) -> Statements[bool]:
    """End with whether the lease was still held, and is from now on for *ttl_s*."""
    moment, until = moments(now, ttl_s)
    answer = yield Query(
        leases.update()
        .where(_is_held(lease), leases.c.expires_at > moment)
        .values(expires_at=until)
        .returning(leases.c.token)
    )
    return bool(answer.rows)


def release(lease: Lease, *, now: datetime | None) -> Statements[None]:
    """Give a lease back. One that is lost is left alone."""
    moment, _ = moments(now, 0.0)
    yield Query(leases.update().where(_is_held(lease)).values(holder=None, expires_at=moment))


def is_current(lease: Lease) -> ColumnElement[bool]:
    """Return the condition that nobody has claimed *lease* since: for what its holder writes."""
    held = select(leases.c.token).where(leases.c.name == lease.name, leases.c.token == lease.token)
    return exists(held)


def _is_held(lease: Lease) -> ColumnElement[bool]:
    return (
        (leases.c.name == lease.name)
        & (leases.c.holder == lease.holder)
        & (leases.c.token == lease.token)
    )


def moments(now: datetime | None, ttl_s: float) -> tuple[Any, Any]:
    """Return the moment, and the one *ttl_s* later, as expressions of the database."""
    ttl = timedelta(seconds=ttl_s)
    if now is None:
        moment = func.clock_timestamp(type_=UtcDateTime())
        return moment, moment + literal(ttl)
    return literal(now, UtcDateTime()), literal(now + ttl, UtcDateTime())
