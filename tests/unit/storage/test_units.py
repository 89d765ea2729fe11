from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import anyio
import psycopg
import pytest
from sqlalchemy import insert, select, text

from evara_core.errors import (
    ClosedError,
    ConflictError,
    InvalidInputError,
    StorageUnavailableError,
)
from evara_core.storage.engine import EngineLimits, blocking_engine_for, engine_for
from evara_core.storage.statements import DriverQuery, Query
from evara_core.storage.tables import distributors
from evara_core.storage.units import AsyncUnit, Unit
from evara_core.testing.samples import START
from evara_core.testing.servers import start_postgres


def put(distributor_id):
    values = {"distributor_id": distributor_id, "name": "D", "created_at": START}
    answer = yield Query(insert(distributors), values)
    return answer.rowcount


def names():
    answer = yield Query(select(distributors.c.distributor_id).order_by("distributor_id"))
    return [row.distributor_id for row in answer.rows]


def one():
    answer = yield Query(text("SELECT 1"))
    return answer.rows[0][0]


async def stored(engine):
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(names())


async def test_keeps_what_several_flows_wrote(engine):
    async with AsyncUnit(engine) as unit:
        assert await unit.run(put("a")) == 1
        await unit.run(put("b"))

    assert await stored(engine) == ["a", "b"]


async def test_keeps_nothing_when_the_block_raises(engine):
    def failing():
        yield from put("a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with AsyncUnit(engine) as unit:
            await unit.run(failing())

    assert await stored(engine) == []


def test_runs_the_same_flows_blocking(database_url):
    engine = blocking_engine_for(database_url)

    with Unit(engine) as unit:
        unit.run(put("a"))
    unit = Unit(engine)
    unit.__enter__()
    unit.run(put("b"))
    unit.__exit__(None, ZeroDivisionError(), None)

    with Unit(engine, reads_only=True) as unit:
        assert unit.run(names()) == ["a"]
    engine.dispose()


async def test_refuses_flows_outside_its_block(engine):
    unit = AsyncUnit(engine)
    with pytest.raises(ClosedError):
        await unit.run(one())

    async with unit:
        await unit.run(one())

    with pytest.raises(ClosedError):
        await unit.run(one())


async def test_a_constraint_is_a_conflict(engine):
    async with AsyncUnit(engine) as unit:
        await unit.run(put("a"))

    with pytest.raises(ConflictError, match="distributor"):
        async with AsyncUnit(engine) as unit:
            await unit.run(put("a"))


async def test_an_error_that_was_caught_still_undoes_the_unit(engine):
    def careless():
        yield from put("a")
        with suppress(ConflictError):
            yield from put("a")

    unit = AsyncUnit(engine)
    await unit.__aenter__()
    await unit.run(careless())
    with pytest.raises(ConflictError):
        await unit.__aexit__(None, None, None)

    assert await stored(engine) == []


async def test_a_mistake_in_a_statement_is_not_taken_for_an_outage(engine):
    def mistaken():
        yield Query(text("SELECT * FROM no_such_table"))

    with pytest.raises(Exception, match="no_such_table") as failure:
        async with AsyncUnit(engine) as unit:
            await unit.run(mistaken())

    assert not isinstance(failure.value, StorageUnavailableError)


async def test_a_naive_moment_is_refused(engine):
    def naive():
        values = {"distributor_id": "a", "name": "D", "created_at": START.replace(tzinfo=None)}
        yield Query(insert(distributors), values)

    with pytest.raises(InvalidInputError, match="naive"):
        async with AsyncUnit(engine) as unit:
            await unit.run(naive())


async def test_moments_come_back_aware_and_to_the_microsecond(engine):
    moment = START + timedelta(microseconds=1)

    def write_and_read():
        yield Query(
            insert(distributors), {"distributor_id": "a", "name": "D", "created_at": moment}
        )
        answer = yield Query(select(distributors.c.created_at))
        return answer.rows[0].created_at

    async with AsyncUnit(engine) as unit:
        found = await unit.run(write_and_read())

    assert found == moment
    assert found.utcoffset() == timedelta(0)


async def test_many_writers_take_turns(engine):
    async def write(number):
        async with AsyncUnit(engine) as unit:
            before = await unit.run(names())
            await unit.run(put(f"d-{len(before):03}-{number:03}"))

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(write, number)

    assert len(await stored(engine)) == 30


async def test_a_cancelled_unit_keeps_nothing_and_gives_its_connection_back(database_url):
    engine = engine_for(database_url, limits=EngineLimits(connection_budget=2))

    for _ in range(10):
        with anyio.move_on_after(0.005):
            async with AsyncUnit(engine) as unit:
                await unit.run(put("a"))
                await anyio.sleep_forever()

    assert await stored(engine) == []
    assert engine.pool.checkedout() == 0
    await engine.dispose()


async def test_a_statement_on_sqlite_is_carried_to_its_end_and_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    engine = engine_for(f"sqlite:///{tmp_path / 'a.db'}")
    ends = []

    def slow():
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000)"
        answer = yield Query(text(f"{numbers} SELECT max(i) FROM n"))
        ends.append(answer.rows[0][0])
        yield Query(text("SELECT 1"))
        ends.append("the next one")

    for _ in range(3):
        async with AsyncUnit(engine, reads_only=True) as unit:
            with anyio.move_on_after(0.01) as scope:
                await unit.run(slow())
        assert scope.cancelled_caught

    assert ends == [500_000] * 3
    assert engine.pool.checkedout() == 0
    await engine.dispose()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before


async def test_says_that_every_connection_is_in_use(database_url):
    limits = EngineLimits(connection_budget=2, pool_timeout=timedelta(milliseconds=20))
    engine = engine_for(database_url, limits=limits)

    async with anyio.create_task_group() as tasks:
        for _ in range(engine.pool.size()):
            unit = AsyncUnit(engine, reads_only=True)
            await unit.__aenter__()
            tasks.start_soon(_leave_later, unit)
        with pytest.raises(StorageUnavailableError, match="in use"):
            await stored(engine)

    await engine.dispose()


async def _leave_later(unit):
    await anyio.sleep(0.2)
    await unit.__aexit__(None, None, None)


async def test_a_writer_that_does_not_get_its_turn_is_told_to_come_again(sqlite_database_url):
    limits = EngineLimits(lock_timeout=timedelta(milliseconds=20))
    engine = engine_for(sqlite_database_url, limits=limits)

    async with AsyncUnit(engine) as unit:
        await unit.run(put("a"))
        with pytest.raises(StorageUnavailableError, match="locked"):
            async with AsyncUnit(engine):
                pass
        assert await stored(engine) == []

    assert await stored(engine) == ["a"]
    await engine.dispose()


async def test_a_database_in_memory_lives_as_long_as_its_engine():
    engine = engine_for("sqlite://")

    def make():
        yield Query(text("CREATE TABLE t (x INTEGER)"))
        yield DriverQuery("INSERT INTO t VALUES (?)", [(1,), (2,)])

    async with AsyncUnit(engine) as unit:
        await unit.run(make())

    async with AsyncUnit(engine, reads_only=True) as unit:
        assert await unit.run(one()) == 1
    await engine.dispose()


@pytest.mark.server
async def test_a_server_that_is_away_is_unavailable_and_comes_back():
    server = await anyio.to_thread.run_sync(start_postgres)
    engine = engine_for(server.url)

    async def ask(before=lambda: None):
        async with AsyncUnit(engine) as unit:
            await unit.run(one())
            await anyio.to_thread.run_sync(before)
            return await unit.run(one())

    with pytest.raises(StorageUnavailableError):
        await ask(server.crash)
    with pytest.raises(StorageUnavailableError):
        await ask()
    await anyio.to_thread.run_sync(server.start)

    assert await ask() == 1
    await engine.dispose()
    server.remove()


@pytest.mark.server
async def test_a_statement_that_takes_too_long_is_ended(postgres_url):
    limits = EngineLimits(statement_timeout=timedelta(milliseconds=30))
    engine = engine_for(postgres_url, limits=limits)

    def slow():
        yield Query(text("SELECT pg_sleep(5)"))

    with pytest.raises(StorageUnavailableError, match="statement timeout"):
        async with AsyncUnit(engine) as unit:
            await unit.run(slow())
    await engine.dispose()


@pytest.mark.server
async def test_reads_only_means_so(postgres_database_url):
    engine = engine_for(postgres_database_url)

    with pytest.raises(StorageUnavailableError, match="read-only"):
        async with AsyncUnit(engine, reads_only=True) as unit:
            await unit.run(put("a"))
    await engine.dispose()


async def test_reading_sees_one_state_throughout(engine):
    async with AsyncUnit(engine, reads_only=True) as reader:
        before = await reader.run(names())
        async with AsyncUnit(engine) as writer:
            await writer.run(put("a"))

        assert await reader.run(names()) == before == []

    assert await stored(engine) == ["a"]


async def test_a_connection_that_has_read_only_can_write_afterwards(database_url):
    engine = engine_for(database_url, limits=EngineLimits(connection_budget=2))
    for number in range(6):
        await stored(engine)
        async with AsyncUnit(engine) as unit:
            await unit.run(put(f"d-{number}"))

    assert len(await stored(engine)) == 6
    await engine.dispose()


@pytest.mark.server
async def test_a_connection_that_died_while_idle_is_replaced_unnoticed(postgres_url, monkeypatch):
    monkeypatch.setattr("evara_core.storage.engine.ALIVE_FOR_S", 0.0)
    engine = engine_for(postgres_url)
    async with AsyncUnit(engine) as unit:
        await unit.run(one())
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    async with AsyncUnit(engine) as unit:
        assert await unit.run(one()) == 1
    await engine.dispose()
