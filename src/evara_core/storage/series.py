"""Readings over time, as charts want them: raw, in buckets, or by the hour and day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Interval,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)

from evara_core.errors import InvalidInputError
from evara_core.storage.buckets import Bucket, Period, bucket_of
from evara_core.storage.rollups import sums_of
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    METRIC_COLUMNS,
    node_operational_state,
    nodes,
    readings,
    rollup_marks,
    rollups,
)
from evara_core.storage.types import UtcDateTime, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, tzinfo

    from sqlalchemy import Row

    from evara_core.storage.statements import Statements

__all__ = ["MAX_BUCKETS", "Series", "Summary", "by_period", "downsampled", "raw_series"]

MAX_BUCKETS = 10_000
"""In one answer: several for each pixel of the widest screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values over time, as columns of one length, oldest first."""

    times: Sequence[datetime]
    values: Mapping[str, Sequence[float | None]]
    """By metric. None where the reading had no usable value: none was sent, or it was bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one metric was in a piece of time."""

    start_at: datetime
    end_at: datetime
    count: int
    """Usable values. A piece without any is left out of every answer: it is a gap."""

    minimum: float
    maximum: float
    mean: float


def raw_series(
    node_id: str, metrics: Sequence[str], start: datetime, end: datetime, *, limit: int
) -> Statements[Series]:
    """End with the values of readings where start <= measured_at < end, at most *limit*."""
    own = [name for name in metrics if name in METRIC_COLUMNS]
    others = [name for name in metrics if name not in METRIC_COLUMNS]
    columns: list[ColumnElement[Any]] = [readings.c[name] for name in own]
    if others:
        columns.append(readings.c.extra)
    answer = yield Query(
        select(readings.c.measured_at, *columns)
        .where(*_within(node_id, start, end))
        .order_by(readings.c.measured_at, readings.c.entry_id)
        .limit(limit)
    )
    rows: Sequence[Any] = answer.rows
    values: dict[str, Sequence[float | None]] = {
        name: [row[place] for row in rows] for place, name in enumerate(own, start=1)
    }
    for name in others:
        values[name] = [((row[-1] or {}).get("metrics") or {}).get(name) for row in rows]
    return Series(times=[row[0] for row in rows], values=values)


def downsampled(
    node_id: str, metric: str, start: datetime, end: datetime, *, width: timedelta, dialect: str
) -> Statements[list[Summary]]:
    """End with smallest, largest and mean of each piece of *width*, counted from *start*.

    From the readings themselves, so for hours and days at most: `by_period` for longer.

    Raises:
        InvalidInputError: That would be more than `MAX_BUCKETS`, or the metric has no column.
    """
    column = _column(metric)
    if width <= timedelta(0) or (end - start) / width > MAX_BUCKETS:
        problem = f"at most {MAX_BUCKETS} pieces of time fit one answer"
        raise InvalidInputError(problem)
    piece = _piece(start, width, dialect)
    answer = yield Query(
        select(
            piece.label("start_at"),
            func.count(column),
            func.min(column),
            func.max(column),
            func.avg(column),
        )
        .where(*_within(node_id, start, end), column.is_not(None))
        .group_by(piece)
        .order_by(piece)
    )
    rows: Sequence[Any] = answer.rows
    return [
        Summary(
            start_at=start_at,
            end_at=min(start_at + width, end),
            count=count,
            minimum=minimum,
            maximum=maximum,
            mean=mean,
        )
        for start_at, count, minimum, maximum, mean in rows
    ]


def by_period(
    node_id: str,
    metric: str,
    start: datetime,
    end: datetime,
    *,
    period: Period,
    dialect: str,
    zone: tzinfo = UTC,
) -> Statements[list[Summary]]:
    """End with smallest, largest and mean of each hour or day that begins in start..end.

    From the rollups, and from the readings where those are not up to date: the bucket that is
    being written to, and those that are marked. So the answer is never behind.

    Raises:
        InvalidInputError: The metric has no column.
    """
    _column(metric)
    names = (f"{metric}_n", f"{metric}_min", f"{metric}_max", f"{metric}_sum")
    key = yield from _node(node_id)
    if key is None:
        return []
    node_key, last_reading_at = key
    bounds = (rollups.c.node_key == node_key, rollups.c.period == period.value)
    found = yield Query(
        select(rollups.c.start_at, rollups.c.end_at, *(rollups.c[name] for name in names)).where(
            *bounds, rollups.c.start_at >= start, rollups.c.start_at < end
        )
    )
    summaries = {row.start_at: row for row in found.rows}
    marked = yield Query(
        select(rollup_marks.c.start_at, rollup_marks.c.end_at).where(
            rollup_marks.c.node_key == node_key,
            rollup_marks.c.period == period.value,
            rollup_marks.c.start_at >= start,
            rollup_marks.c.start_at < end,
        )
    )
    stale = {Bucket(period, row.start_at, row.end_at) for row in marked.rows}
    if last_reading_at is not None:
        writing = bucket_of(last_reading_at, period, zone)
        if start <= writing.start_at < end:
            stale.add(writing)
    for bucket in stale:
        summaries.pop(bucket.start_at, None)
    fresh = yield from sums_of(
        [(node_key, bucket) for bucket in sorted(stale)], names, dialect=dialect
    )
    summaries |= {row.start_at: row for row in fresh}
    ordered = (summaries[start_at] for start_at in sorted(summaries))
    return [_summary(row, *names) for row in ordered if row._mapping[names[0]]]  # noqa: SLF001 - public


def _summary(row: Row[Any], n: str, smallest: str, largest: str, total: str) -> Summary:
    fields = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return Summary(
        start_at=fields["start_at"],
        end_at=fields["end_at"],
        count=fields[n],
        minimum=fields[smallest],
        maximum=fields[largest],
        mean=fields[total] / fields[n],
    )


def _node(node_id: str) -> Statements[tuple[int, datetime | None] | None]:
    state = node_operational_state.c
    answer = yield Query(
        select(nodes.c.node_key, state.last_reading_at)
        .join_from(nodes, node_operational_state)
        .where(nodes.c.node_id == node_id)
    )
    for row in answer.rows:
        return row.node_key, row.last_reading_at
    return None


def _column(metric: str) -> ColumnElement[float]:
    if metric not in METRIC_COLUMNS:
        problem = f"{metric!r} has no column to be added up by"
        raise InvalidInputError(problem)
    return readings.c[metric]


def _within(node_id: str, start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    key = select(nodes.c.node_key).where(nodes.c.node_id == node_id).scalar_subquery()
    return (
        readings.c.node_key == key,
        readings.c.measured_at >= start,
        readings.c.measured_at < end,
    )


def _piece(start: datetime, width: timedelta, dialect: str) -> ColumnElement[datetime]:
    """Return the expression for the beginning of the piece that a reading falls into."""
    if dialect == "sqlite":
        origin, length = to_microseconds(start), width // timedelta(microseconds=1)
        since = f"(readings.measured_at - {origin}) % {length}"
        return literal_column(f"readings.measured_at - {since}", UtcDateTime())
    binned = func.date_bin(
        literal(width, Interval), readings.c.measured_at, literal(start, UtcDateTime())
    )
    return type_coerce(binned, UtcDateTime())
