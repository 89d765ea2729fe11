"""Which values count: a number that is neither bad nor missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from evara_core.telemetry.models import Measured

__all__ = ["number_of", "usable"]

_UNUSABLE = frozenset({Quality.BAD, Quality.MISSING})


def number_of(value: object) -> float:
    """Return *value* as a float, or NaN: also for text, booleans and None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.nan
    return math.nan


def usable(measured: Measured | None) -> float:
    """Return what a metric says, or NaN when it is missing, bad or no number."""
    if measured is None or measured.quality in _UNUSABLE:
        return math.nan
    return number_of(measured.value)
