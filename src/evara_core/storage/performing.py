"""Asks a connection what a flow wants to know."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, NotSupportedError

from evara_core.errors import ConfigurationError
from evara_core.storage.failures import translated
from evara_core.storage.statements import NONE_TAKEN, Answer, CopyRows, DriverQuery, Query

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

    from evara_core.storage.statements import Question

__all__ = ["perform"]

_UNIQUE_VIOLATION = "23505"
_NOT_SUPPORTED = "0A000"
"""What COPY answers where row-level security applies, even to one who may see all rows."""


def perform(connection: Connection, question: Question) -> Answer:
    """Return what *connection* answers. An `AsyncConnection` takes it by `run_sync`.

    Raises:
        ConflictError: A constraint says no.
        InvalidInputError: A value is not of the column's type.
        StorageUnavailableError: The database is away, busy, or too slow.
    """
    with translated():
        match question:
            case Query(statement, parameters):
                return _answer(connection.execute(statement, parameters))
            case DriverQuery(sql, rows):
                if connection.dialect.driver == "aiosqlite":
                    return _executed_by_aiosqlite(connection, sql, rows)
                return _answer(connection.exec_driver_sql(sql, rows))
            case CopyRows():
                return _copied(connection, question)


def _answer(result: CursorResult[Any]) -> Answer:
    if result.returns_rows:
        return Answer(rows=result.all())
    return Answer(rowcount=result.rowcount)


def _executed_by_aiosqlite(connection: Connection, sql: str, rows: list[tuple[Any, ...]]) -> Answer:
    """Go to the driver's thread and back once. A cursor of SQLAlchemy's goes four times."""
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.run_async(lambda raw: raw.executemany(sql, rows))
    except sqlite3.Error as error:
        kind = IntegrityError if isinstance(error, sqlite3.IntegrityError) else DBAPIError
        raise kind(sql, None, error) from error
    return Answer(rowcount=cursor.rowcount)


def _copied(connection: Connection, question: CopyRows) -> Answer:
    copy = _COPY.get(connection.dialect.driver)
    if copy is None:
        problem = f"COPY is of PostgreSQL, not of {connection.dialect.driver}"
        raise ConfigurationError(problem)
    # Not released when all went well: it ends with the transaction, and a release would be one
    # more round trip.
    connection.exec_driver_sql("SAVEPOINT evara_copy")
    try:
        copy(connection.connection.dbapi_connection, question)
    except Exception as error:
        # SQLAlchemy is not in between here, which otherwise says what drivers mean.
        wrapped = _wrapped(error, question)
        if not isinstance(wrapped, (IntegrityError, NotSupportedError)):
            raise wrapped from error
    else:
        return Answer(rowcount=len(question.rows))
    connection.exec_driver_sql("ROLLBACK TO SAVEPOINT evara_copy")
    return Answer(rowcount=NONE_TAKEN)


def _copy_by_asyncpg(driver: Any, question: CopyRows) -> None:  # noqa: ANN401 - the driver's
    driver.run_async(
        lambda raw: raw.copy_records_to_table(
            question.table, records=question.rows, columns=question.columns
        )
    )


def _copy_by_psycopg(driver: Any, question: CopyRows) -> None:  # noqa: ANN401 - the driver's
    names = ", ".join(f'"{name}"' for name in question.columns)
    sql = f'COPY "{question.table}" ({names}) FROM STDIN'
    with driver.cursor() as cursor, cursor.copy(sql) as copy:
        for row in question.rows:
            copy.write_row(row)


_COPY = {"asyncpg": _copy_by_asyncpg, "psycopg": _copy_by_psycopg}


def _wrapped(error: Exception, question: CopyRows) -> DBAPIError:
    state = getattr(error, "sqlstate", None)
    what = f"COPY {question.table}"
    if state == _UNIQUE_VIOLATION:
        return IntegrityError(what, None, error)
    if state == _NOT_SUPPORTED:
        return NotSupportedError(what, None, error)
    if state is None:
        return InterfaceError(what, None, error)
    return DBAPIError(what, None, error)
