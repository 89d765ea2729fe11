"""Shapes of tanks: from the depth of the water to its volume, and back."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from evara_core.errors import InvalidMappingError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Box",
    "Cylinder",
    "HorizontalCylinder",
    "Prism",
    "Shape",
    "Sphere",
    "Strapping",
    "level_from_distance",
    "level_of_volume",
    "shape_of",
]

_CM3_PER_L = 1000.0
_STRAP = "strapping_l.at_cm."


class Shape(Protocol):
    """A tank, as far as its water is concerned."""

    @property
    def height_cm(self) -> float:
        """The depth of the water when it is full."""
        ...

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*; below the floor is empty, above the top is full."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prism:
    """A tank with upright walls of which only the capacity is known."""

    height_cm: float
    capacity_l: float

    def __post_init__(self) -> None:
        _demand_positive(height_cm=self.height_cm, capacity_l=self.capacity_l)

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*."""
        return self.capacity_l * _clamped(level_cm, self.height_cm) / self.height_cm


@dataclass(frozen=True, slots=True, kw_only=True)
class Cylinder:
    """A standing cylinder."""

    height_cm: float
    diameter_cm: float

    def __post_init__(self) -> None:
        _demand_positive(height_cm=self.height_cm, diameter_cm=self.diameter_cm)

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*."""
        area_cm2 = math.pi * self.diameter_cm**2 / 4
        return area_cm2 * _clamped(level_cm, self.height_cm) / _CM3_PER_L


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A tank with four upright walls."""

    height_cm: float
    length_cm: float
    width_cm: float

    def __post_init__(self) -> None:
        _demand_positive(height_cm=self.height_cm, length_cm=self.length_cm, width_cm=self.width_cm)

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*."""
        area_cm2 = self.length_cm * self.width_cm
        return area_cm2 * _clamped(level_cm, self.height_cm) / _CM3_PER_L


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizontalCylinder:
    """A lying cylinder with flat ends."""

    length_cm: float
    diameter_cm: float

    def __post_init__(self) -> None:
        _demand_positive(length_cm=self.length_cm, diameter_cm=self.diameter_cm)

    @property
    def height_cm(self) -> float:
        """The depth of the water when it is full: the diameter."""
        return self.diameter_cm

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*."""
        radius = self.diameter_cm / 2
        level = _clamped(level_cm, self.diameter_cm)
        # The wet part of the circle is a segment: the sector less the triangle.
        cosine = (radius - level) / radius
        half_chord = math.sqrt(max(0.0, 2 * radius * level - level * level))
        segment_cm2 = radius * radius * math.acos(cosine) - (radius - level) * half_chord
        return segment_cm2 * self.length_cm / _CM3_PER_L


@dataclass(frozen=True, slots=True, kw_only=True)
class Sphere:
    """A ball."""

    diameter_cm: float

    def __post_init__(self) -> None:
        _demand_positive(diameter_cm=self.diameter_cm)

    @property
    def height_cm(self) -> float:
        """The depth of the water when it is full: the diameter."""
        return self.diameter_cm

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*."""
        level = _clamped(level_cm, self.diameter_cm)
        return math.pi * level * level * (3 * self.diameter_cm / 2 - level) / 3 / _CM3_PER_L


@dataclass(frozen=True, slots=True, kw_only=True)
class Strapping:
    """A tank that was measured: litres at some depths, straight lines in between."""

    levels_cm: tuple[float, ...]
    volumes_l: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.levels_cm) != len(self.volumes_l) or len(self.levels_cm) < 2:  # noqa: PLR2004 - a line needs two points
            raise InvalidMappingError("a strapping table needs two or more pairs")
        if self.levels_cm[0] != 0:
            raise InvalidMappingError("a strapping table begins at 0 cm")
        if not _is_rising(self.levels_cm, strictly=True):
            raise InvalidMappingError("the levels of a strapping table must rise")
        if self.volumes_l[0] < 0 or not _is_rising(self.volumes_l, strictly=False):
            raise InvalidMappingError("the volumes of a strapping table must not fall")

    @property
    def height_cm(self) -> float:
        """The depth of the water when it is full: the last of the table."""
        return self.levels_cm[-1]

    def volume_l(self, level_cm: float) -> float:
        """Return the litres at *level_cm*."""
        level = _clamped(level_cm, self.height_cm)
        right = min(bisect_right(self.levels_cm, level), len(self.levels_cm) - 1)
        low, high = self.levels_cm[right - 1], self.levels_cm[right]
        under, above = self.volumes_l[right - 1], self.volumes_l[right]
        return under + (above - under) * (level - low) / (high - low)


def level_from_distance(distance_cm: float, *, sensor_height_cm: float) -> float:
    """Return the depth of the water under a sensor that looks down on it.

    It is below 0 when the sensor sees farther than the floor: that is for the range
    check to judge, not to be hidden here.
    """
    return sensor_height_cm - distance_cm


def level_of_volume(shape: Shape, volume_l: float) -> float:
    """Return the depth at which *shape* holds *volume_l*, to a thousandth of its height."""
    low, high = 0.0, shape.height_cm
    while high - low > shape.height_cm / 4096:
        middle = (low + high) / 2
        if shape.volume_l(middle) < volume_l:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def shape_of(config: Mapping[str, float]) -> Shape | None:
    """Return the tank that a node's *config* describes, or None when it says too little.

    A strapping table is given as `strapping_l.at_cm.<level>` → litres. Otherwise the sizes
    tell the shape: height and diameter stand, length and diameter lie, a diameter alone is
    a sphere, height, length and width are a box, height and capacity are upright walls.

    Raises:
        InvalidMappingError: The sizes contradict each other or are not above 0.
    """
    if straps := sorted(_straps(config)):
        return Strapping(
            levels_cm=tuple(level for level, _ in straps),
            volumes_l=tuple(volume for _, volume in straps),
        )
    height, diameter = config.get("height_cm"), config.get("diameter_cm")
    length, width = config.get("length_cm"), config.get("width_cm")
    match (height, diameter, length, width):
        case (float() | int(), float() | int(), None, None):
            return Cylinder(height_cm=height, diameter_cm=diameter)
        case (None, float() | int(), float() | int(), None):
            return HorizontalCylinder(length_cm=length, diameter_cm=diameter)
        case (None, float() | int(), None, None):
            return Sphere(diameter_cm=diameter)
        case (float() | int(), None, float() | int(), float() | int()):
            return Box(height_cm=height, length_cm=length, width_cm=width)
        case (_, None, None, None):
            return _upright(height, config.get("capacity_l"))
        case _:
            raise InvalidMappingError(
                "the sizes fit no shape: give height and diameter (standing), length and "
                "diameter (lying), diameter (sphere), or height, length and width (box)"
            )


def _upright(height_cm: float | None, capacity_l: float | None) -> Prism | None:
    if height_cm is None or capacity_l is None:
        return None
    return Prism(height_cm=height_cm, capacity_l=capacity_l)


def _straps(config: Mapping[str, float]) -> list[tuple[float, float]]:
    pairs = []
    for key, volume in config.items():
        if not key.startswith(_STRAP):
            continue
        try:
            pairs.append((float(key.removeprefix(_STRAP)), volume))
        except ValueError:
            raise InvalidMappingError(f"{key!r} does not end in a level") from None
    return pairs


def _clamped(level_cm: float, height_cm: float) -> float:
    return min(max(level_cm, 0.0), height_cm)


def _is_rising(values: tuple[float, ...], *, strictly: bool) -> bool:
    return all(b > a or (b == a and not strictly) for a, b in pairwise(values))


def _demand_positive(**sizes: float) -> None:
    for name, size in sizes.items():
        if not (size > 0 and math.isfinite(size)):
            raise InvalidMappingError(f"{name} must be above 0, not {size:g}")
