"""Pages read from a database by seeking, however deep they lie.

What follows a given row is a chain of ranges: first the rows that agree with it in all but
the last sort keys and lie beyond it there, then those that agree in fewer keys, and so on.
Each range is a SELECT that can seek in an index on the sort keys, which one condition for
all of them cannot. They are asked one after the other until the page is full; nearly always
the first one fills it.

Missing values count as the largest: PostgreSQL's indexes have them so, in both directions.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Enum as EnumType
from sqlalchemy import and_, tuple_
from sqlalchemy.sql.selectable import Alias, Join, TableClause

from evara_core.errors import ConfigurationError
from evara_core.storage.criteria import typed_literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, FromClause, Select

    from evara_core.query.cursor import KeyValue, Position
    from evara_core.storage.criteria import SqlColumn

__all__ = ["Key", "key_value", "never_null", "ordering", "ranges", "refuse_unpageable"]


@dataclass(frozen=True, slots=True)
class Key:
    """One step of the order in which rows are read."""

    column: SqlColumn
    descending: bool
    nullable: bool


def ordering(keys: Sequence[Key]) -> list[ColumnElement[Any]]:
    """Return the ORDER BY of *keys*."""
    return [_direction(key) for key in keys]


def _direction(key: Key) -> ColumnElement[Any]:
    ordered = key.column.desc() if key.descending else key.column.asc()
    if not key.nullable:
        return ordered
    return ordered.nulls_first() if key.descending else ordered.nulls_last()


def ranges(keys: Sequence[Key], position: Position) -> list[ColumnElement[bool]]:
    """Return the conditions of the ranges beyond *position*, the nearest first.

    Args:
        keys: The order in which rows are read: of a page backwards, the reversed one.
        position: One value for each key.
    """
    values = position.values
    tail = _start_of_tail(keys, values)
    found = []
    if tail < len(keys):
        beyond = _row_beyond(keys[tail:], values[tail:], inclusive=position.inclusive)
        found.append(_with_equal(keys[:tail], values, beyond))
    elif position.inclusive:
        found.append(_with_equal(keys, values))
    for place in reversed(range(tail)):
        found += [
            _with_equal(keys[:place], values, beyond)
            for beyond in _beyond(keys[place], values[place])
        ]
    return found


def _start_of_tail(keys: Sequence[Key], values: Sequence[KeyValue]) -> int:
    """Return where the last keys begin that one row comparison can serve.

    They have one direction and are never missing.
    """
    start = len(keys)
    while start > 0:
        key = keys[start - 1]
        if key.nullable or values[start - 1] is None or key.descending != keys[-1].descending:
            break
        start -= 1
    return start


def _with_equal(
    keys: Sequence[Key], values: Sequence[KeyValue], *beyond: ColumnElement[bool]
) -> ColumnElement[bool]:
    equal = (_equals(key, value) for key, value in zip(keys, values, strict=False))
    return and_(*equal, *beyond)


def _equals(key: Key, value: KeyValue) -> ColumnElement[bool]:
    if value is None:
        return key.column.is_(None)
    return key.column == typed_literal(value, key.column.type)


def _beyond(key: Key, value: KeyValue) -> Iterator[ColumnElement[bool]]:
    if value is None:
        if key.descending:
            yield key.column.is_not(None)
        return
    bound = typed_literal(value, key.column.type)
    yield key.column < bound if key.descending else key.column > bound
    if key.nullable and not key.descending:
        yield key.column.is_(None)


def _row_beyond(
    keys: Sequence[Key], values: Sequence[KeyValue], *, inclusive: bool
) -> ColumnElement[bool]:
    bounds = [
        typed_literal(value, key.column.type) for key, value in zip(keys, values, strict=True)
    ]
    row: Any = keys[0].column
    bound: Any = bounds[0]
    if len(keys) > 1:
        row, bound = tuple_(*(key.column for key in keys)), tuple_(*bounds)
    compare = _INCLUSIVE if inclusive else _EXCLUSIVE
    beyond: ColumnElement[bool] = compare[keys[0].descending](row, bound)
    return beyond


_EXCLUSIVE = (operator.gt, operator.lt)
_INCLUSIVE = (operator.ge, operator.le)


def key_value(value: KeyValue, column: SqlColumn) -> KeyValue:
    """Return what was read from *column* as what a cursor carries and the column is asked with."""
    if isinstance(value, Enum) and isinstance(column.type, EnumType):
        members = column.type.enum_class
        if members is not None:
            label: str = column.type.enums[list(members).index(value)]
            return label
    return value


def never_null(statement: Select[Any], column: SqlColumn) -> bool:
    """Return whether *column* has a value in every row of *statement*, as far as it can be seen.

    That is: it is a NOT NULL column of a table that no outer join makes optional.
    """
    bare = getattr(column, "expression", column)
    table = getattr(bare, "table", None)
    if getattr(bare, "nullable", True) or not isinstance(table, TableClause | Alias):
        return False
    if isinstance(table, Alias) and not isinstance(table.element, TableClause):
        return False
    return not any(
        optional.is_derived_from(table) or table.is_derived_from(optional)
        for source in statement.get_final_froms()
        for optional in _optional_sides(source, optional=False)
    )


def _optional_sides(source: FromClause, *, optional: bool) -> Iterator[FromClause]:
    if isinstance(source, Join):
        yield from _optional_sides(source.left, optional=optional or source.full)
        yield from _optional_sides(source.right, optional=optional or source.isouter or source.full)
    elif optional:
        yield source


# SQLAlchemy offers no public way to read these.
_shape = operator.attrgetter("_distinct", "_limit_clause", "_offset_clause", "_group_by_clauses")


def refuse_unpageable(statement: Select[Any]) -> bool:
    """Return whether *statement* is grouped.

    Raises:
        ConfigurationError: It cannot be paged as it is.
    """
    distinct, limit, offset, grouped = _shape(statement)
    if distinct or limit is not None or offset is not None:
        message = "DISTINCT, LIMIT and OFFSET cannot be paged: page over a subquery of it"
        raise ConfigurationError(message)
    return bool(grouped)
