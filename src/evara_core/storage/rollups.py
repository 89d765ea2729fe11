"""Hours and days of readings, added up: made anew for the buckets that changed.

Whoever stores readings marks the buckets that they fall into, in the same transaction. Of the
bucket that a node is writing to at present nothing is rolled up: it is marked when the node
goes on to the next one. So a node that reports every minute costs one mark an hour, and late,
repeated and rewritten readings lead to the same rollups as readings that came in order.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import TextClause, text

from evara_core.storage.buckets import Bucket, Period
from evara_core.storage.bulk import insert_rows
from evara_core.storage.statements import DriverQuery, Query
from evara_core.storage.tables import METRIC_COLUMNS, rollup_marks
from evara_core.storage.types import to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.storage.statements import Question, Statements

__all__ = ["MARKS_AT_ONCE", "Mark", "mark", "roll_up"]

Mark = tuple[int, Bucket]
"""A node key, and a bucket of that node."""

MARKS_AT_ONCE = 1_000
"""Of hours of a minute each, that is 60,000 readings: well under a second."""

# Whoever finds a mark already there holds it nevertheless. Otherwise it could be taken away
# between the reading of the bucket and the commit of what has just changed it.
_HOLD = "ON CONFLICT (node_key, period, start_at) DO UPDATE SET end_at = excluded.end_at"

_KEY = ("node_key", "period", "start_at", "end_at")


def mark(marks: Iterable[Mark], *, dialect: str) -> Statements[None]:
    """Let the rollups of *marks* be made anew."""
    ordered = sorted(set(marks))
    if ordered:
        rows: dict[str, list[Any]] = {
            "node_key": [node_key for node_key, _ in ordered],
            "period": [bucket.period.value for _, bucket in ordered],
            "start_at": [bucket.start_at for _, bucket in ordered],
            "end_at": [bucket.end_at for _, bucket in ordered],
        }
        yield insert_rows(rollup_marks, rows, dialect=dialect, conflict=_HOLD)


def roll_up(*, dialect: str, limit: int = MARKS_AT_ONCE) -> Statements[int]:
    """Make the rollups of the oldest marks anew; end with their number, 0 when none is left.

    Several may do so at once: each takes other marks.
    """
    # First taken away, then read: what is marked anew meanwhile stays marked.
    answer = yield Query(_take(dialect).bindparams(limit=limit))
    marks = [
        (row.node_key, Bucket(Period(row.period), row.start_at, row.end_at)) for row in answer.rows
    ]
    if marks:
        yield _per_bucket(_summing(dialect), marks, dialect=dialect)
        yield _per_bucket(_emptying(dialect), marks, dialect=dialect)
    return len(marks)


@cache
def _take(dialect: str) -> TextClause:
    skip = "FOR UPDATE SKIP LOCKED" if dialect == "postgresql" else ""
    names = ", ".join(_KEY)
    columns = [rollup_marks.c[name] for name in _KEY]
    return text(
        f"DELETE FROM rollup_marks WHERE (node_key, period, start_at) IN ("
        f" SELECT node_key, period, start_at FROM rollup_marks"
        f" ORDER BY start_at, node_key, period LIMIT :limit {skip}) RETURNING {names}"
    ).columns(*columns)  # type: ignore[return-value]


def _per_bucket(sql: str, marks: Sequence[Mark], *, dialect: str) -> Question:
    if dialect == "sqlite":
        return DriverQuery(
            sql,
            [
                (
                    node_key,
                    bucket.period.value,
                    to_microseconds(bucket.start_at),
                    to_microseconds(bucket.end_at),
                )
                for node_key, bucket in marks
            ],
        )
    return Query(
        text(sql),
        {
            "node_key": [node_key for node_key, _ in marks],
            "period": [bucket.period.value for _, bucket in marks],
            "start_at": [bucket.start_at for _, bucket in marks],
            "end_at": [bucket.end_at for _, bucket in marks],
        },
    )


def _marks(dialect: str) -> str:
    if dialect == "sqlite":
        return "(SELECT ? AS node_key, ? AS period, ? AS start_at, ? AS end_at) AS m"
    return (
        "unnest(CAST(:node_key AS integer[]), CAST(:period AS text[]),"
        " CAST(:start_at AS timestamptz[]), CAST(:end_at AS timestamptz[]))"
        " AS m (node_key, period, start_at, end_at)"
    )


_OF_THE_BUCKET = (
    "r.node_key = m.node_key AND r.measured_at >= m.start_at AND r.measured_at < m.end_at"
)


@cache
def _summing(dialect: str) -> str:
    sums = {"readings": "count(*)"}
    for name in METRIC_COLUMNS:
        sums[f"{name}_n"] = f"nullif(count(r.{name}), 0)"
        sums |= {f"{name}_{what}": f"{what}(r.{name})" for what in ("min", "max", "sum")}
    key = ", ".join(f"m.{name}" for name in _KEY)
    replaced = ", ".join(f"{name} = excluded.{name}" for name in sums)
    return (
        f"INSERT INTO rollups ({', '.join((*_KEY, *sums))})"
        f" SELECT {key}, {', '.join(sums.values())} FROM {_marks(dialect)}"
        f" JOIN readings AS r ON {_OF_THE_BUCKET} GROUP BY {key}"
        f" ON CONFLICT (node_key, period, start_at) DO UPDATE SET {replaced}"
    )


@cache
def _emptying(dialect: str) -> str:
    """Readings may be moved out of a bucket by rewriting: then it has no rollup."""
    return (
        "DELETE FROM rollups WHERE (node_key, period, start_at) IN ("
        f" SELECT m.node_key, m.period, m.start_at FROM {_marks(dialect)}"
        f" WHERE NOT EXISTS (SELECT 1 FROM readings AS r WHERE {_OF_THE_BUCKET}))"
    )
