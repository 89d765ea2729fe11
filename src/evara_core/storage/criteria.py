"""Conditions as SQL.

`compile_criteria` is to SQLAlchemy what `query.predicate.compile_predicate` is to Python:
the same tree, the same three values, the same rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from uuid import UUID

from sqlalchemy import (
    REAL,
    BigInteger,
    DateTime,
    Float,
    Integer,
    String,
    TypeDecorator,
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
from typing_extensions import override

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
from evara_core.storage.search import ContainsText, like_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter
    from sqlalchemy.types import TypeEngine

__all__ = [
    "Binder",
    "Columns",
    "SqlColumn",
    "bind_type",
    "bind_value",
    "column_of",
    "compile_criteria",
]

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


class Binder(Protocol):
    """How values become parts of a statement. Values have been through `bind_value`."""

    def one(self, value: object, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        """Return *value* as a parameter of this type."""
        ...

    def many(self, values: Sequence[object], kind: TypeEngine[Any]) -> Any:  # noqa: ANN401 - what `in_` takes
        """Return *values* as what the right side of an IN may be."""
        ...


class _Literals(Binder):
    """Every value travels with its statement."""

    @override
    def one(self, value: object, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        return literal(value, kind)

    @override
    def many(self, values: Sequence[object], kind: TypeEngine[Any]) -> Any:
        return [literal(value, kind) for value in values]


class _SinglePrecision(TypeDecorator[float]):
    """A parameter that is compared with a `real` column.

    psycopg sends doubles, which differ from what the column holds in the last digits.
    """

    impl = REAL
    cache_ok = True

    @override
    def bind_expression(self, bindparam: BindParameter[float]) -> ColumnElement[float]:
        return cast(bindparam, REAL)


_LITERALS = _Literals()
_SINGLE = _SinglePrecision()
_BIGINT = BigInteger()


def compile_criteria(
    condition: Condition, columns: Columns, *, bind: Binder = _LITERALS
) -> ColumnElement[bool]:
    """Return *condition* as a criterion for a WHERE clause over *columns*.

    Raises:
        ConfigurationError: It names a field that *columns* does not have.
    """
    match condition:
        case Compare(name, comparison, value):
            column = column_of(columns, name)
            bound = bind.one(bind_value(value, column.type), bind_type(column.type))
            criterion: ColumnElement[bool] = _COMPARE[comparison](column, bound)
            return criterion
        case In(name, values):
            column = column_of(columns, name)
            found = [bind_value(value, column.type) for value in values]
            return column.in_(bind.many(found, bind_type(column.type))) if found else false()
        case IsNull(name):
            return column_of(columns, name).is_(None)
        case Contains(name, text):
            bound = bind.one(like_pattern(text), String())
            return ContainsText(column_of(columns, name), bound)
        case AllOf(parts):
            return and_(true(), *(compile_criteria(part, columns, bind=bind) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(compile_criteria(part, columns, bind=bind) for part in parts))
        case Not(part):
            return not_(compile_criteria(part, columns, bind=bind))


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


def bind_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type under which every driver compares a value with a column of *kind*.

    Integers go as 64 bits: asyncpg refuses those beyond the column's own 32.
    """
    if isinstance(kind, Integer):
        return _BIGINT
    if isinstance(kind, Float) and _is_single_precision(kind):
        return _SINGLE
    return kind


def bind_value(value: object, kind: TypeEngine[Any]) -> object:
    """Return *value* in the form that a column of *kind* is compared with."""
    match value:
        case datetime(tzinfo=zone) if zone is not None and isinstance(kind, DateTime):
            # In a column without a time zone, moments are UTC.
            return value if kind.timezone else value.astimezone(UTC).replace(tzinfo=None)
        case UUID() if isinstance(kind, String):
            return str(value)
        case _:
            return value


def _is_single_precision(kind: Float[Any]) -> bool:
    named = kind.__visit_name__ == "REAL"
    return named or (kind.precision or _SINGLE_PRECISION_BITS + 1) <= _SINGLE_PRECISION_BITS
