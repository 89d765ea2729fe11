"""Kinds of node, and what each kind measures.

A registry is a value: `STANDARD_KINDS.plus(my_kind)` knows one kind more and leaves the
standard one alone, so that two teams in one process do not see each other's kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.derivation import Derivation, tank_derivations, tank_limits
from evara_core.telemetry.units import STANDARD_UNITS, UnitTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "DEEP",
    "FLOW",
    "STANDARD_KINDS",
    "TANK",
    "ConfigKey",
    "Kind",
    "KindRegistry",
    "Metric",
    "metrics_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Something that a kind of node measures, and what is believed of it.

    The limits may be set for one node by its `config`, under `<metric>.<limit>`, such as
    `level_cm.max_step`.
    """

    name: str
    unit: str
    meaning: str

    minimum: float | None = None
    maximum: float | None = None
    """Beyond these a value cannot be true: it is bad."""

    likely_minimum: float | None = None
    likely_maximum: float | None = None
    """Beyond these a value is odd: it is suspect."""

    max_step: float | None = None
    """A larger step between neighbours is suspect until the next value confirms it."""

    max_per_min: float | None = None
    """A faster change is suspect."""

    flat_after_s: float | None = None
    """Exactly the same value for longer is suspect, while it should move."""

    moves_with: str | None = None
    """It should move only while this metric is above 0, such as a pump's current."""

    is_cumulative: bool = False
    """A counter: it goes up, or starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """A number that a node's `config` may hold."""

    name: str
    unit: str | None
    meaning: str


def _nothing(_: Mapping[str, float]) -> Mapping[str, float]:
    return {}


def _no_derivations(_: Mapping[str, float]) -> tuple[Derivation, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What nodes of this kind measure, and what can be worked out from it."""

    name: str
    metrics: Mapping[str, Metric]
    config: tuple[ConfigKey, ...] = ()
    derivations: Callable[[Mapping[str, float]], tuple[Derivation, ...]] = field(
        default=_no_derivations, repr=False
    )
    """From a node's `config` to what can be worked out, the preferred way first."""

    implied: Callable[[Mapping[str, float]], Mapping[str, float]] = field(
        default=_nothing, repr=False
    )
    """From a node's `config` to limits that follow from it, by keys such as
    `level_cm.max_step`. What `config` says itself goes first."""

    def metric(self, name: str) -> Metric:
        """Return the metric called *name*.

        Raises:
            InvalidMappingError: This kind does not measure it.
        """
        try:
            return self.metrics[name]
        except KeyError:
            known = ", ".join(sorted(self.metrics))
            raise InvalidMappingError(
                f"a {self.name!r} does not measure {name!r} (it measures: {known})"
            ) from None


@dataclass(frozen=True, slots=True)
class KindRegistry:
    """The kinds that are known, with the units that their values may be sent in."""

    by_name: Mapping[str, Kind]
    units: UnitTable = STANDARD_UNITS

    @classmethod
    def of(cls, kinds: Iterable[Kind], *, units: UnitTable = STANDARD_UNITS) -> KindRegistry:
        """Return a registry of *kinds*.

        Raises:
            InvalidMappingError: Two share a name, or a metric has an unknown unit.
        """
        by_name: dict[str, Kind] = {}
        for kind in kinds:
            if by_name.setdefault(kind.name, kind) is not kind:
                raise InvalidMappingError(f"two kinds are called {kind.name!r}")
            for name, metric in kind.metrics.items():
                units.unit(metric.unit)
                if name != metric.name:
                    raise InvalidMappingError(f"metric {metric.name!r} is listed as {name!r}")
        return cls(MappingProxyType(by_name), units)

    def plus(self, *kinds: Kind, units: UnitTable | None = None) -> KindRegistry:
        """Return a registry that knows *kinds* too, and *units* instead of its own."""
        return KindRegistry.of([*self.by_name.values(), *kinds], units=units or self.units)

    def kind(self, name: str) -> Kind:
        """Return the kind called *name*.

        Raises:
            InvalidMappingError: There is none.
        """
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.by_name))
            raise InvalidMappingError(f"no such kind: {name!r} (known: {known})") from None


def metrics_of(*metrics: Metric) -> Mapping[str, Metric]:
    """Return *metrics* by their names."""
    return MappingProxyType({metric.name: metric for metric in metrics})


_TEMPERATURE = Metric(
    name="temperature_c",
    unit="celsius",
    meaning="of the water",
    minimum=-40.0,  # where common probes stop: DS18B20 measures -55 to 125, water less
    maximum=100.0,
    likely_minimum=0.0,
    likely_maximum=60.0,
)
_TDS = Metric(
    name="tds_ppm",
    unit="ppm",
    meaning="dissolved solids",
    minimum=0.0,
    maximum=50_000.0,  # beyond sea water, which has about 35,000
)
_PH = Metric(name="ph", unit="ph", meaning="acidity", minimum=0.0, maximum=14.0)
_BATTERY = Metric(
    name="battery_v",
    unit="volts",
    meaning="supply of the device",
    minimum=0.0,
    maximum=60.0,  # the extra-low voltage that a field device may be fed with
)
_RSSI = Metric(
    name="rssi_dbm",
    unit="dbm",
    meaning="strength of the radio signal",
    minimum=-150.0,  # under the sensitivity of every LoRa receiver (about -148)
    maximum=0.0,
)
_FLOW_RATE = Metric(
    name="flow_l_per_min",
    unit="l_per_min",
    meaning="flow through the pipe",
    minimum=0.0,
    maximum=100_000.0,  # 6,000 m³/h, a main of half a metre
)
_TOTAL = Metric(
    name="total_volume_l",
    unit="l",
    meaning="what has flowed since the counter began",
    minimum=0.0,
    moves_with="flow_l_per_min",
    is_cumulative=True,
)
_PRESSURE = Metric(
    name="pressure_bar",
    unit="bar",
    meaning="in the pipe, above the air's",
    minimum=-1.0,
    maximum=100.0,
)
_COMMON = (_TEMPERATURE, _TDS, _PH, _BATTERY, _RSSI)

TANK = Kind(
    name="tank",
    metrics=metrics_of(
        Metric(
            name="distance_cm",
            unit="cm",
            meaning="from a sensor at the top down to the water",
            minimum=0.0,
            maximum=5_000.0,
        ),
        Metric(
            name="level_cm",
            unit="cm",
            meaning="depth of the water",
            minimum=0.0,
            maximum=5_000.0,  # the tallest water towers' tanks are well under 50 m
        ),
        Metric(
            name="level_percent",
            unit="percent",
            meaning="depth of the water, of the full depth",
            minimum=0.0,
            maximum=120.0,  # room for a badly set height; more is not a tank
            likely_maximum=105.0,
        ),
        Metric(name="volume_l", unit="l", meaning="water in the tank", minimum=0.0),
        _TOTAL,
        *_COMMON,
    ),
    config=(
        ConfigKey(name="height_cm", unit="cm", meaning="depth of the water when full"),
        ConfigKey(name="diameter_cm", unit="cm", meaning="of a round tank"),
        ConfigKey(name="length_cm", unit="cm", meaning="of a box or a lying cylinder"),
        ConfigKey(name="width_cm", unit="cm", meaning="of a box"),
        ConfigKey(name="capacity_l", unit="l", meaning="volume when full"),
        ConfigKey(name="sensor_height_cm", unit="cm", meaning="of the sensor above the floor"),
    ),
    derivations=tank_derivations,
    implied=tank_limits,
)

DEEP = Kind(
    name="deep",
    metrics=metrics_of(
        Metric(
            name="static_level_m",
            unit="m",
            meaning="down to the water while the pump rests",
            minimum=0.0,
            maximum=1_000.0,  # the deepest water wells that are pumped
        ),
        Metric(
            name="dynamic_level_m",
            unit="m",
            meaning="down to the water while the pump runs",
            minimum=0.0,
            maximum=1_000.0,
            moves_with="pump_current_a",
        ),
        Metric(
            name="pump_current_a",
            unit="amperes",
            meaning="drawn by the pump",
            minimum=0.0,
            maximum=1_000.0,
        ),
        _FLOW_RATE,
        _TOTAL,
        _PRESSURE,
        *_COMMON,
    ),
    config=(
        ConfigKey(name="depth_m", unit="m", meaning="of the borehole"),
        ConfigKey(name="pump_depth_m", unit="m", meaning="of the pump's inlet"),
        ConfigKey(name="static_level_m", unit="m", meaning="down to the water when it was built"),
    ),
)

FLOW = Kind(
    name="flow",
    metrics=metrics_of(_FLOW_RATE, _TOTAL, _PRESSURE, *_COMMON),
    config=(
        ConfigKey(name="pulses_per_l", unit=None, meaning="of the meter"),
        ConfigKey(name="max_flow_l_per_min", unit="l_per_min", meaning="of the meter"),
    ),
)

STANDARD_KINDS = KindRegistry.of((TANK, DEEP, FLOW))
"""The kinds that come with the library."""
