"""Conditions as SQL.

`compile_criteria` is to SQLAlchemy what `query.predicate.compile_predicate` is to Python:
the same tree, the same three values, the same rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Float,
    Integer,
    String,
    and_,
    cast,
    false,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from evara_core.errors import ConfigurationError
from evara_core.query.ast import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Contains,
    In,
    IsNull,
    Not,
)

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

__all__ = ["Columns", "SqlColumn", "column_of", "compile_criteria", "typed_literal"]

SqlColumn: TypeAlias = ColumnElement[Any] | InstrumentedAttribute[Any]

Columns: TypeAlias = Mapping[str, SqlColumn]
"""Public name → column. Made at start-up; a name from outside is only looked up in it."""

_SINGLE_PRECISION_BITS = 24

_COMPARE: dict[Comparison, Callable[[Any, Any], Any]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
}


def compile_criteria(condition: Condition, columns: Columns) -> ColumnElement[bool]:
    """Return *condition* as a criterion for a WHERE clause over *columns*.

    Raises:
        ConfigurationError: It names a field that *columns* does not have.
    """
    match condition:
        case Compare(name, comparison, value):
            column = column_of(columns, name)
            criterion: ColumnElement[bool] = _COMPARE[comparison](
                column, typed_literal(value, column.type)
            )
            return criterion
        case In(name, values):
            column = column_of(columns, name)
            found = [typed_literal(value, column.type) for value in values]
            return column.in_(found) if found else false()
        case IsNull(name):
            return column_of(columns, name).is_(None)
        case Contains(name, text):
            return column_of(columns, name).icontains(text, autoescape=True)
        case AllOf(parts):
            return and_(true(), *(compile_criteria(part, columns) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(compile_criteria(part, columns) for part in parts))
        case Not(part):
            return not_(compile_criteria(part, columns))


def column_of(columns: Columns, name: str) -> SqlColumn:
    """Return the column behind a public name.

    Raises:
        ConfigurationError: There is none.
    """
    try:
        return columns[name]
    except KeyError:
        message = f"no column is declared for the field {name!r}"
        raise ConfigurationError(message) from None


def typed_literal(value: object, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return *value* as a bound parameter that every driver compares as a value of *kind*.

    Without the type, psycopg sends single-precision columns a double, which differs in the
    last digits; asyncpg refuses integers beyond 32 bits and moments with an offset.
    """
    match value:
        case datetime() if isinstance(kind, DateTime) and not kind.timezone:
            naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return literal(naive, kind)
        case bool():
            return literal(value, kind)
        case int() if isinstance(kind, Integer):
            return literal(value, BigInteger())
        case float() | int() if isinstance(kind, Float) and _is_single_precision(kind):
            return cast(literal(value, Float()), kind)
        case UUID() if isinstance(kind, String):
            return literal(str(value), kind)
        case _:
            return literal(value, kind)


def _is_single_precision(kind: Float[Any]) -> bool:
    named = kind.__visit_name__ == "REAL"
    return named or (kind.precision or _SINGLE_PRECISION_BITS + 1) <= _SINGLE_PRECISION_BITS
