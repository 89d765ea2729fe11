from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text

from evara_core.errors import ConfigurationError
from evara_core.storage.engine import EngineLimits, blocking_engine_for, blocking_twin, engine_for
from evara_core.storage.room import check_connections, connection_room
from evara_core.storage.statements import Query
from evara_core.storage.units import AsyncUnit, Unit


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@host/db", "asyncpg"),
        ("postgres://u:p@host/db", "asyncpg"),
        ("postgresql+psycopg://u:p@host/db", "asyncpg"),
        ("sqlite:///file.db", "aiosqlite"),
        ("sqlite://", "aiosqlite"),
    ],
)
def test_chooses_the_driver(url, driver):
    assert engine_for(url).dialect.driver == driver


@pytest.mark.parametrize("url", ["mysql://host/db", "nonsense", "", "sqlite+pysqlcipher//x"])
@pytest.mark.parametrize("make", [engine_for, blocking_engine_for])
def test_refuses_what_it_does_not_know(url, make):
    with pytest.raises(ConfigurationError, match=r"postgresql://"):
        make(url)


def test_the_password_is_in_no_text():
    engine = engine_for("postgresql://u:hunter2@host/db")

    assert "hunter2" not in repr(engine) + str(engine.url)


def test_says_ssl_in_the_words_of_the_driver():
    url = engine_for("postgresql://u:p@host/db?sslmode=require").url

    assert dict(url.query) == {"ssl": "require"}


@pytest.mark.parametrize(
    ("processes", "budget", "size"), [(1, 80, 20), (4, 80, 20), (8, 80, 10), (40, 80, 2), (3, 8, 2)]
)
def test_processes_share_the_budget(processes, budget, size):
    limits = EngineLimits(connection_budget=budget)
    engine = engine_for("postgresql://host/db", processes=processes, limits=limits)

    assert engine.pool.size() == size
    assert engine.pool.size() * processes <= budget
    assert engine.pool._max_overflow == 0


@pytest.mark.parametrize(("processes", "budget"), [(41, 80), (2, 3), (0, 80), (-1, 80)])
def test_refuses_what_could_exhaust_the_server(processes, budget):
    with pytest.raises(ConfigurationError, match="processes"):
        engine_for(
            "postgresql://host/db",
            processes=processes,
            limits=EngineLimits(connection_budget=budget),
        )


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
def test_sets_sqlite_up_for_one_writer_and_many_readers(tmp_path, pragma, value):
    engine = blocking_engine_for(f"sqlite:///{tmp_path}/x.db")

    def ask():
        answer = yield Query(text(f"PRAGMA {pragma}"))
        return answer.rows[0][0]

    with Unit(engine) as unit:
        assert unit.run(ask()) == value
    engine.dispose()


@pytest.mark.server
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("application_name", "pump-house"),
        ("statement_timeout", "30s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("TimeZone", "UTC"),
    ],
)
async def test_tells_postgresql_how_long_anything_may_take(postgres_url, setting, value):
    def ask():
        answer = yield Query(text(f"SHOW {setting}"))
        return answer.rows[0][0]

    engine = engine_for(postgres_url, application_name="pump-house")
    async with AsyncUnit(engine) as unit:
        assert await unit.run(ask()) == value
    await engine.dispose()

    blocking = blocking_engine_for(postgres_url, application_name="pump-house")
    with Unit(blocking) as unit:
        assert unit.run(ask()) == value
    blocking.dispose()


def test_the_file_is_an_ordinary_sqlite_database(tmp_path):
    engine = blocking_engine_for(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    engine.dispose()

    with sqlite3.connect(tmp_path / "x.db") as plain:
        assert plain.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    plain.close()


@pytest.mark.server
async def test_refuses_a_budget_that_the_server_does_not_have(postgres_url):
    engine = engine_for(postgres_url)

    async with AsyncUnit(engine) as unit:
        room = await unit.run(connection_room())
        await unit.run(
            check_connections(EngineLimits(connection_budget=room), dialect="postgresql")
        )
    limits = EngineLimits(connection_budget=room + 1)
    with pytest.raises(ConfigurationError, match=f"gives {room}"):
        async with AsyncUnit(engine) as unit:
            await unit.run(check_connections(limits, dialect="postgresql"))

    await engine.dispose()


@pytest.mark.server
async def test_a_limit_of_the_database_counts_too(postgres_url):
    engine = engine_for(postgres_url)
    async with engine.begin() as connection:
        name = await connection.scalar(text("SELECT current_database()"))
        await connection.execute(text(f'ALTER DATABASE "{name}" CONNECTION LIMIT 7'))

    async with AsyncUnit(engine) as unit:
        assert await unit.run(connection_room()) == 7
    await engine.dispose()


def test_a_file_has_no_connections_to_exhaust():
    limits = EngineLimits(connection_budget=10_000)

    with pytest.raises(StopIteration):
        next(check_connections(limits, dialect="sqlite"))


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_has_no_twin(url):
    assert blocking_twin(engine_for(url)) is None


def test_a_server_has_no_twin():
    assert blocking_twin(engine_for("postgresql://u:p@host/db")) is None


async def test_a_twin_sees_the_same_file_and_goes_with_its_engine(tmp_path):
    engine = engine_for(f"sqlite:///{tmp_path / 'one.db'}")
    twin = blocking_twin(engine)
    with twin.begin() as connection:
        connection.execute(text("CREATE TABLE t (n)"))

    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 0
    before = twin.pool.checkedin()
    await engine.dispose()

    assert (before, twin.pool.checkedin()) == (1, 0)
