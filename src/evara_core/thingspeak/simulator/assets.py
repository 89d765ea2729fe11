"""What a node is, told plainly; and the sensors of the three kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.thingspeak.simulator.device import Measure
from evara_core.thingspeak.simulator.water import ambient_c

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.thingspeak.simulator.chance import Chance
    from evara_core.thingspeak.simulator.water import FlowWater, TankWater, WellWater

    Values = tuple[str | None, ...]

__all__ = ["FlowSensors", "SimulatedField", "SimulatedNode", "TankSensors", "WellSensors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedField:
    """What a field of a channel carries."""

    field: int
    label: str
    metric: str
    """What it means, such as `level_cm`."""

    unit: str
    """In which it is sent: metric = convert(sent, unit) * scale + offset."""

    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedNode:
    """An asset and the channel that it reports to: all that an application needs to set it up."""

    node_id: str
    label: str
    kind: str
    """`tank`, `deep` or `flow`."""

    category: str
    location_name: str
    latitude: float
    longitude: float
    channel_id: int
    read_key: str
    write_key: str
    fields: tuple[SimulatedField, ...]
    interval_s: int
    """Between two reports."""

    config: Mapping[str, float] = field(default_factory=dict)
    """Sizes, with their units in the names."""

    condition: str = "healthy"
    """What is wrong with it, for the curious and for tests; the channel does not tell."""


class TankSensors(Measure):
    """An ultrasonic or pressure probe, a thermometer, a conductivity cell, a battery."""

    def __init__(
        self, water: TankWater, chance: Chance, *, sends: str, sensor_height_cm: float
    ) -> None:
        self._water = water
        self._chance = chance
        self._sends = sends
        self._sensor_height_cm = sensor_height_cm
        self._tds_ppm = chance.between(180, 650, 1)

    @override
    def __call__(self, at_s: float, slot: int) -> Values:
        noise = self._chance.noise
        level_cm = self._water.level_cm(at_s) + 0.3 * noise(slot)
        match self._sends:
            case "mm":
                level = f"{level_cm * 10:.0f}"
            case "distance":
                level = f"{self._sensor_height_cm - level_cm:.1f}"
            case _:
                level = f"{level_cm:.1f}"
        temperature = f"{ambient_c(at_s, 25.0, 2.5) + 0.1 * noise(slot, 1):.2f}"
        tds = f"{self._tds_ppm + 6 * noise(slot, 2):.0f}"
        battery = f"{ambient_c(at_s, 3.85, 0.2) + 0.01 * noise(slot, 3):.2f}"
        return (level, temperature, tds, battery, None, None, None, None)


class WellSensors(Measure):
    """A level logger in the well and a current clamp on the pump's cable."""

    def __init__(self, water: WellWater, chance: Chance, *, full_current_a: float) -> None:
        self._water = water
        self._chance = chance
        self._full_current_a = full_current_a

    @override
    def __call__(self, at_s: float, slot: int) -> Values:
        noise = self._chance.noise
        state = self._water.state(at_s)
        current_a = 0.0
        if state.is_pumping:
            share = 0.36 if state.is_dry else 1.0
            current_a = max(0.1, self._full_current_a * share + 0.08 * noise(slot, 2))
        return (
            f"{state.dynamic_m + 0.02 * noise(slot):.2f}",
            f"{state.static_m + 0.01 * noise(slot, 1):.2f}",
            f"{current_a:.2f}",
            f"{ambient_c(at_s, 26.0, 0.4) + 0.05 * noise(slot, 3):.2f}",
            None,
            None,
            None,
            None,
        )


class FlowSensors(Measure):
    """A water meter with a pulse output, a pressure transmitter, a battery."""

    def __init__(
        self, water: FlowWater, chance: Chance, *, over_s: float, total_in_m3: bool
    ) -> None:
        self._water = water
        self._chance = chance
        self._over_s = over_s
        self._total_in_m3 = total_in_m3
        self._rest_bar = chance.between(2.4, 3.6, 1)

    @override
    def __call__(self, at_s: float, slot: int) -> Values:
        noise = self._chance.noise
        total_l = self._water.total_l(at_s)
        flow = self._water.flow_l_per_min(at_s, self._over_s)
        loss_bar = 0.9 * (flow / self._water.peak_l_per_min) ** 2
        return (
            f"{flow:.2f}",
            f"{total_l / 1000:.3f}" if self._total_in_m3 else f"{total_l:.0f}",
            f"{self._rest_bar - loss_bar + 0.015 * noise(slot):.2f}",
            f"{ambient_c(at_s, 3.6, 0.05) + 0.01 * noise(slot, 1):.2f}",
            None,
            None,
            None,
            None,
        )
