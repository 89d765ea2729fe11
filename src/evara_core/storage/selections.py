"""Selecting what a page shows, and the values of its sort keys along with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData

from evara_core.storage.keyset import readable_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Select

    from evara_core.storage.criteria import SqlColumn

__all__ = ["Selection", "bare", "with_keys", "without_last"]


def bare(column: Any) -> Any:  # noqa: ANN401 - an element, an attribute or an entity
    """Return the element behind *column*: the same one each time."""
    return getattr(column, "expression", column)


@dataclass(frozen=True, slots=True)
class Selection:
    """A statement that selects the values of all sort keys as well."""

    statement: Select[Any]
    places: tuple[int, ...]
    """Of the sort keys in a row."""

    hidden: int
    """How many columns at the end were added for them."""


def with_keys(
    statement: Select[Any], selected: Sequence[Any], keys: Sequence[SqlColumn]
) -> Selection:
    """Return *statement* with a column added for each of *keys* that *selected* lacks.

    Args:
        statement: What to read.
        selected: Its columns, bare, in their order.
        keys: The sort keys.
    """
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
    return Selection(statement.add_columns(*labelled), tuple(places), len(hidden))


def without_last(rows: tuple[Row[Any], ...], count: int) -> tuple[Row[Any], ...]:
    """Return *rows* without their last *count* columns."""
    if not count or not rows:
        return rows
    metadata = SimpleResultMetaData(rows[0]._fields[:-count])
    cut: IteratorResult[Any] = IteratorResult(metadata, iter([row[:-count] for row in rows]))
    return tuple(cut.all())
