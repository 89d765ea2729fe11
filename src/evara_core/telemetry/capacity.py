"""Capacities as people write them: `2.00L L` is two lakh litres.

The text is kept beside the number: what somebody typed is evidence, and the reading of it
may have to be corrected one day.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import MappingProxyType

from evara_core.errors import InvalidParameterError

__all__ = ["Capacity", "parse_capacity"]

_MULTIPLIERS = MappingProxyType(
    {
        "": 1.0,
        "k": 1e3,
        "thousand": 1e3,
        "l": 1e5,
        "lac": 1e5,
        "lacs": 1e5,
        "lakh": 1e5,
        "lakhs": 1e5,
        "m": 1e6,
        "mn": 1e6,
        "million": 1e6,
        "cr": 1e7,
        "crore": 1e7,
        "crores": 1e7,
    }
)
_LITRES = MappingProxyType(
    {
        "l": 1.0,
        "lt": 1.0,
        "ltr": 1.0,
        "ltrs": 1.0,
        "litre": 1.0,
        "litres": 1.0,
        "liter": 1.0,
        "liters": 1.0,
        "kl": 1e3,
        "kld": 1e3,  # written for kL by people who think of a day's use
        "kilolitre": 1e3,
        "kilolitres": 1e3,
        "kiloliter": 1e3,
        "kiloliters": 1e3,
        "m3": 1e3,
        "m³": 1e3,
        "cum": 1e3,
        "megalitre": 1e6,
        "megalitres": 1e6,
        "megaliter": 1e6,
        "megaliters": 1e6,
        "gal": 3.785411784,
        "gallon": 3.785411784,
        "gallons": 3.785411784,
    }
)
_SHAPE = re.compile(
    r"""\s*(?P<number>[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)  # 2.00, or 2,00,000
        \s*(?P<first>[^\W\d_]*[3³]?)\.?          # L, lakh, kL, m3
        \s*(?P<second>[^\W\d_]*[3³]?)\.?\s*""",
    re.VERBOSE,
)
_MAX_TEXT = 64
"""Longer is not a capacity, and need not be looked at."""

_ALLOWED = ("500 L", "2.00L L", "1.5 Cr L", "10 kL", "2 ML", "5 m3", "250 gal")


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a tank holds."""

    litres: float
    text: str
    """What was written."""


def parse_capacity(text: str) -> Capacity:
    """Return what *text* means: a number, perhaps lakh or crore, and a unit of volume.

    A number alone is litres. `ML` is a megalitre; `ml` is refused, since it would be a
    thousand-millionth of what may be meant.

    Raises:
        InvalidParameterError: It cannot be understood, or is not above 0.
    """
    found = _SHAPE.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if found is None:
        raise InvalidParameterError("capacity", f"not understood: {text[:_MAX_TEXT]!r}", _ALLOWED)
    first, second = found["first"], found["second"]
    if second == "" and len(first) > 1 and first.lower() in _MULTIPLIERS:
        multiplier, unit = _MULTIPLIERS[first.lower()], ""
    elif second == "":
        multiplier, unit = 1.0, first
    else:
        multiplier, unit = _MULTIPLIERS.get(first.lower(), math.nan), second
    litres = float(found["number"].replace(",", "")) * multiplier * _litres_per(unit)
    if math.isnan(litres):
        raise InvalidParameterError("capacity", f"not understood: {text!r}", _ALLOWED)
    if not 0 < litres < math.inf:
        raise InvalidParameterError("capacity", f"must be above 0: {text!r}", _ALLOWED)
    return Capacity(litres, text)


def _litres_per(unit: str) -> float:
    if unit == "ML":
        return 1e6
    if unit == "":
        return 1.0
    return _LITRES.get(unit.lower(), math.nan)
