"""JSON in and out: the one place that knows orjson.

One rule for what JSON cannot say, the same in every answer and every message: UTC is
a trailing `Z`, NaN and the infinities are null, Decimal is text, a set is a sorted list.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from evara_core.errors import InvalidJsonError

__all__ = ["dump_json", "dump_json_sorted", "load_json"]

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def dump_json(value: Any) -> bytes:  # noqa: ANN401 - JSON is whatever it is
    """Return *value* as compact UTF-8 JSON.

    Dataclasses, enums, UUIDs, dates and mappings with non-text keys are understood.

    Raises:
        TypeError: *value* holds something that has no JSON form.
    """
    return orjson.dumps(value, default=_default, option=_OPTIONS)


def dump_json_sorted(value: Any) -> bytes:  # noqa: ANN401 - JSON is whatever it is
    """Return *value* as JSON with sorted keys: the same bytes for equal values."""
    return orjson.dumps(value, default=_default, option=_OPTIONS | orjson.OPT_SORT_KEYS)


def load_json(text: bytes | str) -> Any:  # noqa: ANN401 - JSON is whatever it is
    """Return what *text* says.

    Raises:
        InvalidJsonError: It is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise InvalidJsonError(str(error)) from error


def _default(value: object) -> object:
    match value:
        case Decimal():
            return str(value)
        case frozenset() | set():
            return sorted(value, key=str)
        case _:
            raise TypeError(type(value).__name__)
