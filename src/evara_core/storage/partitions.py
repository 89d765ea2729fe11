"""Readings by the month on PostgreSQL, and how long they are kept on every database.

What belongs to no month that was made goes to the partition `readings_default`: nothing is
ever refused for want of a partition, and `make_partitions` moves it to where it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import literal_column, select, text

from evara_core.errors import ConfigurationError
from evara_core.storage.statements import Query
from evara_core.storage.tables import readings
from evara_core.storage.timescale import (
    Arrangement,
    arrangement,
    convert_to_hypertable,
    drop_chunks_before,
    found_in_database,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from evara_core.storage.statements import Statements

__all__ = [
    "DELETED_AT_ONCE",
    "Month",
    "detach_readings_before",
    "drop_readings_before",
    "make_partitions",
    "partitions",
]

DELETED_AT_ONCE = 10_000
"""On SQLite, readings deleted in one transaction: the turn to write is others' again soon."""

_LOCK = 0x65766172615F7061
"""The advisory lock of whoever makes or drops partitions: `evara_pa` in ASCII."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """Return the month that *moment* falls into."""
        there = moment.astimezone(UTC)
        return cls(there.year, there.month)

    @property
    def start_at(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def table(self) -> str:
        """The name of its partition."""
        return f"{readings.name}_y{self.year:04}m{self.month:02}"

    def later(self, months: int) -> Month:
        """Return the month that is so many months after this one."""
        years, month = divmod(self.month - 1 + months, 12)
        return Month(self.year + years, month + 1)


def partitions() -> Statements[list[Month]]:
    """End with the months that have a partition, the oldest first. PostgreSQL only."""
    answer = yield Query(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'readings'::regclass AND c.relname ~ '_y[0-9]{4}m[0-9]{2}$'"
        )
    )
    names = [row.relname[-7:] for row in answer.rows]
    return sorted(Month(int(name[:4]), int(name[5:])) for name in names)


def make_partitions(now: datetime, *, ahead: int = 3) -> Statements[list[Month]]:
    """Make partitions for the month of *now*, *ahead* more, and all that lie in the default one.

    End with those that were made. To be run once a day; nothing is done twice. PostgreSQL only.
    Where TimescaleDB keeps the readings it makes chunks itself, and none are made here.
    """
    yield Query(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    kept = arrangement((yield from found_in_database()))
    if kept is Arrangement.CONVERTIBLE and (yield from convert_to_hypertable()):
        kept = Arrangement.HYPERTABLE
    if kept is Arrangement.HYPERTABLE:
        return []
    there = yield from partitions()
    is_walled = yield from _is_walled()
    if is_walled:
        # Row-level security holds for its owner too, who could not see what to move.
        yield Query(text("ALTER TABLE readings_default NO FORCE ROW LEVEL SECURITY"))
    answer = yield Query(
        text(
            "SELECT DISTINCT date_trunc('month', measured_at, 'UTC') AS month FROM readings_default"
        )
    )
    wanted = {Month.of(now).later(months) for months in range(ahead + 1)}
    wanted |= {Month.of(row.month) for row in answer.rows}
    missing = sorted(wanted - set(there))
    if missing:
        # Writers wait here, and not at the default partition, where what they bring would be
        # refused once it belongs elsewhere. Readers go on.
        yield Query(text("LOCK TABLE ONLY readings IN SHARE ROW EXCLUSIVE MODE"))
    for month in missing:
        yield from _make(month)
    if is_walled:
        for name in ("readings_default", *(month.table for month in missing)):
            yield Query(text(f'ALTER TABLE "{name}" ENABLE ROW LEVEL SECURITY'))
            yield Query(text(f'ALTER TABLE "{name}" FORCE ROW LEVEL SECURITY'))
    return missing


def drop_readings_before(moment: datetime, *, dialect: str) -> Statements[int]:
    """Let go of old readings; rollups stay. To be run until it ends with 0.

    On PostgreSQL whole months (or chunks, of TimescaleDB) that end at *moment* or before are
    dropped, in no time and with nothing left to vacuum; the end is their number. On SQLite the
    oldest readings before *moment* are deleted, `DELETED_AT_ONCE` at most; the end is their
    number.
    """
    if dialect == "sqlite":
        row_id: ColumnElement[int] = literal_column("rowid")
        oldest = select(row_id).where(readings.c.measured_at < moment).limit(DELETED_AT_ONCE)
        answer = yield Query(readings.delete().where(row_id.in_(oldest)))
        return answer.rowcount
    yield Query(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if arrangement((yield from found_in_database())) is Arrangement.HYPERTABLE:
        return (yield from drop_chunks_before(moment))
    months = [m for m in (yield from partitions()) if m.later(1).start_at <= moment]
    for month in months:
        yield Query(text(f'ALTER TABLE readings DETACH PARTITION "{month.table}"'))
        yield Query(text(f'DROP TABLE "{month.table}"'))
    return len(months)


def detach_readings_before(moment: datetime) -> Statements[list[str]]:
    """Take whole months that end at *moment* or before out of `readings`, and keep each of them.

    End with the names of the tables that they are now, such as `archived_readings_y2025m01`, to
    be archived and dropped by somebody else. Nothing of the product reads them, and row-level
    security does not stand on them: only their owner may. Rollups stay. A month whose late
    readings were detached after it gets a table with a number behind its name.

    Raises:
        ConfigurationError: It is not PostgreSQL with native partitions.
    """
    kept = arrangement((yield from found_in_database()))
    if kept is Arrangement.HYPERTABLE:
        problem = "a hypertable has no months to detach: drop its chunks, or copy them first"
        raise ConfigurationError(problem)
    yield Query(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    made = []
    for month in (yield from partitions()):
        if month.later(1).start_at > moment:
            continue
        name, number = f"archived_{month.table}", 1
        while (yield Query(text("SELECT to_regclass(:name) AS found"), {"name": name})).rows[0][0]:
            number += 1
            name = f"archived_{month.table}_{number}"
        yield Query(text(f'ALTER TABLE readings DETACH PARTITION "{month.table}"'))
        yield Query(text(f'ALTER TABLE "{month.table}" RENAME TO "{name}"'))
        yield Query(text(f'REVOKE ALL ON TABLE "{name}" FROM PUBLIC'))
        made.append(name)
    return made


def _is_walled() -> Statements[bool]:
    """End with whether `storage.rls` has put readings behind row-level security."""
    answer = yield Query(
        text("SELECT relforcerowsecurity FROM pg_class WHERE oid = 'readings'::regclass")
    )
    return bool(answer.rows[0].relforcerowsecurity)


def _make(month: Month) -> Statements[None]:
    start, end = month.start_at.isoformat(), month.later(1).start_at.isoformat()
    yield Query(text(f'CREATE TABLE "{month.table}" (LIKE readings INCLUDING DEFAULTS)'))
    yield Query(
        text(
            "WITH moved AS (DELETE FROM readings_default"
            " WHERE measured_at >= :start AND measured_at < :end RETURNING *)"
            f' INSERT INTO "{month.table}" SELECT * FROM moved'
        ),
        {"start": month.start_at, "end": month.later(1).start_at},
    )
    yield Query(
        text(
            f'ALTER TABLE readings ATTACH PARTITION "{month.table}"'
            f" FOR VALUES FROM ('{start}') TO ('{end}')"
        )
    )
