"""One transaction, blocking or awaited."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from evara_core.errors import ClosedError, EvaraError
from evara_core.flow import run, run_async
from evara_core.storage.engine import READS_ONLY, WRITES
from evara_core.storage.failures import translated
from evara_core.storage.statements import Answer, DriverQuery, Query

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, CursorResult, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from evara_core.storage.statements import Question, Statements

__all__ = ["AsyncUnit", "Unit"]

C = TypeVar("C")
T = TypeVar("T")

ROLLBACK_WITHIN_S = 5.0
"""How long a cancelled unit may take to give its connection back in good order."""


class Unit:
    """One transaction: all of what its flows write, or nothing.

    A context manager. It commits when the block ends and rolls back when the block raises.
    An error that the commit itself raises leaves open whether it took effect: flows of this
    package may be run again.
    """

    def __init__(self, engine: Engine, *, reads_only: bool = False) -> None:
        self._engine = engine
        self._options = READS_ONLY if reads_only else WRITES
        self._connection: Connection | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with translated(), ExitStack() as stack:
            connection = stack.enter_context(self._engine.connect())
            connection = connection.execution_options(**self._options)
            stack.enter_context(connection.begin())
            self._connection = connection
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection = None
        if error is None:
            with translated():
                self._stack.close()
            return
        # What went wrong is already on its way; that the rollback failed too would only hide it.
        with suppress(EvaraError), translated():
            self._stack.__exit__(kind, error, trace)

    def run(self, flow: Statements[T]) -> T:
        """Carry *flow* to its end inside this transaction.

        Raises:
            ConflictError: A constraint says no.
            StorageUnavailableError: The database is away, busy, or too slow.
        """
        return run(flow, self._perform)

    def _perform(self, question: Question) -> Answer:
        connection = _opened(self._connection)
        with translated():
            match question:
                case Query(statement, parameters):
                    return _answer(connection.execute(statement, parameters))
                case DriverQuery(sql, rows):
                    return _answer(connection.exec_driver_sql(sql, list(map(tuple, rows))))


class AsyncUnit:
    """What `Unit` is, awaited."""

    def __init__(self, engine: AsyncEngine, *, reads_only: bool = False) -> None:
        self._engine = engine
        self._options = READS_ONLY if reads_only else WRITES
        self._connection: AsyncConnection | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        with translated():
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(self._engine.connect())
                await connection.execution_options(**self._options)
                await stack.enter_async_context(connection.begin())
                self._connection = connection
                self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection = None
        if error is None:
            with translated():
                await self._stack.aclose()
            return
        # What went wrong is already on its way; that the rollback failed too would only hide it.
        with (
            anyio.move_on_after(ROLLBACK_WITHIN_S, shield=True),
            suppress(EvaraError),
            translated(),
        ):
            await self._stack.__aexit__(kind, error, trace)

    async def run(self, flow: Statements[T]) -> T:
        """Carry *flow* to its end inside this transaction.

        Raises:
            ConflictError: A constraint says no.
            StorageUnavailableError: The database is away, busy, or too slow.
        """
        return await run_async(flow, self._perform)

    async def _perform(self, question: Question) -> Answer:
        connection = _opened(self._connection)
        with translated():
            match question:
                case Query(statement, parameters):
                    return _answer(await connection.execute(statement, parameters))
                case DriverQuery(sql, rows):
                    rows = list(map(tuple, rows))
                    return _answer(await connection.exec_driver_sql(sql, rows))


def _opened(connection: C | None) -> C:
    if connection is None:
        problem = "a unit runs flows inside its `with` block only"
        raise ClosedError(problem)
    return connection


def _answer(result: CursorResult[Any]) -> Answer:
    if result.returns_rows:
        return Answer(rows=result.all())
    return Answer(rowcount=result.rowcount)
