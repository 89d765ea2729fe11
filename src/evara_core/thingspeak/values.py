"""What the text in a field means.

The rule for numbers is ours, because none is right: Python's `float` takes "nan", "1_000"
and other alphabets, and refuses "12,5"; the server takes the comma and refuses exponents.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Value", "ValueKind", "number", "parse_value"]

# A comma is a decimal comma, as for the server: "1,250" is one and a quarter.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")

# What printf and Arduino's Print write when there is no number.
_NOT_NUMBERS = frozenset({"nan", "inf", "infinity", "ovf", "null", "none", "n/a", "-", "--"})


class ValueKind(StrEnum):
    """What was sent."""

    NUMBER = "number"
    NULL = "null"
    """Nothing was sent."""

    EMPTY = "empty"
    """Empty text was sent, or only blanks."""

    NO_NUMBER = "no_number"
    """The device says that it has no number: "nan", "inf", "-"."""

    JUNK = "junk"
    """Something else: "Clouds", "18:1:39", "12abc"."""


@dataclass(frozen=True, slots=True)
class Value:
    """One field of one entry, understood."""

    kind: ValueKind
    number: float | None = None
    """Finite; None unless the kind is `NUMBER`."""

    text: str | None = None
    """As it was sent."""


def parse_value(text: str | None) -> Value:
    """Return what *text* means. Blanks and line breaks around it do not count."""
    if text is None:
        return Value(ValueKind.NULL)
    bare = text.strip()
    if not bare:
        return Value(ValueKind.EMPTY, None, text)
    if _NUMBER.fullmatch(bare):
        value = float(bare.replace(",", "."))
        if math.isfinite(value):
            return Value(ValueKind.NUMBER, value, text)
    elif bare.lower().lstrip("+-") in _NOT_NUMBERS or not bare.strip("-"):
        return Value(ValueKind.NO_NUMBER, None, text)
    return Value(ValueKind.JUNK, None, text)


def number(text: str | None) -> float | None:
    """Return the number in *text*, finite; None for whatever is not one."""
    return parse_value(text).number
