"""Engines and sessions that are bound to one scope for life."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from typing_extensions import override

from evara_core.access.tenancy import All
from evara_core.clock import SystemClock
from evara_core.errors import ConfigurationError, StatementRefusedError
from evara_core.storage.guard.compiler import ALLOWED_FUNCTIONS, scoped_compiler
from evara_core.storage.guard.connection import ScopedDialect, ScopedEngine
from evara_core.storage.guard.policies import kind_of, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import Dialect

    from evara_core.access.tenancy import Kind, Scope
    from evara_core.clock import Clock
    from evara_core.storage.guard.policies import GuardPolicy

__all__ = ["Elevation", "Guard", "ScopedSession"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elevation:
    """That somebody worked without a scope. For the audit log."""

    reason: str
    actor_id: str
    lasts_s: float
    allows_sql: bool = False


class ScopedSession(Session):
    """A session of one scope: everything it asks goes through its engine.

    Objects of other sessions do not enter it: what they hold was read in another scope.
    """

    @override
    def get_bind(self, *arguments: Any, **more: Any) -> Engine | Connection:
        bind: Engine | Connection = _scoped_only(self.bind)
        return bind

    @override
    def _connection_for_bind(self, engine: Any, *arguments: Any, **more: Any) -> Connection:
        # Whatever way a connection is asked for, it is asked for here.
        return super()._connection_for_bind(_scoped_only(engine), *arguments, **more)


def _scoped_only(bind: Any) -> Any:
    if not isinstance(getattr(bind, "engine", bind), ScopedEngine):
        raise StatementRefusedError("another engine in a scoped session", "make a new session")
    return bind


def _refuse_strangers(session: Session, instance: object) -> None:
    state: Any = instance.__dict__.get("_sa_instance_state")
    if state is not None and state.key is not None and state.session_id != session.hash_key:
        loading = state.key in session.identity_map or state._attached
        if not loading:
            raise StatementRefusedError(
                "an object of another session", "read it again in this one, or copy its values"
            )


event.listen(ScopedSession, "before_attach", _refuse_strangers)


class Guard:
    """Makes engines and sessions out of one engine, each for one scope.

    The engine itself is not to be handed to code that works for tenants.

    Args:
        engine: Whose pool is shared.
        policy: To whom the rows belong.
        more_functions: SQL functions that compute and read nothing, besides `ALLOWED_FUNCTIONS`.
        entering: What the database is told when a transaction for a scope begins, for row-level
            security behind the guard: `storage.rls.binding.entering`.
        elevated_engine: Where elevated work logs in. With row-level security that is a login of
            its own; without, the same engine.
        clock: Ends elevations.
        watch: Is told of every elevation before it begins.

    Raises:
        ConfigurationError: A function name is none.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        policy: GuardPolicy,
        *,
        more_functions: Iterable[str] = (),
        entering: Callable[[Scope], Callable[[Connection], None]] | None = None,
        elevated_engine: Engine | AsyncEngine | None = None,
        clock: Clock | None = None,
        watch: Callable[[Elevation], None] | None = None,
    ) -> None:
        self._engine = _blocking(engine)
        self._elevated = None if elevated_engine is None else _blocking(elevated_engine)
        self._entering = entering
        self._policy = policy
        self._functions = ALLOWED_FUNCTIONS | {name.lower() for name in more_functions}
        if not all(name.isidentifier() for name in self._functions):
            raise ConfigurationError("functions are allowed by their plain names")
        self._clock = clock or SystemClock()
        self._watch = watch
        self._kinds: dict[tuple[Kind, bool], Dialect] = {}
        if entering is None and elevated_engine is None:
            self._elevated = self._engine

    def engine(self, scope: Scope) -> ScopedEngine:
        """Return an engine for *scope*. Cheap: it shares the pool and what was compiled.

        Raises:
            StatementRefusedError: The scope is of no rows.
        """
        if isinstance(scope, All):
            raise StatementRefusedError("a scope of all rows", "say why: elevated(reason=…)")
        kind = kind_of(scope)
        scoped = ScopedEngine(
            self._engine,
            self._dialect(kind),
            self._policy,
            self._clock,
            kind=kind,
            values=values_of(scope),
        )
        if self._entering is not None:
            enter = self._entering(scope)
            event.listen(scoped, "begin", enter)
            event.listen(scoped, "begin_twophase", lambda connection, _: enter(connection))
        return scoped

    def session(self, scope: Scope, **options: Any) -> ScopedSession:
        """Return a session for *scope*. Close it."""
        return ScopedSession(bind=self.engine(scope), **options)

    def async_engine(self, scope: Scope) -> AsyncEngine:
        """Return an engine for *scope*, to await."""
        return AsyncEngine(self.engine(scope))

    def async_session(self, scope: Scope, **options: Any) -> AsyncSession:
        """Return a session for *scope*, to await. Close it."""
        return AsyncSession(
            bind=self.async_engine(scope), sync_session_class=ScopedSession, **options
        )

    @contextmanager
    def elevated(
        self, *, reason: str, actor_id: str, lasts_s: float = 60.0, allows_sql: bool = False
    ) -> Iterator[ScopedEngine]:
        """Yield an engine that sees all rows, for a while and for a reason that is told.

        Statements are checked as always, only not limited; with *allows_sql* they are not
        checked either: that is the way for trusted SQL, `text()` and upserts included. It
        refuses when its time is over or the block was left.

        Raises:
            ConfigurationError: There is no reason, or no engine to log in by.
        """
        if not reason.strip() or not actor_id or lasts_s <= 0:
            raise ConfigurationError("an elevation has a reason, an actor and an end")
        if self._elevated is None:
            raise ConfigurationError("behind row-level security, give the guard elevated_engine")
        if self._watch is not None:
            self._watch(
                Elevation(reason=reason, actor_id=actor_id, lasts_s=lasts_s, allows_sql=allows_sql)
            )
        engine = ScopedEngine(
            self._elevated,
            self._dialect(None, allows_sql=allows_sql),
            self._policy,
            self._clock,
            kind=None,
            values={},
            until_s=self._clock.elapsed_s() + lasts_s,
            allows_sql=allows_sql,
        )
        try:
            yield engine
        finally:
            engine.evara_until_s = float("-inf")

    def _dialect(self, kind: Kind, *, allows_sql: bool = False) -> Dialect:
        """Return the dialect with a compiler for *kind*; statements are cached by dialect."""
        found = self._kinds.get((kind, allows_sql))
        if found is None:
            base = (self._elevated or self._engine if kind is None else self._engine).dialect
            known: Any = type(base)
            # SQLAlchemy looks for it in the very class, and caches nothing without.
            caches = bool(known.__dict__.get("supports_statement_cache"))
            body: dict[str, Any] = {"supports_statement_cache": caches}
            if not allows_sql:
                body["statement_compiler"] = scoped_compiler(
                    known.statement_compiler, self._policy, kind, self._functions
                )
            scoped: Any = type(f"Scoped{known.__name__}", (ScopedDialect, known), body)
            made = scoped.__new__(scoped)
            # The very same dict: what the dialect learns of the server, it learns for both.
            made.__dict__ = base.__dict__
            found = self._kinds[kind, allows_sql] = cast("Dialect", made)
        return found


def _blocking(engine: Engine | AsyncEngine) -> Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine
