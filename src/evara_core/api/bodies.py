"""From the members of a JSON body to typed values, as far as they may be written.

Only declared members are ever read: a client cannot assign what it should not know of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import field as field_of
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from evara_core.errors import InvalidBodyError, InvalidParameterError
from evara_core.query.spec import FieldType
from evara_core.query.values import read_value
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evara_core.query.ast import Value
    from evara_core.query.spec import Field

__all__ = ["Values", "Writable", "read_members", "read_object"]

MOST_DOCUMENT_BYTES = 16_000
"""A node's configuration is a few hundred."""

Values: TypeAlias = "Mapping[str, Value | None]"
"""By member name, typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writable:
    """A member that clients may write."""

    field: Field
    """Its name, type and bounds."""

    is_required: bool = False
    """In a new record."""

    is_nullable: bool = False

    is_fixed: bool = False
    """It is said of a new record, and never changed."""

    check: Callable[[Any], str | None] | None = field_of(default=None, compare=False)
    """From a value of the right type to what is wrong with it all the same; None: nothing."""


def read_object(body: object, pointer: str = "") -> dict[str, Any]:
    """Return *body* as an object.

    Raises:
        InvalidBodyError: It is none.
    """
    if not isinstance(body, dict):
        raise InvalidBodyError(pointer, "not an object")
    return body


def read_members(
    body: Mapping[str, object],
    writables: Sequence[Writable],
    *,
    is_new: bool,
    others: Sequence[str] = (),
) -> Values:
    """Return the members of *body* that are written, by name.

    Args:
        body: An object.
        writables: What may be in it.
        is_new: Whether the required ones must be there.
        others: Members that mean something else, and are left alone.

    Raises:
        InvalidBodyError: A member is unknown, missing or malformed. The pointer is within
            *body*.
    """
    by_name = {each.field.name: each for each in writables if is_new or not each.is_fixed}
    for name in body:
        if name not in by_name and name not in others:
            allowed = tuple(by_name)
            raise InvalidBodyError(
                f"/{_escaped(name)}", "is not a member that can be written", allowed
            )
    found: dict[str, Value | None] = {}
    for name, each in by_name.items():
        if name in body:
            found[name] = _checked(each, f"/{name}", body[name])
        elif is_new and each.is_required:
            raise InvalidBodyError(f"/{name}", "is missing")
    return found


def _checked(writable: Writable, pointer: str, sent: object) -> Value | None:
    value = _read(writable, pointer, sent)
    if value is not None and writable.check is not None:
        problem = writable.check(value)
        if problem is not None:
            raise InvalidBodyError(pointer, problem)
    if isinstance(value, str) and len(value) < writable.field.min_length:
        problem = f"shorter than {writable.field.min_length} characters"
        raise InvalidBodyError(pointer, problem)
    return value


def _read(writable: Writable, pointer: str, value: object) -> Value | None:
    if value is None:
        if not writable.is_nullable:
            raise InvalidBodyError(pointer, "may not be null")
        return None
    field = writable.field
    match field.type, value:
        case FieldType.BOOLEAN, bool():
            return value
        case FieldType.INTEGER, int() if not isinstance(value, bool):
            return _bounded(field, pointer, value)
        case FieldType.NUMBER, int() | float() if not isinstance(value, bool):
            return _bounded(field, pointer, float(value))
        case FieldType.DOCUMENT, dict():
            return _document(pointer, value)
        case ((FieldType.TEXT | FieldType.MOMENT | FieldType.UUID), str()):
            try:
                return read_value(field, pointer, value)
            except InvalidParameterError as error:
                raise InvalidBodyError(pointer, error.problem, error.allowed) from None
        case _:
            raise InvalidBodyError(pointer, f"not a value of type {field.type}")


def _document(pointer: str, value: dict[str, Any]) -> Value:
    if len(dump_json(value)) > MOST_DOCUMENT_BYTES:
        raise InvalidBodyError(pointer, f"longer than {MOST_DOCUMENT_BYTES} bytes")
    return cast("Value", value)


def _bounded(field: Field, pointer: str, value: float) -> int | float:
    low, high = field.range
    if not low <= value <= high or math.isinf(value):
        raise InvalidBodyError(pointer, f"not between {low} and {high}")
    return value


def _escaped(name: str) -> str:
    return name[:100].replace("~", "~0").replace("/", "~1")
