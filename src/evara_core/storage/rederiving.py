"""The stored readings of a node, made anew by the mappings that now hold for them.

A lot of them is one transaction, which holds the node: nobody ingests for it meanwhile. Only
readings that change are written, and the hours and days that they fall into are marked, so
that the rollups follow. Doing it again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from evara_core.errors import InvalidMappingError
from evara_core.storage.mappings import held_node, mapping_versions
from evara_core.storage.packing import unpacked
from evara_core.storage.readings import rewrite
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes, readings
from evara_core.storage.units import AsyncUnit
from evara_core.storage.watched import node_from
from evara_core.telemetry.kinds import STANDARD_KINDS, KindRegistry
from evara_core.telemetry.rederivation import Rederivation, changed_metrics
from evara_core.telemetry.translate import EARLIEST, order_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements
    from evara_core.telemetry.models import Measured, Reading
    from evara_core.telemetry.quality import Trace

__all__ = ["LOT", "WARM_UP", "MetricChange", "RederiveReport", "rederive", "rederived_lot"]

LOT = 1_000
"""Readings of one transaction: a few hundredths of a second, in which its node's ingest waits."""

WARM_UP = 2_000
"""Readings before the first one that is made anew, for the memory of the checks: more than a
day of one a minute."""


@dataclass(slots=True)
class MetricChange:
    """How the values of one metric change."""

    readings: int
    first_at: datetime
    """When the first one that changes was measured, and what it was and becomes."""

    before: Measured | None
    after: Measured | None


@dataclass(slots=True, kw_only=True)
class RederiveReport:
    """What was made anew, or would be."""

    is_dry_run: bool
    readings: int = 0
    """Readings that were looked at."""

    changed: int = 0
    left: int = 0
    """Readings that stay as they are because no mapping speaks of their channel any more."""

    metrics: dict[str, MetricChange] = field(default_factory=dict)
    """By metric, what changes."""


async def rederive(
    engine: AsyncEngine,
    node_id: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    is_dry_run: bool = False,
    kinds: KindRegistry = STANDARD_KINDS,
    zone: tzinfo = UTC,
    on_lot: Callable[[RederiveReport, datetime], None] | None = None,
) -> RederiveReport:
    """Make the readings of a node anew that were measured in start <= moment < end.

    The newest values that the node shows, and alerts, stay as they were told.

    Args:
        engine: Where they are stored.
        node_id: Whose they are.
        start: None: from the first one on.
        end: None: to the last one.
        is_dry_run: Whether to write nothing, and only tell what would change.
        kinds: What nodes can be.
        zone: Where a day begins, as `SqlIngestStore` was told.
        on_lot: Called after each lot with what there is so far and the last moment of it.

    Raises:
        NotFoundError: The node is not known.
        InvalidMappingError: It has no mapping, or its newest one makes no sense.
        StorageUnavailableError: The database is away. Whole lots were made anew, or none.
    """
    report = RederiveReport(is_dry_run=is_dry_run)
    place: tuple[datetime, int] | None = None
    traces: Mapping[str, Trace] | None = None
    begin = EARLIEST if start is None else start
    while True:
        async with AsyncUnit(engine, reads_only=is_dry_run) as unit:
            lot, traces = await unit.run(
                rederived_lot(
                    node_id, begin, place, end, traces, report,
                    kinds=kinds, zone=zone, dialect=engine.dialect.name,
                )
            )  # fmt: skip
        if not lot:
            return report
        place = order_of(lot[-1])
        if on_lot is not None:
            on_lot(report, place[0])


def rederived_lot(
    node_id: str,
    start: datetime,
    after: tuple[datetime, int] | None,
    end: datetime | None,
    traces: Mapping[str, Trace] | None,
    report: RederiveReport,
    *,
    kinds: KindRegistry,
    zone: tzinfo,
    dialect: str,
) -> Statements[tuple[Sequence[Reading], Mapping[str, Trace]]]:
    """Make the next lot anew, and count it in *report*; end with what it was made from.

    *after* is the last reading of the lot before, and *traces* what its checks remember; both
    None: it is the first.
    """
    row = yield from held_node(node_id, is_locked=not report.is_dry_run)
    versions = yield from mapping_versions(node_id)
    if not versions:
        raise InvalidMappingError(f"node {node_id!r} has no mapping")
    rederivation = Rederivation.of(node_from(row), versions, kinds=kinds)
    if traces is None:
        earlier = yield from _before(row.node_key, start)
        _, traces = rederivation.again(earlier, {})
    found = yield from _after(row.node_key, start, after, end)
    again, traces = rederivation.again(found, traces)
    changed = []
    for old, new in zip(found, again, strict=True):
        if old.mapping_revision not in rederivation.was:
            report.left += 1
        elif names := changed_metrics(old, new):
            changed.append(new)
            _count(report, old, new, names)
    report.readings += len(found)
    report.changed += len(changed)
    if not report.is_dry_run:
        yield from rewrite(changed, dialect=dialect, zone=zone)
    return found, traces


def _count(report: RederiveReport, old: Reading, new: Reading, names: Sequence[str]) -> None:
    for name in names:
        change = report.metrics.get(name)
        if change is None:
            report.metrics[name] = MetricChange(
                1, old.measured_at, old.values.get(name), new.values.get(name)
            )
        else:
            change.readings += 1


def _before(node_key: int, start: datetime) -> Statements[list[Reading]]:
    answer = yield Query(
        select(readings, nodes.c.node_id)
        .join_from(readings, nodes, nodes.c.node_key == readings.c.node_key)
        .where(readings.c.node_key == node_key, readings.c.measured_at < start)
        .order_by(readings.c.measured_at.desc(), readings.c.entry_id.desc())
        .limit(WARM_UP)
    )
    return [unpacked(row) for row in reversed(answer.rows)]


def _after(
    node_key: int, start: datetime, after: tuple[datetime, int] | None, end: datetime | None
) -> Statements[list[Reading]]:
    columns = readings.c
    statement = select(readings, nodes.c.node_id).join_from(
        readings, nodes, nodes.c.node_key == columns.node_key
    )
    begin = start if after is None else after[0]
    statement = statement.where(columns.node_key == node_key, columns.measured_at >= begin)
    if after is not None:
        moment, entry_id = after
        same = and_(columns.measured_at == moment, columns.entry_id > entry_id)
        statement = statement.where(or_(columns.measured_at > moment, same))
    if end is not None:
        statement = statement.where(columns.measured_at < end)
    answer = yield Query(statement.order_by(columns.measured_at, columns.entry_id).limit(LOT))
    return [unpacked(row) for row in answer.rows]
