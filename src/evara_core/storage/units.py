"""One transaction, blocking or awaited."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, Self, TypeVar

from anyio import CancelScope, move_on_after
from anyio.lowlevel import checkpoint_if_cancelled
from sqlalchemy.exc import SQLAlchemyError

from evara_core.errors import ClosedError, EvaraError
from evara_core.flow import run, run_async
from evara_core.storage.engine import transaction_options
from evara_core.storage.failures import translated
from evara_core.storage.performing import perform
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from evara_core.storage.statements import Answer, Question, Statements

__all__ = ["AsyncUnit", "Unit"]

C = TypeVar("C")
T = TypeVar("T")

_NEEDS_ITS_END = frozenset({"sqlite"})
"""Databases whose driver works in a thread of its own, which a cancelled call leaves behind: the
connection is lost, and its thread keeps the process."""

ROLLBACK_WITHIN_S = 5.0
"""How long a cancelled unit may take to give its connection back in good order."""


class Unit:
    """One transaction: all of what its flows write, or nothing.

    A context manager. It commits when the block ends and rolls back when the block raises, or
    when a statement failed, even if the error was caught: it is raised again at the end. Only
    going back to a savepoint from before it makes it good.

    An error that the commit itself raises leaves open whether it took effect: flows of this
    package may be run again.
    """

    def __init__(self, engine: Engine, *, reads_only: bool = False) -> None:
        self._engine = engine
        self._options = transaction_options(engine.dialect.name, reads_only=reads_only)
        self._connection: Connection | None = None
        self._stack = ExitStack()
        self._after: list[Callable[[], object]] = []
        self._failure: Exception | None = None

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
        failure = error or self._failure
        if failure is None:
            with ExitStack() as after:
                for call in reversed(self._after):
                    after.callback(call)
                with translated():
                    self._stack.close()
            return
        # That the rollback failed too would only hide what went wrong.
        with suppress(EvaraError, SQLAlchemyError), translated():
            self._stack.__exit__(type(failure), failure, trace)
        if error is None:
            raise failure

    def after_commit(self, call: Callable[[], object]) -> None:
        """Call *call* when the block has ended, unless it is rolled back.

        Also when the commit itself fails, since it may have taken effect all the same: for
        what does no harm, such as an invalidation.
        """
        self._after.append(call)

    def run(self, flow: Statements[T]) -> T:
        """Carry *flow* to its end inside this transaction.

        Raises:
            ConflictError: A constraint says no.
            StorageUnavailableError: The database is away, busy, or too slow.
        """
        return run(flow, self._perform)

    def _perform(self, question: Question) -> Answer:
        connection = _opened(self._connection)
        try:
            answer = perform(connection, question)
        except Exception as error:
            self._failure = error
            raise
        if isinstance(question, Query) and question.heals:
            self._failure = None
        return answer


class AsyncUnit:
    """What `Unit` is, awaited.

    A cancellation in the middle of a statement takes effect at once on PostgreSQL, and after
    the statement on SQLite, which takes milliseconds, or `EngineLimits.lock_timeout` when
    another process writes.
    """

    def __init__(self, engine: AsyncEngine, *, reads_only: bool = False) -> None:
        self._engine = engine
        self._has_to_end = engine.dialect.name in _NEEDS_ITS_END
        self._options = transaction_options(engine.dialect.name, reads_only=reads_only)
        self._connection: AsyncConnection | None = None
        self._stack = AsyncExitStack()
        self._after: list[Callable[[], Awaitable[object]]] = []
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        await checkpoint_if_cancelled()
        with translated(), CancelScope(shield=self._has_to_end):
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
        failure = error or self._failure
        if failure is None:
            async with AsyncExitStack() as after:
                for call in reversed(self._after):
                    after.push_async_callback(call)
                with translated(), CancelScope(shield=self._has_to_end):
                    await self._stack.aclose()
            return
        # That the rollback failed too would only hide what went wrong.
        with (
            move_on_after(ROLLBACK_WITHIN_S, shield=True),
            suppress(EvaraError, SQLAlchemyError),
            translated(),
        ):
            await self._stack.__aexit__(type(failure), failure, trace)
        if error is None:
            raise failure

    def after_commit(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call *call* when the block has ended, unless it is rolled back. See `Unit`."""
        self._after.append(call)

    async def run(self, flow: Statements[T]) -> T:
        """Carry *flow* to its end inside this transaction.

        Raises:
            ConflictError: A constraint says no.
            StorageUnavailableError: The database is away, busy, or too slow.
        """
        return await run_async(flow, self._perform)

    async def _perform(self, question: Question) -> Answer:
        connection = _opened(self._connection)
        await checkpoint_if_cancelled()
        answer: Answer | None = None
        try:
            with CancelScope(shield=self._has_to_end):
                answer = await connection.run_sync(perform, question)
        except Exception as error:
            self._failure = error
            raise
        assert answer is not None, "nobody cancels the scope"
        if isinstance(question, Query) and question.heals:
            self._failure = None
        return answer


def _opened(connection: C | None) -> C:
    if connection is None:
        problem = "a unit runs flows inside its `with` block only"
        raise ClosedError(problem)
    return connection
