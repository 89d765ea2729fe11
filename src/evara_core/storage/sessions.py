"""Storage flows inside a session of the application's own, ORM included.

The session keeps its transaction: nothing here commits, rolls back or closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import ResourceClosedError

from evara_core.flow import run, run_async
from evara_core.storage import performing
from evara_core.storage.failures import translated
from evara_core.storage.statements import Answer, CopyRows, DriverQuery, Query

if TYPE_CHECKING:
    from sqlalchemy import Result
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from evara_core.storage.statements import Question, Statements

__all__ = ["run_in_async_session", "run_in_session"]

T = TypeVar("T")


def run_in_session(session: Session, flow: Statements[T]) -> T:
    """Carry *flow* to its end in *session*, which may return ORM entities.

    Raises:
        ConflictError: A constraint says no. Roll the session back.
        StorageUnavailableError: The database is away, busy, or too slow.
    """

    def perform(question: Question) -> Answer:
        with translated():
            match question:
                case Query(statement, parameters):
                    return _answer(session.execute(statement, parameters))
                case DriverQuery() | CopyRows():
                    return performing.perform(session.connection(), question)

    return run(flow, perform)


async def run_in_async_session(session: AsyncSession, flow: Statements[T]) -> T:
    """Do what `run_in_session` does, awaiting the database."""

    async def perform(question: Question) -> Answer:
        with translated():
            match question:
                case Query(statement, parameters):
                    return _answer(await session.execute(statement, parameters))
                case DriverQuery() | CopyRows():
                    connection = await session.connection()
                    return await connection.run_sync(performing.perform, question)

    return await run_async(flow, perform)


def _answer(result: Result[Any]) -> Answer:
    try:
        return Answer(rows=result.all())
    except ResourceClosedError:
        # Nothing else tells, of all the kinds of results that a session gives.
        return Answer(rowcount=getattr(result, "rowcount", 0))
