"""Engines: which driver, how many connections, and how long anything may take."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from evara_core.errors import ConfigurationError
from evara_core.serialization import dump_json, load_json

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = [
    "EngineLimits",
    "blocking_engine_for",
    "blocking_twin",
    "engine_for",
    "is_observed",
    "transaction_options",
]

_LIMITS = "evara_limits"
_OBSERVED = ("before_execute", "before_cursor_execute", "after_cursor_execute", "commit")
_BEGIN = "evara_begin"
_BEGIN_WRITING = "BEGIN IMMEDIATE"

MINIMUM_POOL = 2
"""With one connection, whoever holds it and needs a second one waits for ever."""

MAXIMUM_POOL = 20
"""More connections than this in one process wait for its Python thread, not for the database."""


ALIVE_FOR_S = 2.0
"""A connection that was used so lately is not asked whether it is alive. If the server went
away in between, one unit fails as it does when the server goes away in the middle of it."""

_USED_AT = "evara_used_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What an engine may use, and how long anything may take."""

    connection_budget: int = 80
    """Connections that all processes together may hold. PostgreSQL allows 100 by default, keeps
    3 for superusers, and people and migrations need some."""

    statement_timeout: timedelta = timedelta(seconds=30)
    lock_timeout: timedelta = timedelta(seconds=5)
    """How long to wait for what another transaction holds. On SQLite: for the turn to write."""

    idle_in_transaction_timeout: timedelta = timedelta(seconds=60)
    """After this the server ends a transaction that nobody goes on with: it holds locks."""

    connect_timeout: timedelta = timedelta(seconds=5)
    pool_timeout: timedelta = timedelta(seconds=5)
    """How long to wait for a connection that others use."""

    recycle_after: timedelta = timedelta(minutes=30)
    """Connections older than this are replaced, before a firewall forgets them."""

    def pool_size(self, processes: int) -> int:
        """Return how many connections each of *processes* may hold.

        Raises:
            ConfigurationError: The budget is not enough for so many.
        """
        if processes < 1:
            problem = f"processes must be 1 or more, not {processes}"
            raise ConfigurationError(problem)
        size = min(self.connection_budget // processes, MAXIMUM_POOL)
        if size < MINIMUM_POOL:
            problem = (
                f"{processes} processes cannot share {self.connection_budget} connections:"
                f" each needs {MINIMUM_POOL}. Run fewer, raise the budget together with"
                " max_connections of the server, or put a pooler between."
            )
            raise ConfigurationError(problem)
        return size


def transaction_options(dialect: str, *, reads_only: bool) -> dict[str, Any]:
    """Return the execution options of a connection for one transaction of that kind.

    One that reads only sees one state of the database throughout, on PostgreSQL by
    REPEATABLE READ, as SQLite has it anyway.

    SQLite gives one writer at a time its turn. A transaction that begins by reading and writes
    later is refused the turn, and waiting does not help: so it is asked for at the beginning.
    """
    if dialect == "sqlite":
        return {_BEGIN: "BEGIN" if reads_only else _BEGIN_WRITING}
    if reads_only:
        return {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    return {}


def engine_for(
    url: str,
    *,
    processes: int = 1,
    limits: EngineLimits = EngineLimits(),
    application_name: str = "evara",
) -> AsyncEngine:
    """Return an engine to await, for a plain `postgresql://` or `sqlite://` URL.

    Args:
        url: Where the database is. The driver is ours to choose: asyncpg, aiosqlite.
        processes: How many processes like this one there are. They share the budget.
        limits: What may be used.
        application_name: What the server's list of connections shows.

    Raises:
        ConfigurationError: The URL cannot be used, or the budget is too small.
    """
    where = _url(url, postgresql="postgresql+asyncpg", sqlite="sqlite+aiosqlite")
    if where.get_backend_name() == "sqlite":
        options = _sqlite_options(where, limits) | {"execution_options": {_LIMITS: limits}}
        engine = create_async_engine(where, poolclass=AsyncAdaptedQueuePool, **options)
        _tune_sqlite(engine.sync_engine, limits)
        return engine
    settings = _server_settings(limits, application_name)
    arguments = {"server_settings": settings, "timeout": limits.connect_timeout.total_seconds()}
    options = _postgresql_options(limits, processes) | {"connect_args": arguments}
    engine = create_async_engine(_with_ssl(where), **options)
    _ping_idle_connections(engine.sync_engine)
    return engine


def blocking_engine_for(
    url: str,
    *,
    processes: int = 1,
    limits: EngineLimits = EngineLimits(),
    application_name: str = "evara",
) -> Engine:
    """Return what `engine_for` returns, for code that blocks: psycopg, sqlite3."""
    where = _url(url, postgresql="postgresql+psycopg", sqlite="sqlite+pysqlite")
    if where.get_backend_name() == "sqlite":
        return _blocking_sqlite(where, limits)
    settings = _server_settings(limits, application_name)
    switches = " ".join(f"-c {name}={value}" for name, value in settings.items())
    arguments = {
        "options": switches,
        "connect_timeout": max(1, round(limits.connect_timeout.total_seconds())),
    }
    options = _postgresql_options(limits, processes) | {"connect_args": arguments}
    engine = create_engine(where, **options)
    _ping_idle_connections(engine)
    return engine


def blocking_twin(engine: AsyncEngine) -> Engine | None:
    """Return a blocking engine for the SQLite file of *engine*, to be used in a thread.

    The driver that is awaited goes to a thread of its own and back, several times for each
    statement. Whoever has many statements goes once. It is disposed of together with *engine*.

    None: the database is another or in memory, or `engine_for` did not make *engine*.
    """
    original = engine.sync_engine
    limits = original.get_execution_options().get(_LIMITS)
    if limits is None or _is_in_memory(original.url):
        return None
    twin = _blocking_sqlite(original.url.set(drivername="sqlite+pysqlite"), limits)
    event.listen(original, "engine_disposed", lambda _: twin.dispose())
    return twin


def is_observed(engine: AsyncEngine) -> bool:
    """Tell whether somebody listens to what *engine* does, and would not hear of its twin."""
    heard = engine.sync_engine.dispatch
    return any(getattr(heard, name) for name in _OBSERVED)


def _blocking_sqlite(url: URL, limits: EngineLimits) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, **_sqlite_options(url, limits))
    _tune_sqlite(engine, limits)
    return engine


def _is_in_memory(url: URL) -> bool:
    return url.database in {None, "", ":memory:"} or url.query.get("mode") == "memory"


def _url(text: str, *, postgresql: str, sqlite: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        problem = "the database URL cannot be parsed: is it postgresql://… or sqlite:///…?"
        raise ConfigurationError(problem) from error
    match url.drivername.partition("+")[0]:
        case "postgresql" | "postgres":
            return url.set(drivername=postgresql)
        case "sqlite":
            return url.set(drivername=sqlite)
        case other:
            problem = f"no support for {other!r}: use postgresql://… or sqlite:///…"
            raise ConfigurationError(problem)


def _with_ssl(url: URL) -> URL:
    """Return *url* as asyncpg wants it: libpq says `sslmode` where it says `ssl`."""
    mode = url.query.get("sslmode")
    if mode is None:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


def _postgresql_options(limits: EngineLimits, processes: int) -> dict[str, Any]:
    return _json_options() | {
        "pool_size": limits.pool_size(processes),
        "max_overflow": 0,
        "pool_timeout": limits.pool_timeout.total_seconds(),
        "pool_recycle": round(limits.recycle_after.total_seconds()),
    }


def _server_settings(limits: EngineLimits, application_name: str) -> dict[str, str]:
    return {
        "application_name": "".join(c for c in application_name if c.isalnum() or c in "_-.:"),
        "timezone": "UTC",
        "statement_timeout": _milliseconds(limits.statement_timeout),
        "lock_timeout": _milliseconds(limits.lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle_in_transaction_timeout),
    }


def _sqlite_options(url: URL, limits: EngineLimits) -> dict[str, Any]:
    # A database in memory lives and dies with its one connection.
    return _json_options() | {
        "pool_size": 1 if _is_in_memory(url) else 5,
        "max_overflow": 0,
        "pool_timeout": limits.pool_timeout.total_seconds(),
    }


def _json_options() -> dict[str, Any]:
    return {
        "json_serializer": lambda value: dump_json(value).decode(),
        "json_deserializer": load_json,
    }


def _ping_idle_connections(engine: Engine) -> None:
    """Ask a connection whether it is alive before it is used, unless it was just now.

    SQLAlchemy's own `pool_pre_ping` asks each time, which takes three round trips with
    asyncpg: as many as all the rest of a short read.
    """

    def on_checkin(_: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    def on_checkout(
        connection: DBAPIConnection, record: ConnectionPoolEntry, _: PoolProxiedConnection
    ) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < ALIVE_FOR_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            # The pool then takes another connection, or makes one.
            raise DisconnectionError from error

    event.listen(engine, "checkin", on_checkin)
    event.listen(engine, "checkout", on_checkout)


def _tune_sqlite(engine: Engine, limits: EngineLimits) -> None:
    def on_connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # Transactions begin when we say so, below, and not when the driver sees a write.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_milliseconds(limits.lock_timeout)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # In WAL mode this survives a crash of the process; a power cut may lose the last commits.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    def on_begin(connection: Connection) -> None:
        how = connection.get_execution_options().get(_BEGIN, _BEGIN_WRITING)
        if connection.dialect.driver == "aiosqlite":
            # To the driver's thread and back once; a cursor of SQLAlchemy's goes four times.
            driver: Any = connection.connection.dbapi_connection
            try:
                driver.run_async(lambda raw: raw.execute(how))
            except sqlite3.Error as error:
                raise OperationalError(how, None, error) from error
        else:
            connection.exec_driver_sql(how)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def _milliseconds(duration: timedelta) -> str:
    return str(max(1, duration // timedelta(milliseconds=1)))
