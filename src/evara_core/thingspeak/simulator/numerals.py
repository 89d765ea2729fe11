"""What the server takes for a number, and how it prints one."""

from __future__ import annotations

import math
import re

__all__ = ["float_text", "is_within", "number", "rounded"]

_NUMBER = re.compile(r"\s*[+-]?\d+([.,]\d+)?\s*", re.ASCII)
_PLAIN = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_MAX_PLACES = 10


def number(text: str | None) -> float | None:
    """Return the number that *text* is: digits with an optional sign and fraction.

    A decimal comma and white space around it are understood; exponents, `.5` and `nan` are not.
    """
    if text is None or not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def float_text(value: float, *, comma: bool = False) -> str:
    """Return *value* with all its digits, and a fraction even where it is whole."""
    text = repr(value)
    mantissa, sign, exponent = text.partition("e")
    if sign and "." not in mantissa:
        text = f"{mantissa}.0e{exponent}"
    return text.replace(".", ",") if comma else text


def rounded(text: str | None, places: int) -> str | None:
    """Return *text* with that many decimals; anything but a plain decimal stays as it is."""
    if text is None or not _PLAIN.fullmatch(text):
        return text
    return f"{float(text):.{min(max(places, 0), _MAX_PLACES)}f}"


def is_within(text: str | None, low: float | None, high: float | None) -> bool:
    """Tell whether *text* is no reason to drop its row: no number, or one between the two."""
    value = number(text)
    if value is None:
        return True
    return (low is None or value >= low) and (high is None or value <= high)
