"""Metrics that are worked out from other metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.geometry import level_from_distance, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from evara_core.telemetry.geometry import Shape

__all__ = ["Derivation", "chosen", "tank_derivations", "tank_limits"]


_STEP_SHARE = 0.25
"""A tank that gains or loses a quarter between two reports is worth a second look."""

_OVERFULL_SHARE = 1.05
"""Above the brim by more than this is not water but a wrong height, foam or an echo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """One metric out of another."""

    metric: str
    source: str
    compute: Callable[[float], float] = field(repr=False)
    """Both in the metrics' own units."""


def chosen(candidates: Iterable[Derivation], given: Collection[str]) -> tuple[Derivation, ...]:
    """Return those of *candidates* that are needed, in an order that can be carried out.

    What is *given* is never worked out; of two ways to a metric the first is taken.
    """
    waiting = list(candidates)
    known = set(given)
    taken: list[Derivation] = []
    progress = True
    while progress:
        progress = False
        for candidate in waiting:
            if candidate.metric not in known and candidate.source in known:
                taken.append(candidate)
                known.add(candidate.metric)
                progress = True
    return tuple(taken)


def tank_derivations(config: Mapping[str, float]) -> tuple[Derivation, ...]:
    """Return what the sizes of a tank allow: distance → level → percent and litres.

    Raises:
        InvalidMappingError: The sizes make no sense.
    """
    ways: list[Derivation] = []
    sensor = config.get("sensor_height_cm")
    if sensor is not None:
        if sensor <= 0:
            raise InvalidMappingError(f"sensor_height_cm must be above 0, not {sensor:g}")
        ways.append(_level_under(sensor))
    shape = shape_of(config)
    height = shape.height_cm if shape is not None else config.get("height_cm")
    if height is not None:
        if height <= 0:
            raise InvalidMappingError(f"height_cm must be above 0, not {height:g}")
        ways.extend(_percent(height))
    if shape is not None:
        ways.append(_volume(shape, config.get("capacity_l")))
    elif (capacity := config.get("capacity_l")) is not None:
        ways.extend(_share(capacity))
    return tuple(ways)


def tank_limits(config: Mapping[str, float]) -> Mapping[str, float]:
    """Return the limits that the sizes of a tank imply.

    Raises:
        InvalidMappingError: The sizes make no sense.
    """
    limits = {"level_percent.max_step": 100 * _STEP_SHARE}
    shape = shape_of(config)
    height = shape.height_cm if shape is not None else config.get("height_cm")
    if height is not None:
        limits["level_cm.max_step"] = limits["distance_cm.max_step"] = height * _STEP_SHARE
        limits["level_cm.likely_maximum"] = height * _OVERFULL_SHARE
    capacity = config.get("capacity_l")
    if capacity is None and shape is not None:
        capacity = shape.volume_l(shape.height_cm)
    if capacity is not None:
        limits["volume_l.max_step"] = capacity * _STEP_SHARE
        limits["volume_l.likely_maximum"] = capacity * _OVERFULL_SHARE
    return limits


def _level_under(sensor_height_cm: float) -> Derivation:
    return Derivation(
        metric="level_cm",
        source="distance_cm",
        compute=lambda cm: level_from_distance(cm, sensor_height_cm=sensor_height_cm),
    )


def _percent(height_cm: float) -> tuple[Derivation, Derivation]:
    return (
        Derivation(
            metric="level_percent", source="level_cm", compute=lambda cm: cm * 100 / height_cm
        ),
        Derivation(
            metric="level_cm", source="level_percent", compute=lambda p: p * height_cm / 100
        ),
    )


def _volume(shape: Shape, capacity_l: float | None) -> Derivation:
    # A capacity from the data sheet beats the one that outer sizes suggest; the shape then
    # only tells how it is spread over the height.
    full_l = shape.volume_l(shape.height_cm)
    factor = capacity_l / full_l if capacity_l is not None and full_l > 0 else 1.0
    return Derivation(
        metric="volume_l", source="level_cm", compute=lambda cm: shape.volume_l(cm) * factor
    )


def _share(capacity_l: float) -> tuple[Derivation, Derivation]:
    if capacity_l <= 0:
        raise InvalidMappingError(f"capacity_l must be above 0, not {capacity_l:g}")
    return (
        Derivation(
            metric="volume_l", source="level_percent", compute=lambda p: p * capacity_l / 100
        ),
        Derivation(
            metric="level_percent", source="volume_l", compute=lambda v: v * 100 / capacity_l
        ),
    )
