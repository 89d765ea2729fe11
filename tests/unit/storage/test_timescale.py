"""What is done where TimescaleDB is there. It cannot run here: what is asked of it is checked."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from evara_core.storage.engine import engine_for
from evara_core.storage.migrate import difference, migrate
from evara_core.storage.partitions import drop_readings_before, make_partitions
from evara_core.storage.statements import Answer, Query
from evara_core.storage.timescale import (
    CONVERSION,
    Arrangement,
    Found,
    arrangement,
    convert_to_hypertable,
    found_in_database,
)
from evara_core.storage.units import AsyncUnit

NOW = datetime(2026, 5, 5, tzinfo=UTC)
STUBS = """
CREATE FUNCTION create_hypertable(
    relation regclass, time_column_name name, chunk_time_interval interval,
    create_default_indexes boolean
) RETURNS int LANGUAGE sql AS 'SELECT 1'
"""


@pytest.mark.parametrize(
    ("has_extension", "is_partitioned", "is_empty", "kept"),
    [
        (False, True, True, Arrangement.MONTHS),
        (False, True, False, Arrangement.MONTHS),
        (True, True, True, Arrangement.CONVERTIBLE),
        (True, True, False, Arrangement.MONTHS),
        (True, False, True, Arrangement.HYPERTABLE),
        (True, False, False, Arrangement.HYPERTABLE),
    ],
)
def test_how_readings_are_kept_follows_from_what_is_there(
    has_extension, is_partitioned, is_empty, kept
):
    found = Found(has_extension=has_extension, is_partitioned=is_partitioned, is_empty=is_empty)

    assert arrangement(found) is kept


def asked(flow, *founds):
    """The statements of *flow*, on a database that has what *founds* say, and how it ends."""
    statements, left = [], list(founds)
    answer = None
    try:
        while True:
            question = flow.send(answer) if answer is not None else next(flow)
            assert isinstance(question, Query)
            sql = str(question.statement)
            statements.append(sql)
            answer = Answer()
            if "pg_extension" in sql:
                answer = Answer(rows=[left.pop(0)])
            elif "drop_chunks" in sql:
                answer = Answer(rows=[SimpleNamespace(), SimpleNamespace()])
    except StopIteration as end:
        return statements, end.value


def database(*, is_partitioned, is_empty):
    return SimpleNamespace(has_extension=True, is_partitioned=is_partitioned, is_empty=is_empty)


def test_an_empty_table_becomes_a_hypertable_and_no_month_is_made():
    empty = database(is_partitioned=True, is_empty=True)

    statements, made = asked(make_partitions(NOW), empty, empty)

    assert made == []
    assert tuple(statements[-len(CONVERSION) :]) == CONVERSION
    assert "create_hypertable('readings', 'measured_at'" in statements[-1]


def test_what_somebody_put_in_meanwhile_is_not_lost():
    flow = convert_to_hypertable()

    statements, is_done = asked(flow, database(is_partitioned=True, is_empty=False))

    assert is_done is False
    assert not any("DROP" in statement for statement in statements)


def test_a_hypertable_makes_its_chunks_itself():
    statements, made = asked(make_partitions(NOW), database(is_partitioned=False, is_empty=False))

    assert made == []
    assert not any("CREATE TABLE" in statement for statement in statements)


def test_old_readings_of_a_hypertable_go_by_the_chunk():
    statements, dropped = asked(
        drop_readings_before(NOW, dialect="postgresql"),
        database(is_partitioned=False, is_empty=False),
    )

    assert dropped == 2
    assert statements[-1] == (
        "SELECT drop_chunks('readings', older_than => CAST(:moment AS timestamptz))"
    )


@pytest.mark.server
async def test_the_table_that_comes_of_it_is_the_one_that_the_code_knows(postgres_url):
    engine = engine_for(postgres_url)
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(STUBS)
        before = await connection.run_sync(difference)

    async with AsyncUnit(engine) as unit:
        native = await unit.run(found_in_database())
        for statement in CONVERSION:
            await unit.run(one(statement))
        after = await unit.run(found_in_database())

    async with engine.connect() as connection:
        left = await connection.run_sync(difference)
    await engine.dispose()
    assert (native.is_partitioned, after.is_partitioned) == (True, False)
    assert (native.has_extension, native.is_empty, after.is_empty) == (False, True, True)
    assert (before, left) == ([], [])


def one(statement):
    yield Query(text(statement))
