"""Hours and days of readings, added up: made anew for the buckets that changed.

Whoever stores readings marks the buckets that they fall into, in the same transaction. Of the
bucket that a node is writing to at present nothing is rolled up: it is marked when the node
goes on to the next one. So a node that reports every minute costs one mark an hour, and late,
repeated and rewritten readings lead to the same rollups as readings that came in order.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, TextClause, bindparam, text

from evara_core.storage.buckets import Bucket, Period
from evara_core.storage.bulk import insert_rows
from evara_core.storage.statements import DriverQuery, Query
from evara_core.storage.tables import METRIC_COLUMNS, rollup_marks, rollups
from evara_core.storage.types import UtcDateTime, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.storage.statements import Question, Statements

__all__ = ["MARKS_AT_ONCE", "Mark", "mark", "roll_up", "sums_of"]

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
        rows = _as_arrays(ordered)
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


def sums_of(
    marks: Sequence[Mark], names: Sequence[str], *, dialect: str
) -> Statements[list[Row[Any]]]:
    """End with rows of those columns of `rollups`, and its key, as they would be now.

    A bucket without readings has none.
    """
    if not marks:
        return []
    sql = _sums(tuple(names), dialect)
    if dialect == "sqlite":
        rows: list[Row[Any]] = []
        for node_key, bucket in marks:
            answer = yield Query(
                sql,
                {"node_key": node_key, "period": bucket.period.value}
                | {"start_at": bucket.start_at, "end_at": bucket.end_at},
            )
            rows += answer.rows
        return rows
    answer = yield Query(sql, _as_arrays(marks))
    return list(answer.rows)


@cache
def _sums(names: tuple[str, ...], dialect: str) -> Any:  # noqa: ANN401 - a text with columns
    key = ", ".join(f"m.{name}" for name in _KEY)
    sums = ", ".join(f"{_SUMS[name]} AS {name}" for name in names)
    source = _marks(dialect, *(f":{name}" for name in _KEY))
    sql = text(
        f"SELECT {key}, {sums} FROM {source} JOIN readings AS r ON {_OF_THE_BUCKET} GROUP BY {key}"
    )
    columns = [rollups.c[name] for name in (*_KEY, *names)]
    if dialect == "sqlite":
        moments = (bindparam(name, type_=UtcDateTime()) for name in ("start_at", "end_at"))
        return sql.bindparams(*moments).columns(*columns)
    return sql.columns(*columns)


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
    return Query(text(sql), _as_arrays(marks))


def _as_arrays(marks: Sequence[Mark]) -> dict[str, list[Any]]:
    return {
        "node_key": [node_key for node_key, _ in marks],
        "period": [bucket.period.value for _, bucket in marks],
        "start_at": [bucket.start_at for _, bucket in marks],
        "end_at": [bucket.end_at for _, bucket in marks],
    }


def _marks(dialect: str, *places: str) -> str:
    """Return a source of rows `m`: all marks on PostgreSQL, the one at *places* on SQLite."""
    if dialect == "sqlite":
        one = ", ".join(
            f"{place} AS {name}" for place, name in zip(places or "????", _KEY, strict=True)
        )
        return f"(SELECT {one}) AS m"
    return (
        "unnest(CAST(:node_key AS integer[]), CAST(:period AS text[]),"
        " CAST(:start_at AS timestamptz[]), CAST(:end_at AS timestamptz[]))"
        " AS m (node_key, period, start_at, end_at)"
    )


_SUMS = {"readings": "count(*)"}
for _name in METRIC_COLUMNS:
    _SUMS[f"{_name}_n"] = f"nullif(count(r.{_name}), 0)"
    _SUMS |= {f"{_name}_{_what}": f"{_what}(r.{_name})" for _what in ("min", "max", "sum")}

_OF_THE_BUCKET = (
    "r.node_key = m.node_key AND r.measured_at >= m.start_at AND r.measured_at < m.end_at"
)


@cache
def _summing(dialect: str) -> str:
    key = ", ".join(f"m.{name}" for name in _KEY)
    replaced = ", ".join(f"{name} = excluded.{name}" for name in _SUMS)
    return (
        f"INSERT INTO rollups ({', '.join((*_KEY, *_SUMS))})"
        f" SELECT {key}, {', '.join(_SUMS.values())} FROM {_marks(dialect)}"
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
