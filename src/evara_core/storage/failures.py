"""What the errors of SQLAlchemy and of the drivers mean, in errors of our own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from evara_core.errors import ConflictError, EvaraError, InvalidInputError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["translated"]

# PostgreSQL, appendix A: connection exceptions, insufficient resources, operator intervention
# (also a statement that ran out of time), transaction rollback (serialization, deadlock).
_PASSING_CLASSES = ("08", "53", "57", "40")
_LONGEST_PROBLEM = 200
_DATA_EXCEPTION = "22"
_LOCK_NOT_AVAILABLE = "55P03"
_READ_ONLY = "25006"

# SQLite's primary result codes: BUSY, LOCKED, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
_PASSING_CODES = frozenset({5, 6, 8, 9, 10, 13, 14, 15})


@contextmanager
def translated() -> Iterator[None]:
    """Raise errors of `evara_core.errors` for what the database or its driver raises.

    What points to a mistake in a statement, such as a table that is not there, passes.

    Raises:
        ConflictError: A constraint says no.
        InvalidInputError: A value is not of the column's type.
        StorageUnavailableError: The database is away, busy, or too slow.
    """
    try:
        yield
    except (SQLAlchemyError, OverflowError, OSError) as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: SQLAlchemyError | OverflowError | OSError) -> EvaraError | None:
    match error:
        case IntegrityError():
            return ConflictError(_first_line(error))
        case PoolTimeoutError():
            problem = "every connection to the database is in use"
            return StorageUnavailableError(problem, retry_after_s=1.0)
        case DBAPIError() if _is_passing(error):
            return StorageUnavailableError(f"the database is not available: {_first_line(error)}")
        case DBAPIError() if _is_about_data(error):
            return InvalidInputError(_first_line(error))
        case StatementError(orig=ValueError() | OverflowError()):
            return InvalidInputError(_first_line(error))
        case OverflowError():
            # sqlite3 refuses integers beyond 64 bits before the statement runs.
            return InvalidInputError(str(error))
        case OSError():
            # asyncpg lets them through when it cannot connect: a TimeoutError is one too.
            problem = str(error) or type(error).__name__
            return StorageUnavailableError(f"the database is not available: {problem}")
        case _:
            return None


def _is_passing(error: DBAPIError) -> bool:
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    state = _state(error)
    if state:
        return state[:2] in _PASSING_CLASSES or state in {_LOCK_NOT_AVAILABLE, _READ_ONLY}
    code = getattr(error.orig, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in _PASSING_CODES
    # psycopg has no state for a connection that could not be made or was cut.
    return isinstance(error, OperationalError)


def _is_about_data(error: DBAPIError) -> bool:
    return isinstance(error, DataError) or _state(error).startswith(_DATA_EXCEPTION)


def _state(error: DBAPIError) -> str:
    """Return the SQLSTATE, as far as it is known.

    asyncpg's own refusals have it only in the error that SQLAlchemy wrapped.
    """
    origin = error.orig
    for source in (origin, origin and origin.__cause__):
        state = getattr(source, "sqlstate", None)
        if isinstance(state, str):
            return state
    return ""


def _first_line(error: StatementError) -> str:
    """Return what the driver says, without the details, which may hold the values of a row."""
    return (str(error.orig).splitlines() or [type(error).__name__])[0][:_LONGEST_PROBLEM]
