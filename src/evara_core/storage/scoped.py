"""Sessions for who calls: bound to the rows of one principal, and over with one request."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from evara_core.access.tenancy import All, permitted_scope
from evara_core.errors import DeniedError, StatementRefusedError
from evara_core.storage.engine import transaction_options
from evara_core.storage.failures import translated
from evara_core.storage.rls.binding import walled_async_engine, walled_engine
from evara_core.storage.rls.roles import WallRoles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Engine
    from sqlalchemy.engine.default import DefaultExecutionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.access.principal import Principal
    from evara_core.access.tenancy import Scope

__all__ = [
    "BEHIND_THE_WALL",
    "NEEDS_ELEVATION",
    "AsyncCallerSession",
    "AsyncWalledSessions",
    "CallerSession",
    "CallerSessions",
    "MakesAsyncSessions",
    "MakesSessions",
    "WalledSessions",
]

CallerSession: TypeAlias = Session
AsyncCallerSession: TypeAlias = AsyncSession

NEEDS_ELEVATION: Final = "needs_elevation"
"""The reason code for callers who see all rows: that is asked for by `Guard.elevated(reason=…)`,
where it is audited and ends, and never comes along with a request."""

BEHIND_THE_WALL: Final = "behind_the_wall"
"""The reason code for what row-level security did not let through."""

_NOT_ALLOWED: Final = "42501"


class MakesSessions(Protocol):
    """What `storage.guard.engine.Guard` and `WalledSessions` do."""

    def session(self, scope: Scope, *, close_resets_only: bool) -> Session:
        """Return a session for *scope*, over an engine of its own."""
        ...


class MakesAsyncSessions(Protocol):
    """What `storage.guard.engine.Guard` and `AsyncWalledSessions` do."""

    def async_session(self, scope: Scope, *, close_resets_only: bool) -> AsyncSession:
        """Return a session for *scope*, over an engine of its own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WalledSessions:
    """Sessions behind row-level security alone, for a login that has no rights of its own.

    The guard is the stronger way, and goes with the wall: `Guard(entering=…)`. This is for
    trusted code that needs statements which the guard refuses: SQL by `text()` could take on
    another scope, and has to be read for it.
    """

    engine: Engine
    roles: WallRoles = field(default_factory=WallRoles)

    def session(self, scope: Scope, *, close_resets_only: bool) -> Session:
        """Return a session for *scope*. Close it."""
        engine = walled_engine(self.engine, scope, roles=self.roles)
        return Session(engine, close_resets_only=close_resets_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncWalledSessions:
    """What `WalledSessions` is, awaited."""

    engine: AsyncEngine
    roles: WallRoles = field(default_factory=WallRoles)

    def async_session(self, scope: Scope, *, close_resets_only: bool) -> AsyncSession:
        """Return a session for *scope*. Close it."""
        engine = walled_async_engine(self.engine, scope, roles=self.roles)
        return AsyncSession(engine, close_resets_only=close_resets_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSessions:
    """Opens a session for who calls, and ends it for good.

    What is not committed by then is rolled back. What the database refuses is raised as an
    error of `evara_core.errors`.
    """

    reads_only: bool = False
    """Nothing can be changed; on PostgreSQL all reads see one state of the database."""

    @contextmanager
    def blocking(self, source: MakesSessions, principal: Principal) -> Iterator[Session]:
        """Yield a session of the rows of *principal*.

        Raises:
            DeniedError: The principal sees no rows; or all, which takes an elevation.
        """
        scope = _limited_scope(principal)
        session = source.session(scope, close_resets_only=False)
        self._prepare(session)
        with _meant(), session:
            yield session

    @asynccontextmanager
    async def awaited(
        self, source: MakesAsyncSessions, principal: Principal
    ) -> AsyncIterator[AsyncSession]:
        """Yield what `blocking` yields, to await.

        Raises:
            DeniedError: The principal sees no rows; or all, which takes an elevation.
        """
        scope = _limited_scope(principal)
        session = source.async_session(scope, close_resets_only=False)
        self._prepare(session.sync_session)
        with _meant():
            async with session:
                yield session

    def _prepare(self, session: Session) -> None:
        if not self.reads_only:
            return
        engine: Any = session.bind
        options = transaction_options(engine.dialect.name, reads_only=True)
        engine.update_execution_options(**options)
        event.listen(engine, "before_cursor_execute", _refuse_changes)


def _limited_scope(principal: Principal) -> Scope:
    scope = permitted_scope(principal)
    if isinstance(scope, All):
        raise DeniedError("rows", NEEDS_ELEVATION)
    return scope


def _refuse_changes(*event_arguments: object) -> None:
    context = cast("DefaultExecutionContext", event_arguments[4])
    if context.isinsert or context.isupdate or context.isdelete or context.isddl:
        raise StatementRefusedError("a change in a session that only reads", "open one that writes")


@contextmanager
def _meant() -> Iterator[None]:
    """Translate errors of the database only: the block is code of others."""
    try:
        yield
    except SQLAlchemyError as error:
        if getattr(getattr(error, "orig", None), "sqlstate", None) == _NOT_ALLOWED:
            raise DeniedError("rows", BEHIND_THE_WALL) from error
        with translated():
            raise
    except OSError as error:
        if not _was_connecting(error):
            raise
        with translated():
            raise


def _was_connecting(error: OSError) -> bool:
    """Whether it came out of the pool: asyncpg lets such errors through when it cannot connect."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("sqlalchemy.pool"):
            return True
        trace = trace.tb_next
    return False
