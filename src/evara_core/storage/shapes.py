"""Statements kept by their shape, so that a request only fills in its values.

Building a statement costs more than running it. Two conditions have the same shape when
they differ in values only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from typing_extensions import override

from evara_core.query.ast import AllOf, AnyOf, Compare, Condition, Contains, In, IsNull, Not
from evara_core.storage.criteria import Binder, bind_value, column_of
from evara_core.storage.search import like_pattern

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.types import TypeEngine

    from evara_core.storage.criteria import Columns

__all__ = ["Slots", "shape_of", "slot_values"]


class Slots(Binder):
    """Leaves a named slot in the statement for each value, in the order of the condition."""

    def __init__(self) -> None:
        self._count = 0

    @override
    def one(self, value: object, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        return bindparam(self._next(), type_=kind)

    @override
    def many(self, values: Sequence[object], kind: TypeEngine[Any]) -> Any:
        return bindparam(self._next(), type_=kind, expanding=True)

    def _next(self) -> str:
        self._count += 1
        return f"evara_value_{self._count}"


def shape_of(condition: Condition) -> Hashable:
    """Return what is equal for conditions of the same shape."""
    match condition:
        case Compare(name, comparison, _):
            return (comparison, name)
        case In(name, values):
            return ("in" if values else "never", name)
        case IsNull(name):
            return ("null", name)
        case Contains(name, _):
            return ("contains", name)
        case AllOf(parts):
            return ("all", *map(shape_of, parts))
        case AnyOf(parts):
            return ("any", *map(shape_of, parts))
        case Not(part):
            return ("not", shape_of(part))


def slot_values(condition: Condition, columns: Columns) -> dict[str, object]:
    """Return what to put into the slots that `Slots` left for a condition of this shape."""
    values = _values(condition, columns)
    return {f"evara_value_{number}": value for number, value in enumerate(values, start=1)}


def _values(condition: Condition, columns: Columns) -> Iterator[object]:
    match condition:
        case Compare(name, _, value):
            yield bind_value(value, column_of(columns, name).type)
        case In(name, values) if values:
            kind = column_of(columns, name).type
            yield [bind_value(value, kind) for value in values]
        case Contains(_, text):
            yield like_pattern(text)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _values(part, columns)
        case Not(part):
            yield from _values(part, columns)
        case _:
            return
