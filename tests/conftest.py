"""What every test may use."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import redis

from evara_core.errors import ConfigurationError
from evara_core.storage.engine import blocking_engine_for, engine_for
from evara_core.storage.migrate import migrate_connection
from evara_core.testing.clock import ManualClock
from evara_core.testing.servers import find_postgres, find_redis, start_postgres, start_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.testing.processes import LocalServer, Program

POSTGRES_URL = "EVARA_TEST_POSTGRES_URL"
"""Names a database whose user may create others. Each test gets one of its own."""

REDIS_URL = "EVARA_TEST_REDIS_URL"
"""Names a database that belongs to the tests: each of them empties it."""


EMPTY_EVERY_TABLE = """
DO $$
DECLARE
    name text;
    is_used boolean;
    used text[] := '{}';
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        IF name ~ '^readings_y' THEN
            EXECUTE format('DROP TABLE %I', name);
        ELSIF name <> 'evara_schema_version' THEN
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', name) INTO is_used;
            IF is_used THEN
                used := used || quote_ident(name);
            END IF;
        END IF;
    END LOOP;
    IF used <> '{}' THEN
        EXECUTE 'TRUNCATE ' || array_to_string(used, ', ') || ' RESTART IDENTITY CASCADE';
    END IF;
END
$$
"""


@dataclass(frozen=True)
class GivenServer:
    """A server that runs elsewhere."""

    url: str


def pytest_report_header() -> list[str]:
    return [
        f"postgres: {_source(POSTGRES_URL, find_postgres)}",
        f"redis: {_source(REDIS_URL, find_redis)}",
    ]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LocalServer | GivenServer]:
    """One PostgreSQL for all tests of this process, started when the first one asks.

    A test that stops or crashes a server starts one of its own: `start_postgres`.
    """
    yield from _server(POSTGRES_URL, start_postgres)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[LocalServer | GivenServer]:
    """One Redis for all tests of this process, started when the first one asks."""
    yield from _server(REDIS_URL, start_redis)


@pytest.fixture
def postgres_url(postgres_server: LocalServer | GivenServer) -> Iterator[str]:
    """An empty database of the test's own."""
    name = f"evara_test_{uuid4().hex[:16]}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield urlunsplit(urlsplit(postgres_server.url)._replace(path=f"/{name}"))
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_with_schema(postgres_server: LocalServer | GivenServer) -> Iterator[str]:
    """One database that has the reference schema, for `postgres_database_url`."""
    name = f"evara_test_{uuid4().hex[:16]}"
    url = urlunsplit(urlsplit(postgres_server.url)._replace(path=f"/{name}"))
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    _migrate(url)
    yield url
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that has the reference schema, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A database of the test's own, with the reference schema and nothing in it."""
    path = Path(shutil.copy(sqlite_template, tmp_path / "evara.db"))
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_database_url(postgres_with_schema: str) -> str:
    """The same on PostgreSQL, where emptying is ten times as fast as making a new one.

    A test that changes the schema makes its own in `postgres_url`.
    """
    with psycopg.connect(postgres_with_schema, autocommit=True) as connection:
        connection.execute(EMPTY_EVERY_TABLE)
    return postgres_with_schema


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)],
)
def database_url(request: pytest.FixtureRequest) -> str:
    """`sqlite_database_url` and `postgres_database_url`, one after the other."""
    names = {"sqlite": "sqlite_database_url", "postgresql": "postgres_database_url"}
    url: str = request.getfixturevalue(names[request.param])
    return url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def redis_url(redis_server: LocalServer | GivenServer) -> str:
    """An empty database, the test's own while it runs."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
    return redis_server.url


def _migrate(url: str) -> None:
    engine = blocking_engine_for(url)
    with engine.begin() as connection:
        migrate_connection(connection)
    engine.dispose()


def _source(variable: str, find: Callable[[], Iterator[Program]]) -> str:
    if variable in os.environ:
        return f"the server that {variable} names"
    return str(next(find(), "none found: tests that need it will fail"))


def _server(variable: str, start: Callable[[], LocalServer]) -> Iterator[LocalServer | GivenServer]:
    if url := os.environ.get(variable):
        yield GivenServer(url)
        return
    try:
        server = start()
    except ConfigurationError as error:
        pytest.fail(f"{error}\n  Or name a running one: {variable}=…", pytrace=False)
    yield server
    server.remove()
