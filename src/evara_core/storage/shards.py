"""Shards in the database: rows among the leases, and one for each process that is alive."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, delete, func, literal, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from typing_extensions import override

from evara_core.errors import ConfigurationError, LeaseLostError
from evara_core.monitor.leases import Lease
from evara_core.monitor.shards import HASH_BYTES, ShardStanding, ShardStore, lease_name
from evara_core.storage.bulk import among
from evara_core.storage.leases import moments
from evara_core.storage.statements import Query
from evara_core.storage.tables.leases import leases as table
from evara_core.storage.types import UtcDateTime
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.storage.statements import Statements

__all__ = [
    "SqlShardStore",
    "claim_shards",
    "in_shards",
    "join_shards",
    "keep_shards",
    "leave_shards",
    "refuse_lost",
    "release_shards",
    "shard_expression",
]

_COUNT = "shards"
"""The row whose token says how many shards there are."""

_MEMBER = "member "

_FORGOTTEN_AFTER = timedelta(hours=1)
"""Rows of processes that died are deleted when another one joins, so much later: until then
they say who was there."""


class SqlShardStore(ShardStore):
    """The shards of the reference schema.

    Args:
        engine: Of the database.
        clock: For SQLite, which is on one machine. PostgreSQL goes by its own.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._dialect = engine.dialect.name
        self._shards = 0

    @override
    async def join(self, *, shards: int) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(join_shards(shards, dialect=self._dialect, now=self._now()))
        self._shards = shards

    @override
    async def keep(self, leases: Sequence[Lease], *, holder: str, ttl_s: float) -> ShardStanding:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(
                keep_shards(
                    leases, holder=holder, ttl_s=ttl_s, dialect=self._dialect, now=self._now()
                )
            )

    @override
    async def claim(self, *, holder: str, ttl_s: float, most: int) -> Sequence[Lease]:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(
                claim_shards(
                    self._shards,
                    holder=holder,
                    ttl_s=ttl_s,
                    most=most,
                    dialect=self._dialect,
                    now=self._now(),
                )
            )

    @override
    async def release(self, leases: Sequence[Lease]) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(release_shards(leases, dialect=self._dialect, now=self._now()))

    @override
    async def leave(self, holder: str) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(leave_shards(holder, now=self._now()))

    def _now(self) -> datetime | None:
        return None if self._dialect == "postgresql" else self._clock.now()


def join_shards(shards: int, *, dialect: str, now: datetime | None) -> Statements[None]:
    """Make the shards, or agree with those that are there.

    Raises:
        ConfigurationError: Others are alive and count other shards.
    """
    moment, _ = moments(now, 0.0)
    insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    times = {"acquired_at": moment, "expires_at": moment}
    rows = [{"name": lease_name(shard), "token": 0, **times} for shard in range(shards)]
    rows.append({"name": _COUNT, "token": shards, **times})
    yield Query(insert.values(rows).on_conflict_do_nothing())
    counted = select(table.c.token).where(table.c.name == _COUNT).with_for_update()
    found = (yield Query(counted)).rows[0].token
    if found != shards:
        alive = yield from _members(moment)
        if alive:
            problem = (
                f"{alive} processes are alive that divide the fleet into {found} shards, not"
                f" {shards}: two would hold one node. Use {found}, or stop all of them first"
            )
            raise ConfigurationError(problem)
        yield Query(update(table).where(table.c.name == _COUNT).values(token=shards))
    long_ago = moment - literal(_FORGOTTEN_AFTER) if now is None else _ago(now)
    yield Query(delete(table).where(_is_member(), table.c.expires_at < long_ago))


def keep_shards(
    leases: Sequence[Lease], *, holder: str, ttl_s: float, dialect: str, now: datetime | None
) -> Statements[ShardStanding]:
    """Say that *holder* is alive, renew *leases*, and end with what is left of them."""
    moment, until = moments(now, ttl_s)
    insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    values = {"holder": holder, "expires_at": until}
    yield Query(
        insert.values(
            name=_MEMBER + holder, token=1, acquired_at=moment, **values
        ).on_conflict_do_update(index_elements=[table.c.name], set_=values)
    )
    renewed: set[tuple[str, int]] = set()
    if leases:
        names = [lease.name for lease in leases]
        answer = yield Query(
            update(table)
            .where(
                among(table.c.name, names, dialect=dialect),
                table.c.holder == holder,
                table.c.expires_at > moment,
            )
            .values(expires_at=until)
            .returning(table.c.name, table.c.token)
        )
        renewed = {(row.name, row.token) for row in answer.rows}
    members = yield from _members(moment)
    kept = [lease for lease in leases if (lease.name, lease.token) in renewed]
    return ShardStanding(kept=kept, members=members)


def claim_shards(
    shards: int,
    *,
    holder: str,
    ttl_s: float,
    most: int,
    dialect: str,
    now: datetime | None,
) -> Statements[list[Lease]]:
    """Take at most *most* of *shards* that nobody holds; pass over what others claim now."""
    moment, until = moments(now, ttl_s)
    names = [lease_name(shard) for shard in range(shards)]
    free = yield Query(
        select(table.c.name)
        .where(
            among(table.c.name, names, dialect=dialect),
            or_(table.c.holder.is_(None), table.c.expires_at <= moment),
        )
        .order_by(table.c.expires_at, table.c.name)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    if not free.rows:
        return []
    taken = yield Query(
        update(table)
        .where(among(table.c.name, [row.name for row in free.rows], dialect=dialect))
        .values(holder=holder, token=table.c.token + 1, acquired_at=moment, expires_at=until)
        .returning(table.c.name, table.c.token)
    )
    return [Lease(name=row.name, holder=holder, token=row.token) for row in taken.rows]


def release_shards(
    leases: Sequence[Lease], *, dialect: str, now: datetime | None
) -> Statements[None]:
    """Give *leases* of one holder back. Those that are lost are left alone."""
    if not leases:
        return
    moment, _ = moments(now, 0.0)
    tokens = {lease.name: lease.token for lease in leases}
    held = yield Query(
        select(table.c.name, table.c.token)
        .where(
            among(table.c.name, list(tokens), dialect=dialect),
            table.c.holder == leases[0].holder,
        )
        .order_by(table.c.name)
        .with_for_update()
    )
    names = [row.name for row in held.rows if tokens[row.name] == row.token]
    yield Query(
        update(table)
        .where(among(table.c.name, names, dialect=dialect))
        .values(holder=None, expires_at=moment)
    )


def leave_shards(holder: str, *, now: datetime | None) -> Statements[None]:
    """Free all that *holder* holds, and let it be alive no more."""
    moment, _ = moments(now, 0.0)
    yield Query(delete(table).where(table.c.name == _MEMBER + holder))
    yield Query(
        update(table)
        .where(table.c.holder == holder, table.c.name.startswith("shard ", autoescape=True))
        .values(holder=None, expires_at=moment)
    )


def refuse_lost(leases: Sequence[Lease], *, dialect: str) -> Statements[None]:
    """End when each of *leases* is held, as of now.

    No lock is taken: a process that freezes in its transaction must not keep others from
    claiming.

    Raises:
        LeaseLostError: One is not.
    """
    if not leases:
        return
    found = yield Query(
        select(table.c.name, table.c.holder, table.c.token).where(
            among(table.c.name, [lease.name for lease in leases], dialect=dialect)
        )
    )
    held = {Lease(name=row.name, holder=row.holder, token=row.token) for row in found.rows}
    for lease in leases:
        if lease not in held:
            raise LeaseLostError(lease.name)


def in_shards(shards: Collection[int], *, of: int) -> ColumnElement[bool]:
    """Return the condition that a node is in one of *shards*. PostgreSQL only."""
    return shard_expression(of).in_(sorted(shards))


def shard_expression(of: int) -> ColumnElement[int]:
    """Return the number of a node's shard as PostgreSQL counts it: `monitor.shards.shard_of`."""
    digest = "sha256(convert_to(nodes.node_id, 'UTF8'))"
    number = f"('x' || encode(substr({digest}, 1, {HASH_BYTES}), 'hex'))::bit({8 * HASH_BYTES})"
    return literal_column(f"({number}::bigint % {of:d})", BigInteger())


def _members(moment: ColumnElement[Any]) -> Statements[int]:
    answer = yield Query(
        select(func.count()).select_from(table).where(_is_member(), table.c.expires_at > moment)
    )
    return int(answer.rows[0][0])


def _is_member() -> ColumnElement[bool]:
    return table.c.name.startswith(_MEMBER, autoescape=True)


def _ago(now: datetime) -> ColumnElement[Any]:
    return literal(now - _FORGOTTEN_AFTER, UtcDateTime())
