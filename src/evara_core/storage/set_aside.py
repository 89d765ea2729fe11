"""What could not be understood or stored, as people look at it, try it again, or let it be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, or_, select

from evara_core.errors import NotFoundError
from evara_core.monitor.replay import Kept, ReplayReport, replay
from evara_core.query.ast import ALWAYS, Compare, Comparison, SortKey
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec
from evara_core.storage.bulk import among
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.lists import ListSource
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes, set_aside
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.models import SetAside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.monitor.replay import Backfill
    from evara_core.query.ast import Condition
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = [
    "MAX_AT_ONCE",
    "OPEN",
    "SET_ASIDE_COLUMNS",
    "SET_ASIDE_SPEC",
    "dismiss",
    "kept",
    "mark_replayed",
    "prune_set_aside",
    "replay_set_aside",
    "set_aside_list",
    "set_aside_record",
    "set_aside_records",
]

MAX_AT_ONCE = 1_000
"""Rows that are shown, replayed or dismissed by one call. Each may hold 4 KB of text."""

_c = set_aside.c
_is_open = and_(_c.replayed_at.is_(None), _c.dismissed_at.is_(None))

SET_ASIDE_COLUMNS: Columns = {
    "id": _c.set_aside_id,
    "node_id": _c.node_id,
    "distributor_id": nodes.c.distributor_id,
    "community_id": nodes.c.community_id,
    "customer_id": nodes.c.customer_id,
    "received_at": _c.received_at,
    "source": _c.source,
    "reason": _c.reason,
    "body": _c.body,
    "status": case(
        (_c.replayed_at.is_not(None), "replayed"),
        (_c.dismissed_at.is_not(None), "dismissed"),
        else_="open",
    ),
    "replayed_at": _c.replayed_at,
    "dismissed_at": _c.dismissed_at,
    "dismissed_by": _c.dismissed_by,
}
"""Public names of a row's columns. The tenancy is that of its node, and nobody's once the node
is gone: then only who may see everything sees it."""

SET_ASIDE_SPEC: Final = ListSpec(
    name="failures",
    fields=(
        Field(name="id", type=FieldType.INTEGER, sortable=True, is_nullable=False),
        Field(name="node_id", operators=EQUALITY, is_nullable=False),
        Field(name="received_at", type=FieldType.MOMENT, operators=ORDERING, sortable=True),
        Field(name="source", is_nullable=False),
        Field(name="reason", searchable=True, is_nullable=False),
        Field(name="body", is_nullable=False),
        Field(name="status", operators=EQUALITY, choices=("open", "replayed", "dismissed")),
        Field(name="replayed_at", type=FieldType.MOMENT),
        Field(name="dismissed_at", type=FieldType.MOMENT),
        Field(name="dismissed_by"),
    ),
    default_sort=(SortKey("received_at", descending=True),),
)
"""What clients may ask of `set_aside_list()`: within a scope over its columns."""

OPEN: Condition = Compare("status", Comparison.EQ, "open")
"""What the rows fulfil that nobody has replayed or dismissed."""


def set_aside_list() -> ListSource:
    """Return the list of rows, over `SET_ASIDE_COLUMNS`: one statement for each page."""
    return ListSource(_selected(), SET_ASIDE_COLUMNS)


def set_aside_record(set_aside_id: int, *, scope: Condition) -> Statements[dict[str, Any]]:
    """End with one row by the names of `SET_ASIDE_COLUMNS`.

    Raises:
        NotFoundError: There is none in *scope*, which is a condition over the same names.
    """
    criteria = compile_criteria(scope, SET_ASIDE_COLUMNS)
    answer = yield Query(_selected().where(_c.set_aside_id == set_aside_id, criteria))
    for row in answer.rows:
        return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    raise NotFoundError("row that was set aside")


def set_aside_records(
    ids: Sequence[int], *, scope: Condition, dialect: str
) -> Statements[list[dict[str, Any]]]:
    """End with those of *ids* that are in *scope*, by the names of `SET_ASIDE_COLUMNS`."""
    if not ids:
        return []
    criteria = compile_criteria(scope, SET_ASIDE_COLUMNS)
    these = among(_c.set_aside_id, list(ids), dialect=dialect)
    answer = yield Query(_selected().where(these, criteria).order_by(_c.set_aside_id))
    return [dict(row._mapping) for row in answer.rows]  # noqa: SLF001 - SQLAlchemy's public name


def kept(
    *,
    node_id: str | None = None,
    ids: Sequence[int] | None = None,
    before_id: int | None = None,
    is_open: bool = True,
    scope: Condition = ALWAYS,
    limit: int = MAX_AT_ONCE,
    dialect: str,
) -> Statements[list[Kept]]:
    """End with rows, the newest first, at most *limit*.

    Args:
        node_id: Of this node only.
        ids: Of these only.
        before_id: Those that came before this one: the next page.
        is_open: Only those that nobody has replayed or dismissed.
        scope: A condition over `SET_ASIDE_COLUMNS`.
        limit: How many.
        dialect: Of the database.
    """
    statement = (
        select(_c.set_aside_id, _c.node_id, _c.received_at, _c.source, _c.reason, _c.body)
        .join_from(set_aside, nodes, nodes.c.node_id == _c.node_id, isouter=True)
        .where(compile_criteria(scope, SET_ASIDE_COLUMNS))
    )
    if is_open:
        statement = statement.where(_is_open)
    if node_id is not None:
        statement = statement.where(_c.node_id == node_id)
    if ids is not None:
        statement = statement.where(among(_c.set_aside_id, list(ids), dialect=dialect))
    if before_id is not None:
        statement = statement.where(_c.set_aside_id < before_id)
    answer = yield Query(statement.order_by(_c.set_aside_id.desc()).limit(min(limit, MAX_AT_ONCE)))
    return [
        Kept(
            set_aside_id=row.set_aside_id,
            aside=SetAside(
                node_id=row.node_id,
                received_at=row.received_at,
                source=row.source,
                reason=row.reason,
                body=row.body,
            ),
        )
        for row in answer.rows
    ]


def mark_replayed(ids: Sequence[int], *, at: datetime, dialect: str) -> Statements[int]:
    """Remember that these were taken after all; end with how many were open."""
    return (yield from _settle(ids, {"replayed_at": at}, dialect=dialect))


def dismiss(
    ids: Sequence[int],
    *,
    at: datetime,
    by: str | None = None,
    scope: Condition = ALWAYS,
    dialect: str,
) -> Statements[int]:
    """Let these be; end with how many were open. They stay, until they are pruned.

    Rows outside *scope*, a condition over `SET_ASIDE_COLUMNS`, are not there for the caller.
    """
    found = yield from kept(ids=ids, scope=scope, dialect=dialect)
    mine = [row.set_aside_id for row in found]
    settled = {"dismissed_at": at, "dismissed_by": by}
    return (yield from _settle(mine, settled, dialect=dialect))


async def replay_set_aside(
    engine: AsyncEngine,
    backfill: Backfill,
    *,
    clock: Clock,
    node_id: str | None = None,
    ids: Sequence[int] | None = None,
    scope: Condition = ALWAYS,
) -> ReplayReport:
    """Try rows again that are open, and remember which were taken.

    What is refused again stays open. What was stored meanwhile counts as a duplicate, so that
    a replay which was interrupted may be repeated.

    Args:
        engine: Where they are kept.
        backfill: `Monitor.backfill`: the way of all readings.
        clock: Our time.
        node_id: Of this node only.
        ids: Of these only.
        scope: What the caller may see, over `SET_ASIDE_COLUMNS`.

    Raises:
        StorageUnavailableError: What was taken so far is stored.
    """
    dialect = engine.dialect.name
    total = ReplayReport()
    before_id: int | None = None
    while True:
        async with AsyncUnit(engine, reads_only=True) as unit:
            rows = await unit.run(
                kept(node_id=node_id, ids=ids, before_id=before_id, scope=scope, dialect=dialect)
            )
        if not rows:
            return total
        before_id = rows[-1].set_aside_id
        report = await replay(rows, backfill, now=clock.now())
        async with AsyncUnit(engine) as unit:
            await unit.run(mark_replayed(report.taken, at=clock.now(), dialect=dialect))
        total = total.plus(report)


def prune_set_aside(
    *, now: datetime, settled_for: timedelta, open_for: timedelta, dialect: str
) -> Statements[int]:
    """Delete rows that are old enough, at most `MAX_AT_ONCE`; end with their number.

    Args:
        now: Our time.
        settled_for: How long after it came a row stays that was replayed or dismissed.
        open_for: How long one stays that nobody has looked at.
        dialect: Of the database.
    """
    too_old = and_(
        # Said apart, so that an index finds them.
        _c.received_at < now - min(open_for, settled_for),
        or_(
            _c.received_at < now - open_for,
            and_(_c.received_at < now - settled_for, ~_is_open),
        ),
    )
    found = yield Query(
        select(_c.set_aside_id).where(too_old).order_by(_c.received_at).limit(MAX_AT_ONCE)
    )
    oldest = [row.set_aside_id for row in found.rows]
    if oldest:
        yield Query(set_aside.delete().where(among(_c.set_aside_id, oldest, dialect=dialect)))
    return len(oldest)


def _settle(ids: Sequence[int], values: dict[str, Any], *, dialect: str) -> Statements[int]:
    if not ids:
        return 0
    these = among(_c.set_aside_id, list(ids), dialect=dialect)
    answer = yield Query(set_aside.update().where(these, _is_open).values(**values))
    return answer.rowcount


def _selected() -> Select[Any]:
    columns = [column.label(name) for name, column in SET_ASIDE_COLUMNS.items()]
    return (
        select(set_aside)
        .with_only_columns(*columns)
        .join_from(set_aside, nodes, nodes.c.node_id == _c.node_id, isouter=True)
    )
