"""Readings: appended once, and read back."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, literal_column, select, true
from typing_extensions import override

from evara_core.errors import NotFoundError
from evara_core.storage.buckets import Period, buckets_of
from evara_core.storage.bulk import among, insert_rows
from evara_core.storage.packing import packed, unpacked
from evara_core.storage.rollups import Mark, mark
from evara_core.storage.statements import COPY_FROM_ROWS, NONE_TAKEN, CopyRows, Query
from evara_core.storage.tables import METRIC_COLUMNS, nodes, readings
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.ports import ReadingStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, tzinfo

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements
    from evara_core.telemetry.models import Reading

__all__ = [
    "SqlReadingStore",
    "append",
    "between",
    "insert_readings",
    "latest",
    "node_keys",
    "rewrite",
]


_REPLACED = ("received_at", *METRIC_COLUMNS, "extra", "flags", "mapping_revision")
_REPLACE = "ON CONFLICT (node_key, measured_at, entry_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _REPLACED
)


class SqlReadingStore(ReadingStore):
    """The reference schema as a store of readings. Each call is one transaction."""

    def __init__(self, engine: AsyncEngine, *, zone: tzinfo = UTC) -> None:
        """Begin days of rollups at midnight in *zone*, which must not change later."""
        self._engine = engine
        self._dialect = engine.dialect.name
        self._zone = zone

    @override
    async def append(self, readings: Sequence[Reading]) -> int:
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(append(readings, dialect=self._dialect, zone=self._zone))

    @override
    async def latest(self, node_ids: Sequence[str]) -> Mapping[str, Reading]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(latest(node_ids, dialect=self._dialect))

    @override
    async def between(
        self, node_id: str, start: datetime, end: datetime, *, limit: int
    ) -> Sequence[Reading]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(between(node_id, start, end, limit=limit))


def append(readings: Sequence[Reading], *, dialect: str, zone: tzinfo = UTC) -> Statements[int]:
    """Store those of *readings* that are not there yet; end with their number.

    Raises:
        NotFoundError: A node is not known.
    """
    if not readings:
        return 0
    keys = yield from _known_keys(readings, dialect=dialect)
    yield from mark(_marks(readings, keys, zone), dialect=dialect)
    return (yield from insert_readings(readings, keys, dialect=dialect))


def rewrite(new: Sequence[Reading], *, dialect: str, zone: tzinfo = UTC) -> Statements[None]:
    """Store *new*, each in place of the reading with its identity, if there is one.

    For history that is derived again, or that its channel has rewritten. Node states and
    alerts are left alone.

    Raises:
        NotFoundError: A node is not known.
    """
    if not new:
        return
    keys = yield from _known_keys(new, dialect=dialect)
    newest = {(one.node_id, one.measured_at, one.entry_id): one for one in new}
    columns = packed(list(newest.values()), keys)
    columns |= {name: [None] * len(newest) for name in _REPLACED if name not in columns}
    yield from mark(_marks(new, keys, zone), dialect=dialect)
    yield insert_rows(readings, columns, dialect=dialect, conflict=_REPLACE)


def _known_keys(new: Sequence[Reading], *, dialect: str) -> Statements[dict[str, int]]:
    wanted = {reading.node_id for reading in new}
    keys = yield from node_keys(sorted(wanted), dialect=dialect)
    if wanted - keys.keys():
        raise NotFoundError("node")
    return keys


def _marks(readings: Sequence[Reading], keys: Mapping[str, int], zone: tzinfo) -> set[Mark]:
    by_node: dict[int, list[datetime]] = {}
    for reading in readings:
        by_node.setdefault(keys[reading.node_id], []).append(reading.measured_at)
    return {
        (node_key, bucket)
        for node_key, moments in by_node.items()
        for period in Period
        for bucket in buckets_of(moments, period, zone)
    }


def insert_readings(
    new: Sequence[Reading],
    keys: Mapping[str, int],
    *,
    dialect: str,
    fresh: Sequence[Reading] = (),
) -> Statements[int]:
    """Store those of *new* and *fresh* that are not there yet; end with their number.

    Args:
        new: In any order.
        keys: Node id → node key, of every node that readings are of.
        dialect: Of the database.
        fresh: Newer than all that is known of their nodes. They are probably not there, and
            PostgreSQL takes many of them a faster way.
    """
    stored = NONE_TAKEN
    if dialect == "postgresql" and len(fresh) >= COPY_FROM_ROWS:
        columns = packed(fresh, keys)
        rows = list(zip(*columns.values(), strict=True))
        answer = yield CopyRows(readings.name, list(columns), rows)
        stored = answer.rowcount
    if stored == NONE_TAKEN:
        stored, new = 0, [*fresh, *new]
    if new:
        answer = yield insert_rows(
            readings, packed(new, keys), dialect=dialect, conflict="ON CONFLICT DO NOTHING"
        )
        stored += answer.rowcount
    return stored


def node_keys(node_ids: Sequence[str], *, dialect: str) -> Statements[dict[str, int]]:
    """End with the node key of each of *node_ids* that is known."""
    wanted = among(nodes.c.node_id, node_ids, dialect=dialect)
    answer = yield Query(select(nodes.c.node_id, nodes.c.node_key).where(wanted))
    return {row.node_id: row.node_key for row in answer.rows}


def latest(node_ids: Sequence[str], *, dialect: str) -> Statements[dict[str, Reading]]:
    """End with the newest reading of each node that has any: one statement for all."""
    if not node_ids:
        return {}
    answer = yield Query(_latest(dialect).where(among(nodes.c.node_id, node_ids, dialect=dialect)))
    return {row.node_id: unpacked(row) for row in answer.rows}


def between(
    node_id: str, start: datetime, end: datetime, *, limit: int
) -> Statements[list[Reading]]:
    """End with readings where start <= measured_at < end, oldest first, at most *limit*."""
    key = select(nodes.c.node_key).where(nodes.c.node_id == node_id).scalar_subquery()
    answer = yield Query(
        select(readings, nodes.c.node_id)
        .join_from(readings, nodes, nodes.c.node_key == readings.c.node_key)
        .where(
            readings.c.node_key == key,
            readings.c.measured_at >= start,
            readings.c.measured_at < end,
        )
        .order_by(readings.c.measured_at, readings.c.entry_id)
        .limit(limit)
    )
    return [unpacked(row) for row in answer.rows]


def _latest(dialect: str) -> Select[Any]:
    newest = readings.alias("newest")
    ordered = (
        select(newest)
        .where(newest.c.node_key == nodes.c.node_key)
        .order_by(newest.c.measured_at.desc(), newest.c.entry_id.desc())
        .limit(1)
        .correlate(nodes)
    )
    if dialect == "sqlite":
        row_id: Select[Any] = ordered.with_only_columns(literal_column("newest.rowid"))
        joined = literal_column("readings.rowid") == row_id.scalar_subquery()
        return select(readings, nodes.c.node_id).join_from(nodes, readings, joined)
    one = ordered.lateral("one")
    return select(one, nodes.c.node_id).join_from(nodes, one, true())
