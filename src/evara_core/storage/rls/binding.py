"""Engines and sessions whose transactions begin by taking on a scope.

Role and ids are set for one transaction: when it ends, the connection is nobody's again,
whatever pool it goes back to, PgBouncer's in transaction mode included. Where there is no
transaction, as with AUTOCOMMIT, nothing is set and nothing is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import event
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from evara_core.errors import ConfigurationError, StatementRefusedError
from evara_core.storage.guard.gate import OWN_STATEMENT
from evara_core.storage.guard.policies import kind_of, values_of
from evara_core.storage.rls.roles import WallRoles

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session

    from evara_core.access.tenancy import Scope

__all__ = ["Entry", "entering", "walled_async_engine", "walled_engine", "within_scope"]

_PLACES = {"asyncpg": "${}", "psycopg": "%s"}


class Entry:
    """What a transaction is told when it begins: who it works for.

    Raises:
        StatementRefusedError: The scope is of no rows, or of all: those have a login of their own.
    """

    def __init__(self, scope: Scope, roles: WallRoles = WallRoles()) -> None:
        kind = kind_of(scope)
        if kind is None:
            raise StatementRefusedError(
                "a scope of all rows behind the wall",
                f"log in as a member of {roles.superadmin}",
            )
        self.settings = {"role": roles.of(kind)} | {
            roles.setting(dimension): _text(value) for dimension, value in values_of(scope).items()
        }

    def make(self, connection: Connection) -> None:
        """Make it so until the transaction of *connection* ends.

        Raises:
            ConfigurationError: The driver is neither psycopg nor asyncpg.
        """
        place = _PLACES.get(connection.dialect.driver)
        if place is None:
            raise ConfigurationError(
                f"row-level security is of PostgreSQL, by psycopg or asyncpg,"
                f" not of {connection.dialect.driver}"
            )
        names, values = zip(*self.settings.items(), strict=True)
        calls = ", ".join(
            f"set_config('{name}', {place.format(number)}, true)"
            for number, name in enumerate(names, 1)
        )
        options = OWN_STATEMENT | {"stream_results": False, "yield_per": None}
        connection.exec_driver_sql(f"SELECT {calls}", values, execution_options=options).close()


def entering(scope: Scope, *, roles: WallRoles = WallRoles()) -> Callable[[Connection], None]:
    """Return what to do when a transaction for *scope* begins. For `Guard(entering=…)`.

    Raises:
        StatementRefusedError: As `Entry` does.
    """
    return Entry(scope, roles).make


def walled_engine(engine: Engine, scope: Scope, *, roles: WallRoles = WallRoles()) -> Engine:
    """Return an engine whose transactions work for *scope*. It shares the pool of *engine*.

    Raises:
        StatementRefusedError: As `Entry` does.
    """
    scoped = OptionEngine(engine, {})
    entry = Entry(scope, roles)
    event.listen(scoped, "begin", entry.make)
    event.listen(scoped, "begin_twophase", lambda connection, _: entry.make(connection))
    return scoped


def walled_async_engine(
    engine: AsyncEngine, scope: Scope, *, roles: WallRoles = WallRoles()
) -> AsyncEngine:
    """Return what `walled_engine` returns, to await."""
    return AsyncEngine(walled_engine(engine.sync_engine, scope, roles=roles))


def within_scope(
    session: Session | AsyncSession, scope: Scope, *, roles: WallRoles = WallRoles()
) -> None:
    """Let each transaction of *session*, from the next on, work for *scope*.

    Raises:
        StatementRefusedError: As `Entry` does.
        ConfigurationError: The session is inside a transaction already.
    """
    blocking = session.sync_session if isinstance(session, AsyncSession) else session
    if blocking.in_transaction():
        raise ConfigurationError("a session takes on its scope before its transaction begins")
    entry = Entry(scope, roles)
    event.listen(blocking, "after_begin", lambda _session, _transaction, link: entry.make(link))


def _text(value: str) -> str:
    """Return an id that PostgreSQL can hold; no id of it can be another one."""
    if "\0" in value or (not value.isascii() and value != value.encode(errors="replace").decode()):
        raise StatementRefusedError("an id that is no text", "check the ids of the principal")
    return value
