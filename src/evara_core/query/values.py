"""From the text of a parameter to a typed value.

Every bound is checked here, so that no value reaches a driver that it would choke on: NUL
and lone surrogates, integers beyond 64 bits, NaN, moments without an offset.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from evara_core.errors import InvalidParameterError
from evara_core.query.spec import FieldType

if TYPE_CHECKING:
    from evara_core.query.ast import Value
    from evara_core.query.spec import Field

__all__ = ["MAX_PARAMETER_LENGTH", "read_flag", "read_text", "read_value", "shown", "split_list"]

MAX_PARAMETER_LENGTH = 4_000
"""Characters: a list of a hundred UUIDs, and half of what servers take as a whole URL."""

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+ -]\d\d:?\d\d)?)?", re.ASCII
)
_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|[0-9a-fA-F]{32}"
)
_LIST_ITEM = re.compile(r'"((?:[^"]|"")*)"(?:,|$)|([^",]*)(?:,|$)')


def read_text(parameter: str, text: str) -> str:
    """Return *text* if every part of the way can carry it.

    Raises:
        InvalidParameterError: It is too long, or holds NUL or a lone surrogate.
    """
    if len(text) > MAX_PARAMETER_LENGTH:
        raise InvalidParameterError(parameter, f"longer than {MAX_PARAMETER_LENGTH} characters")
    if "\x00" in text:
        raise InvalidParameterError(parameter, "holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidParameterError(parameter, "is not UTF-8") from None
    return text


def read_flag(parameter: str, text: str) -> bool:
    """Return what `true` or `false` says."""
    if text not in {"true", "false"}:
        raise InvalidParameterError(parameter, f"not a truth value: {shown(text)}", _FLAGS)
    return text == "true"


_FLAGS = ("true", "false")


def split_list(parameter: str, text: str) -> list[str]:
    """Return the items of a comma list. An item with a comma stands in double quotes.

    A double quote within quotes is doubled, as in CSV.
    """
    items: list[str] = []
    at = 0
    while at <= len(text):
        found = _LIST_ITEM.match(text, at)
        if found is None:
            problem = f"a double quote is out of place at character {at}"
            raise InvalidParameterError(parameter, problem)
        quoted, plain = found.groups()
        items.append(plain if quoted is None else quoted.replace('""', '"'))
        if not found.group().endswith(","):
            break
        at = found.end()
    return items


def read_value(field: Field, parameter: str, text: str) -> Value:
    """Return *text* as a value of *field*.

    Raises:
        InvalidParameterError: It is none, or beyond the bounds of the field.
    """
    match field.type:
        case FieldType.TEXT:
            return _text(field, parameter, text)
        case FieldType.INTEGER | FieldType.NUMBER:
            return _number(field, parameter, text)
        case FieldType.BOOLEAN:
            return read_flag(parameter, text)
        case FieldType.MOMENT:
            return _moment(parameter, text)
        case FieldType.UUID:
            if _UUID.fullmatch(text) is None:
                raise InvalidParameterError(parameter, f"not a UUID: {shown(text)}")
            return UUID(text)
        case FieldType.DOCUMENT:
            raise InvalidParameterError(parameter, "a document is not compared")


def _text(field: Field, parameter: str, text: str) -> str:
    if field.choices and text not in field.choices:
        raise InvalidParameterError(parameter, f"unknown value {shown(text)}", field.choices)
    if len(text) > field.max_length:
        raise InvalidParameterError(parameter, f"longer than {field.max_length} characters")
    return read_text(parameter, text)


def _number(field: Field, parameter: str, text: str) -> int | float:
    value: int | float
    if field.type is FieldType.INTEGER:
        if _INTEGER.fullmatch(text) is None:
            raise InvalidParameterError(parameter, f"not a whole number: {shown(text)}")
        value = int(text)
    else:
        if _NUMBER.fullmatch(text) is None:
            raise InvalidParameterError(parameter, f"not a number: {shown(text)}")
        value = float(text)
    low, high = field.range
    if not low <= value <= high or math.isinf(value):
        raise InvalidParameterError(parameter, f"not between {low} and {high}: {shown(text)}")
    return value


def _moment(parameter: str, text: str) -> datetime:
    if _MOMENT.fullmatch(text) is None:
        problem = f"not a moment such as 2026-01-31T10:30:00Z: {shown(text)}"
        raise InvalidParameterError(parameter, problem)
    # A plus sign that was not percent-encoded arrives as a space.
    spelt = text[:11] + text[11:].replace(" ", "+")
    try:
        moment = datetime.fromisoformat(spelt)
        if moment.tzinfo is None:
            if len(text) > len("2026-01-31"):
                raise InvalidParameterError(parameter, "needs Z or an offset such as +05:30")
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidParameterError(parameter, f"no such moment: {shown(text)}") from None


def shown(text: str) -> str:
    """Return *text* quoted, for a message, and cut to a line."""
    return repr(text if len(text) <= _A_LINE else text[:_A_LINE] + "…")


_A_LINE = 60
