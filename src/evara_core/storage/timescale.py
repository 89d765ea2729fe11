"""Readings as a hypertable, where the database has TimescaleDB. Nothing here needs it.

Native partitions by the month do all that this schema asks for. Where the extension is there
when the database is made, its chunks take their place: `storage.partitions` asks `arrangement`
which of the two a database has. A table with readings in it is never converted by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import text

from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.storage.statements import Statements

__all__ = [
    "CONVERSION",
    "Arrangement",
    "Found",
    "arrangement",
    "convert_to_hypertable",
    "drop_chunks_before",
    "found_in_database",
]


class Arrangement(StrEnum):
    """How the readings of a database are kept."""

    MONTHS = "months"
    """Native partitions, by the month."""

    HYPERTABLE = "hypertable"
    CONVERTIBLE = "convertible"
    """Native partitions without a reading, and TimescaleDB is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a PostgreSQL database has."""

    has_extension: bool
    is_partitioned: bool
    """`readings` has native partitions."""

    is_empty: bool


def arrangement(found: Found) -> Arrangement:
    """Return how the readings of such a database are kept."""
    if not found.has_extension:
        return Arrangement.MONTHS
    if not found.is_partitioned:
        return Arrangement.HYPERTABLE
    return Arrangement.CONVERTIBLE if found.is_empty else Arrangement.MONTHS


CONVERSION = (
    "ALTER TABLE readings RENAME TO readings_by_month",
    "CREATE TABLE readings (LIKE readings_by_month INCLUDING DEFAULTS)",
    "DROP TABLE readings_by_month",
    "ALTER TABLE readings ADD CONSTRAINT pk_readings PRIMARY KEY (node_key, measured_at, entry_id)",
    "CREATE INDEX ix_readings_measured_at ON readings USING brin (measured_at)",
    (
        "SELECT create_hypertable('readings', 'measured_at',"
        " chunk_time_interval => INTERVAL '1 month', create_default_indexes => FALSE)"
    ),
)
"""The statements that make a hypertable of `readings`, which must be empty."""

_FOUND = """
SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'timescaledb') AS has_extension,
       (SELECT relkind = 'p' FROM pg_class WHERE oid = 'readings'::regclass) AS is_partitioned,
       NOT EXISTS (SELECT 1 FROM readings) AS is_empty
"""

_DROP = "SELECT drop_chunks('readings', older_than => CAST(:moment AS timestamptz))"


def found_in_database() -> Statements[Found]:
    """End with what there is. PostgreSQL only."""
    answer = yield Query(text(_FOUND))
    row = answer.rows[0]
    return Found(
        has_extension=row.has_extension,
        is_partitioned=row.is_partitioned,
        is_empty=row.is_empty,
    )


def convert_to_hypertable() -> Statements[bool]:
    """Make a hypertable of `readings`; False: somebody has put readings in meanwhile."""
    yield Query(text("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE"))
    if arrangement((yield from found_in_database())) is not Arrangement.CONVERTIBLE:
        return False
    for statement in CONVERSION:
        yield Query(text(statement))
    return True


def drop_chunks_before(moment: datetime) -> Statements[int]:
    """Let go of the chunks that end at *moment* or before; end with their number."""
    answer = yield Query(text(_DROP), {"moment": moment})
    return len(answer.rows)
