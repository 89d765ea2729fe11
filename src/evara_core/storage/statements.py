"""What a storage flow asks for, and what it is answered.

A function of this package that needs several statements is a flow (`evara_core.flow`): it
yields a `Query` and is sent an `Answer`. `storage.units` runs it in one transaction, blocking
or awaited.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Executable, Row

__all__ = [
    "COPY_FROM_ROWS",
    "NONE_TAKEN",
    "Answer",
    "CopyRows",
    "DriverQuery",
    "Query",
    "Question",
    "Statements",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, with parameters for one execution or, as a sequence, for many."""

    statement: Executable
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None

    heals: bool = False
    """It goes back to a savepoint, so what failed since then need not fail the unit."""


@dataclass(frozen=True, slots=True)
class DriverQuery:
    """One statement of the driver's own SQL, executed once for each row of parameters.

    For bulk writes on SQLite only, where building rows of names costs more than the insert.
    Values reach the driver as they are.
    """

    sql: str
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class CopyRows:
    """Rows that PostgreSQL takes by COPY, its fastest way in. PostgreSQL only.

    COPY knows no ON CONFLICT, and no row-level security. When a row is there already, or policies
    apply to who asks, none is taken and the answer's `rowcount` is `NONE_TAKEN`; the transaction
    goes on.
    """

    table: str
    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


NONE_TAKEN = -1

COPY_FROM_ROWS = 500
"""COPY takes three more round trips than INSERT, for its savepoint, and half the time for each
row: from here on that pays."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    rows: Sequence[Row[Any]] = ()
    """All rows, for a statement that returns any."""

    rowcount: int = 0
    """For a statement that returns none: the rows that it inserted, changed or deleted."""


Question: TypeAlias = Query | DriverQuery | CopyRows

Statements: TypeAlias = Generator[Question, Answer, T]
"""A flow of statements that ends with T."""
