"""What those who listen may hear by now: for `realtime.rights.RightsWatch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from evara_core.access.principal import Principal
from evara_core.access.tenancy import topics_of
from evara_core.storage.bulk import among
from evara_core.storage.statements import Query
from evara_core.storage.tables.tenants import users
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.realtime.rights import LookUpTopics
    from evara_core.storage.statements import Statements

__all__ = ["active_principals", "topics_by_user"]


def topics_by_user(engine: AsyncEngine, *, may_listen: Callable[[Principal], bool]) -> LookUpTopics:
    """Return how to look up the topics of users, as their rows say now.

    Args:
        engine: Of the reference schema.
        may_listen: Whether somebody may listen at all, such as
            ``lambda who: policy.decide(who, "stream:read").allowed``.
    """

    async def look_up(user_ids: Collection[str]) -> Mapping[str, Collection[str]]:
        dialect = engine.dialect.name
        async with AsyncUnit(engine, reads_only=True) as unit:
            found = await unit.run(active_principals(user_ids, dialect=dialect))
        return {who.user_id: topics_of(who) for who in found if may_listen(who)}

    return look_up


def active_principals(user_ids: Collection[str], *, dialect: str) -> Statements[list[Principal]]:
    """End with the active users among *user_ids*, as their rows say."""
    columns = users.c
    answer = yield Query(
        select(
            columns.user_id,
            columns.role,
            columns.distributor_id,
            columns.community_id,
            columns.customer_id,
        ).where(among(columns.user_id, sorted(user_ids), dialect=dialect), columns.is_active)
    )
    return [Principal(**row._mapping) for row in answer.rows]  # noqa: SLF001 - public in SQLAlchemy
