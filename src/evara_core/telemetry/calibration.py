"""From what a sensor says to what is so: a line, a polynomial or a table, for a time."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from evara_core.errors import InvalidMappingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["MAX_NUMBERS", "Calibration", "calibration_at"]

MAX_NUMBERS = 256
"""Coefficients or points of a calibration: more than a certificate lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What turns a value into a true one, both in the metric's unit.

    It is applied after unit, scale and offset of the field. Make one with `linear`,
    `polynomial` or `table`.
    """

    shape: Literal["polynomial", "table"]
    numbers: tuple[tuple[float, float], ...] | tuple[float, ...]
    """Coefficients, the constant first; or points (said, so), by what is said."""

    since: datetime | None = None
    """Values measured from here on. None: from ever."""

    until: datetime | None = None
    """Values measured before this. None: for good."""

    def __post_init__(self) -> None:
        flat = [n for number in self.numbers for n in _both(number)]
        if not 1 <= len(self.numbers) <= MAX_NUMBERS:
            raise InvalidMappingError(f"a calibration has 1 to {MAX_NUMBERS} numbers or points")
        if not all(map(math.isfinite, flat)):
            raise InvalidMappingError("the numbers of a calibration must be finite")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InvalidMappingError("a calibration ends before it begins")
        if any(moment is not None and moment.tzinfo is None for moment in (self.since, self.until)):
            raise InvalidMappingError("the moments of a calibration need a time zone")
        if self.shape == "table":
            said = [_both(point)[0] for point in self.numbers]
            if len(said) < 2 or any(a >= b for a, b in pairwise(said)):  # noqa: PLR2004 - two points make a line
                raise InvalidMappingError("a table has two points or more, what is said rising")

    @classmethod
    def linear(
        cls,
        *,
        slope: float = 1.0,
        offset: float = 0.0,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Calibration:
        """Return so = said * slope + offset.

        Raises:
            InvalidMappingError: A number is not finite, or it ends before it begins.
        """
        return cls(shape="polynomial", numbers=(offset, slope), since=since, until=until)

    @classmethod
    def polynomial(
        cls,
        *coefficients: float,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Calibration:
        """Return so = c0 + c1 * said + c2 * said² + …, the constant first.

        Raises:
            InvalidMappingError: There is none or one is not finite, or it ends before it begins.
        """
        return cls(shape="polynomial", numbers=coefficients, since=since, until=until)

    @classmethod
    def table(
        cls,
        points: Sequence[tuple[float, float]],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Calibration:
        """Return straight lines between *points* (said, so), the outer ones going on.

        Raises:
            InvalidMappingError: Fewer than two, in no rising order or not finite, or it ends
                before it begins.
        """
        numbers = tuple((float(said), float(so)) for said, so in points)
        return cls(shape="table", numbers=numbers, since=since, until=until)

    def holds_at(self, moment: datetime) -> bool:
        """Whether values measured at *moment* are calibrated by this."""
        if self.since is not None and moment < self.since:
            return False
        return self.until is None or moment < self.until

    def __call__(self, value: float) -> float:
        """Return the true value where *value* is said. It may overflow to infinity."""
        if self.shape == "table":
            return _between(self.numbers, value)  # type: ignore[arg-type] # a table has points
        result = 0.0
        for coefficient in reversed(self.numbers):
            result = result * value + coefficient  # type: ignore[operator] # a polynomial has numbers
        return result


def calibration_at(calibrations: Sequence[Calibration], moment: datetime) -> Calibration | None:
    """Return the one for values measured at *moment*: the last that holds, or None."""
    for calibration in reversed(calibrations):
        if calibration.holds_at(moment):
            return calibration
    return None


def _between(points: Sequence[tuple[float, float]], value: float) -> float:
    place = bisect_right(points, value, key=lambda point: point[0])
    right = min(max(place, 1), len(points) - 1)
    (said, so), (next_said, next_so) = points[right - 1], points[right]
    return so + (value - said) * (next_so - so) / (next_said - said)


def _both(number: Any) -> tuple[float, ...]:  # noqa: ANN401 - a number or a point
    return tuple(number) if isinstance(number, list | tuple) else (number,)
