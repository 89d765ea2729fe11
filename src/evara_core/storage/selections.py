"""Selecting what a page shows, and the values of its sort keys along with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute

from evara_core.storage.keyset import key_reader, readable_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row, Select

    from evara_core.query.cursor import KeyValue
    from evara_core.storage.criteria import SqlColumn

__all__ = ["Selection", "bare", "with_keys", "without_last"]


def bare(column: Any) -> Any:  # noqa: ANN401 - an element, an attribute or an entity
    """Return the element behind *column*: the same one each time."""
    return getattr(column, "expression", column)


@dataclass(frozen=True, slots=True)
class Selection:
    """A statement whose rows tell the values of all sort keys."""

    statement: Select[Any]
    key_of: Callable[[Row[Any]], tuple[KeyValue, ...]]
    """Reads them."""

    hidden: int
    """How many columns at the end were added for them."""


def with_keys(
    statement: Select[Any],
    selected: Sequence[Any],
    keys: Sequence[SqlColumn],
    *,
    entity: type | None = None,
) -> Selection:
    """Return *statement* with a column added for each of *keys* that *selected* lacks.

    Args:
        statement: What to read.
        selected: Its columns, bare, in their order.
        keys: The sort keys.
        entity: The mapped class that comes first in each row. Keys that are attributes of it
            are read from there: as they are shown.
    """
    if entity is not None and all(_is_loaded(key, entity) for key in keys):
        return Selection(statement, _from_entity(keys), 0)
    # By identity: `==` would build SQL.
    found = {id(column): place for place, column in reversed(list(enumerate(selected)))}
    places: list[int] = []
    hidden: list[SqlColumn] = []
    for key in keys:
        readable = readable_key(key)
        place = found.get(id(bare(key))) if readable is None else None
        if place is None:
            place = len(selected) + len(hidden)
            hidden.append(key if readable is None else readable)
        places.append(place)
    labelled = [column.label(f"key_{number}") for number, column in enumerate(hidden)]
    return Selection(statement.add_columns(*labelled), _from_places(keys, places), len(hidden))


def _is_loaded(key: SqlColumn, entity: type) -> bool:
    """Return whether *entity* holds the value of *key* as soon as it is read."""
    if not isinstance(key, InstrumentedAttribute) or key.class_ is not entity:
        return False
    is_column = isinstance(key.property, ColumnProperty) and not key.property.deferred
    return is_column and readable_key(key) is None


def _from_entity(keys: Sequence[SqlColumn]) -> Callable[[Row[Any]], tuple[KeyValue, ...]]:
    names = [key.key for key in keys if isinstance(key, InstrumentedAttribute)]
    converters = [key_reader(key) for key in keys]

    def key_of(row: Row[Any]) -> tuple[KeyValue, ...]:
        entity = row[0]
        return tuple(
            [
                convert(getattr(entity, name))
                for name, convert in zip(names, converters, strict=True)
            ]
        )

    return key_of


def _from_places(
    keys: Sequence[SqlColumn], places: Sequence[int]
) -> Callable[[Row[Any]], tuple[KeyValue, ...]]:
    readers = [(place, key_reader(key)) for place, key in zip(places, keys, strict=True)]

    def key_of(row: Row[Any]) -> tuple[KeyValue, ...]:
        return tuple([convert(row[place]) for place, convert in readers])

    return key_of


def without_last(rows: tuple[Row[Any], ...], count: int) -> tuple[Row[Any], ...]:
    """Return *rows* without their last *count* columns."""
    if not count or not rows:
        return rows
    metadata = SimpleResultMetaData(rows[0]._fields[:-count])
    cut: IteratorResult[Any] = IteratorResult(metadata, iter([row[:-count] for row in rows]))
    return tuple(cut.all())
