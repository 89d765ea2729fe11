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
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Float, Numeric, and_, bindparam, tuple_, type_coerce
from sqlalchemy import Enum as EnumType
from sqlalchemy.sql.selectable import Alias, Join, TableClause

from evara_core.errors import ConfigurationError
from evara_core.storage.criteria import bind_type, bind_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, FromClause, Select
    from sqlalchemy.types import TypeEngine

    from evara_core.query.cursor import KeyValue, Position
    from evara_core.storage.criteria import SqlColumn

__all__ = [
    "Key",
    "key_reader",
    "key_slots",
    "never_null",
    "ordering",
    "ranges",
    "readable_key",
    "refuse_unpageable",
]


@dataclass(frozen=True, slots=True)
class Key:
    """One step of the order in which rows are read."""

    column: SqlColumn
    kind: TypeEngine[Any]
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

    They hold slots, which `key_slots` fills, in the place of the values: only which of the
    values are missing is built into them.

    Args:
        keys: The order in which rows are read: of a page backwards, the reversed one.
        position: One value for each key.
    """
    steps = [
        _Step(
            key,
            None if value is None else bindparam(_slot(place), type_=_key_type(key.kind)),
        )
        for place, (key, value) in enumerate(zip(keys, position.values, strict=True))
    ]
    tail = _start_of_tail(steps)
    found = []
    if tail < len(steps):
        beyond = _row_beyond(steps[tail:], inclusive=position.inclusive)
        found.append(and_(*map(_equals, steps[:tail]), beyond))
    elif position.inclusive:
        found.append(and_(*map(_equals, steps)))
    for place in reversed(range(tail)):
        equal = [_equals(step) for step in steps[:place]]
        found += [and_(*equal, beyond) for beyond in _beyond(steps[place])]
    return found


def key_slots(keys: Sequence[Key], position: Position) -> dict[str, object]:
    """Return what to put into the slots of `ranges`."""
    return {
        _slot(place): bind_value(value, key.kind)
        for place, (key, value) in enumerate(zip(keys, position.values, strict=True))
        if value is not None
    }


def _slot(place: int) -> str:
    return f"evara_key_{place}"


@dataclass(frozen=True, slots=True)
class _Step:
    key: Key
    value: ColumnElement[Any] | None
    """None: missing in the row at the position."""


def _start_of_tail(steps: Sequence[_Step]) -> int:
    """Return where the last keys begin that one row comparison can serve.

    They have one direction and are never missing.
    """
    start = len(steps)
    descending = steps[-1].key.descending
    while start > 0:
        step = steps[start - 1]
        if step.key.nullable or step.value is None or step.key.descending != descending:
            break
        start -= 1
    return start


def _equals(step: _Step) -> ColumnElement[bool]:
    column = step.key.column
    return column.is_(None) if step.value is None else column == step.value


def _beyond(step: _Step) -> Iterator[ColumnElement[bool]]:
    key, value = step.key, step.value
    if value is None:
        if key.descending:
            yield key.column.is_not(None)
        return
    yield key.column < value if key.descending else key.column > value
    if key.nullable and not key.descending:
        yield key.column.is_(None)


def _row_beyond(steps: Sequence[_Step], *, inclusive: bool) -> ColumnElement[bool]:
    row: Any = steps[0].key.column
    bound: Any = steps[0].value
    if len(steps) > 1:
        row = tuple_(*(step.key.column for step in steps))
        bound = tuple_(*(step.value for step in steps))
    compare = _INCLUSIVE if inclusive else _EXCLUSIVE
    beyond: ColumnElement[bool] = compare[steps[0].key.descending](row, bound)
    return beyond


_EXCLUSIVE = (operator.gt, operator.lt)
_INCLUSIVE = (operator.ge, operator.le)


def readable_key(column: SqlColumn) -> SqlColumn | None:
    """Return how to select *column* so that its value is exactly what it is compared with.

    None: as it is. SQLite keeps decimals as doubles, and what is read as a decimal of so many
    places is not always what is stored.
    """
    kind = _key_type(column.type)
    return type_coerce(column, kind) if _is_decimal(column.type) else None


def _key_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.with_variant(Double(), "sqlite") if _is_decimal(kind) else bind_type(kind)


def _is_decimal(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, Numeric) and not isinstance(kind, Float)


def key_reader(column: SqlColumn) -> Callable[[Any], KeyValue]:
    """Return how to turn what is read from *column* into what a cursor carries.

    A member of an enumeration is carried as what the database calls it.
    """
    kind = column.type
    if not isinstance(kind, EnumType) or kind.enum_class is None:
        return _as_it_is
    labels = dict(zip(kind.enum_class, kind.enums, strict=True))
    return lambda member: None if member is None else labels[member]


def _as_it_is(value: KeyValue) -> KeyValue:
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
