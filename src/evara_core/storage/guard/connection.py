"""Connections that let nothing through which was not looked at.

What a statement brings along is looked at where it is handed over (`execute`, `scalar`); its SQL
comes from the scoped compiler. Whether both happened is asked where each statement leaves for
the driver, whatever way it came: a way that nobody knows of is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from sqlalchemy import Connection
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.lambdas import StatementLambdaElement
from sqlalchemy.sql.selectable import SelectBase
from typing_extensions import override

from evara_core.errors import StatementRefusedError
from evara_core.storage.guard.compiler import current_values
from evara_core.storage.guard.gate import check_cursor, check_statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import Dialect

    from evara_core.access.tenancy import Kind
    from evara_core.clock import Clock
    from evara_core.storage.guard.policies import GuardPolicy, Values

__all__ = ["ScopedConnection", "ScopedDialect", "ScopedEngine"]

_FORBIDDEN_OPTIONS: Final = frozenset({"schema_translate_map"})
_READS: Final = (SelectBase, StatementLambdaElement)


class ScopedConnection(Connection):
    """A connection of a `ScopedEngine`."""

    engine: ScopedEngine
    evara_passed: Any = None
    """The statement that was looked at last."""

    @override
    def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        statement, parameters = self._look_at(statement, parameters)
        return super().execute(statement, parameters, **options)

    @override
    def scalar(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        statement, parameters = self._look_at(statement, parameters)
        return super().scalar(statement, parameters, **options)

    @override
    def execution_options(self, **options: Any) -> Any:
        self.engine.check_options(options)
        return super().execution_options(**options)

    def _look_at(self, statement: Any, parameters: Any) -> tuple[Any, Any]:
        engine = self.engine
        if engine.evara_allows_sql:
            return statement, parameters
        if isinstance(statement, FunctionElement):
            statement = statement.select()
        if not isinstance(statement, _READS):
            values = engine.evara_values
            rows = check_statement(
                self, statement, _rows(parameters), engine.evara_policy, engine.evara_kind, values
            )
            parameters = rows[0] if len(rows) == 1 else rows or None
        # Looking references up has executed statements of its own on the way.
        current_values.set(engine.evara_values)
        self.evara_passed = statement
        return statement, parameters


class ScopedEngine(OptionEngine):
    """An engine whose statements all run within one scope. Made by a `Guard`."""

    _connection_cls = ScopedConnection

    def __init__(
        self,
        proxied: Engine,
        dialect: Dialect,
        policy: GuardPolicy,
        clock: Clock,
        *,
        kind: Kind,
        values: Values,
        until_s: float | None = None,
        allows_sql: bool = False,
    ) -> None:
        super().__init__(proxied, {})
        self.dialect = dialect
        self.evara_policy: Final = policy
        self.evara_kind: Final = kind
        self.evara_values: Final = values
        self.evara_until_s = until_s
        self.evara_allows_sql: Final = allows_sql
        self._evara_clock: Final = clock

    def check(self, statement: str, connection: Any, context: Any) -> None:
        """Look once more, where a statement leaves for the driver.

        Raises:
            StatementRefusedError: The time is over, or it did not come the way that it should.
        """
        until_s = self.evara_until_s
        if until_s is not None and self._evara_clock.elapsed_s() >= until_s:
            raise StatementRefusedError("an elevation whose time is over", "ask for a new one")
        if not self.evara_allows_sql:
            check_cursor(statement, context, getattr(connection, "evara_passed", None))
            if not _FORBIDDEN_OPTIONS.isdisjoint(context.execution_options):
                self.check_options(context.execution_options)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse options that would change what a name in a statement stands for.

        Raises:
            StatementRefusedError: There is one.
        """
        named = _FORBIDDEN_OPTIONS & options.keys()
        if named and not self.evara_allows_sql:
            raise StatementRefusedError(f"the execution option {min(named)}", "leave it out")

    @override
    def update_execution_options(self, **options: Any) -> None:
        if options:
            self.check_options(options)
        super().update_execution_options(**options)

    @override
    def execution_options(self, **options: Any) -> NoReturn:
        raise StatementRefusedError("another engine made of a scoped one", "set them per statement")


# What it is mixed into, a dialect, is typed loosely.
_Base: Any = object


class ScopedDialect(_Base):
    """Mixed into a dialect: what leaves for the driver is looked at."""

    def do_execute(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        """Execute, as all dialects do, what comes from a scoped connection."""
        _check(statement, context)
        super().do_execute(cursor, statement, parameters, context)

    def do_executemany(
        self, cursor: Any, statement: Any, parameters: Any, context: Any = None
    ) -> None:
        """Execute for many rows."""
        _check(statement, context)
        super().do_executemany(cursor, statement, parameters, context)

    def do_execute_no_params(self, cursor: Any, statement: Any, context: Any = None) -> None:
        """Execute without parameters."""
        _check(statement, context)
        super().do_execute_no_params(cursor, statement, context)


def _check(statement: str, context: Any) -> None:
    connection = getattr(context, "root_connection", None)
    engine = getattr(connection, "engine", None)
    if not isinstance(engine, ScopedEngine):
        raise StatementRefusedError("a connection without a scope", "make it with a Guard")
    engine.check(statement, connection, context)


def _rows(parameters: Any) -> list[dict[str, Any]]:
    """Return the parameters of each execution: they are given for one, or for many."""
    if not parameters:
        return []
    return [dict(parameters)] if hasattr(parameters, "keys") else list(parameters)
