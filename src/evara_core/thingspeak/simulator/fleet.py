"""A fleet to show and to test with: tanks, borewells and flow meters, some of them in trouble.

Everything follows from the seed, the epoch and the number of nodes. A fleet made again
with the same three continues the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.assets import (
    FlowSensors,
    SimulatedField,
    SimulatedNode,
    TankSensors,
    WellSensors,
)
from evara_core.thingspeak.simulator.chance import Chance
from evara_core.thingspeak.simulator.device import (
    Flaw,
    Junk,
    Measure,
    PeriodicDevice,
    Silence,
    Spikes,
    Stuck,
    WaterClock,
)
from evara_core.thingspeak.simulator.profile import HOSTED, Profile
from evara_core.thingspeak.simulator.water import FlowWater, TankWater, WellWater

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.clock import Clock

__all__ = ["Fleet", "FleetPlan", "demo_fleet"]

_KINDS = ("tank", "tank", "tank", "deep", "flow")
_PLACES = (
    "Lakshmi Nagar", "Green Meadows", "Lake View", "Palm Grove", "Hill Side", "River Bend",
    "Temple Road", "Old Town", "Market Square", "Sunrise Enclave", "Garden City", "Station Road",
)  # fmt: skip
_CENTRE = (17.385, 78.4867)

# By turns within each kind, so that any fleet of ten has some of them.
_TANK_CONDITIONS = (
    "running_low", "healthy", "healthy", "overflowing", "healthy", "spikes", "healthy", "stuck",
    "healthy", "silent",
)  # fmt: skip
_WELL_CONDITIONS = ("runs_dry", "healthy", "healthy", "junk", "healthy")
_FLOW_CONDITIONS = ("healthy", "leaking", "healthy", "silent", "junk")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """How a fleet is made."""

    epoch: datetime
    """When the first report is due. Keep it to continue the same history later."""

    nodes: int = 50
    seed: int = 1
    interval_s: int = 15
    """Between two reports of a device; the free licence allows no less than 15."""

    pace: float = 1.0
    """Seconds of water in a second of reports."""

    dawn_at_epoch: bool = False
    """Let the water's day begin (06:00) at the epoch, whatever the wall clock says."""

    public_every: int = 0
    """Make every so-manieth channel public; 0: none."""

    first_channel_id: int = 900_001


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A simulator and what is in it."""

    simulator: Simulator
    nodes: tuple[SimulatedNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asset:
    category: str
    measure: Measure
    fields: tuple[SimulatedField, ...]
    config: Mapping[str, float]


def demo_fleet(
    plan: FleetPlan, *, clock: Clock, profile: Profile = HOSTED, simulator: Simulator | None = None
) -> Fleet:
    """Return a simulator that holds the fleet of *plan*, and the description of its nodes.

    Args:
        plan: How many, how fast, from when.
        clock: What the simulator takes for the time.
        profile: How it answers where the sources differ.
        simulator: Put the fleet into this one instead of a new one.
    """
    simulator = simulator or Simulator(clock=clock, profile=profile, seed=plan.seed)
    epoch_s = int(plan.epoch.timestamp())
    water_s = (epoch_s - epoch_s % 86_400 + 6 * 3600) if plan.dawn_at_epoch else epoch_s
    water_clock = WaterClock(epoch_s, water_s, plan.pace)
    counts = dict.fromkeys(_KINDS, 0)
    nodes: list[SimulatedNode] = []
    for index in range(plan.nodes):
        kind = _KINDS[index % len(_KINDS)]
        nodes.append(_add(simulator, plan, water_clock, index, kind, counts[kind]))
        counts[kind] += 1
    return Fleet(simulator=simulator, nodes=tuple(nodes))


def _add(
    simulator: Simulator, plan: FleetPlan, clock: WaterClock, index: int, kind: str, turn: int
) -> SimulatedNode:
    chance = Chance(plan.seed, index)
    place = _PLACES[index % len(_PLACES)]
    latitude = round(_CENTRE[0] + chance.between(-0.2, 0.2, 1), 6)
    longitude = round(_CENTRE[1] + chance.between(-0.2, 0.2, 2), 6)
    condition, asset = _asset(kind, turn, chance, clock, plan)
    label = f"{place} {asset.category} {index + 1}"
    channel = simulator.create_channel(
        channel_id=plan.first_channel_id + index,
        name=label,
        labels={told.field: told.label for told in asset.fields},
        public=bool(plan.public_every) and index % plan.public_every == 0,
    )
    channel.latitude, channel.longitude = str(latitude), str(longitude)
    channel.created_s = channel.updated_s = clock.epoch_s
    silent = condition == "silent"
    channel.reports_by(
        PeriodicDevice(
            asset.measure,
            clock=clock,
            interval_s=plan.interval_s,
            phase_s=int(chance.at(3) * plan.interval_s),
            flaws=_flaws(condition, chance),
            silence=Silence(period=120, first=18, length=48) if silent else None,
        )
    )
    return SimulatedNode(
        node_id=f"{kind}-{index + 1:04d}",
        label=label,
        kind=kind,
        category=asset.category,
        location_name=place,
        latitude=latitude,
        longitude=longitude,
        channel_id=channel.channel_id,
        read_key=channel.read_key,
        write_key=channel.write_key,
        fields=asset.fields,
        interval_s=plan.interval_s,
        config=asset.config,
        condition=condition,
    )


def _asset(
    kind: str, turn: int, chance: Chance, clock: WaterClock, plan: FleetPlan
) -> tuple[str, _Asset]:
    match kind:
        case "tank":
            condition = _TANK_CONDITIONS[turn % len(_TANK_CONDITIONS)]
            return condition, _tank(chance, condition, turn)
        case "deep":
            condition = _WELL_CONDITIONS[turn % len(_WELL_CONDITIONS)]
            return condition, _well(chance, condition)
        case _:
            condition = _FLOW_CONDITIONS[turn % len(_FLOW_CONDITIONS)]
            return condition, _flow(chance, condition, clock, plan)


def _flaws(condition: str, chance: Chance) -> tuple[Flaw, ...]:
    flaw_chance = Chance(int(chance.at(9) * 2**53))
    match condition:
        case "stuck":
            return (Stuck(field=1, period=200, first=20, length=140),)
        case "spikes":
            return (Spikes(field=1, chance=flaw_chance, probability=0.04, value="9999"),)
        case "junk":
            return (Junk(field=1, chance=flaw_chance, probability=0.05),)
        case _:
            return ()


def _tank(chance: Chance, condition: str, turn: int) -> _Asset:
    height_cm = float(round(chance.between(150, 400, 4) / 10) * 10)
    capacity_l = float(round(chance.between(5, 100, 5)) * 1000)
    low, overflows = condition == "running_low", condition == "overflowing"
    water = TankWater(
        chance,
        height_cm=height_cm,
        capacity_l=capacity_l,
        use_l_per_day=capacity_l * (1.8 if low else chance.between(0.7, 1.2, 6)),
        pump_l_per_min=0.0 if low else capacity_l / 180,
        dawn=(0.40, 0.46) if low else (0.78, 0.97),
        pump_sticks=overflows,
    )
    sends = ("mm", "distance", "cm")[turn % 3]
    sensor_height_cm = height_cm + 25
    level = {
        "mm": SimulatedField(field=1, label="Water level (mm)", metric="level_cm", unit="mm"),
        "cm": SimulatedField(field=1, label="Water level (cm)", metric="level_cm", unit="cm"),
        "distance": SimulatedField(
            field=1, label="Distance to water (cm)", metric="distance_cm", unit="cm"
        ),
    }[sends]
    return _Asset(
        category="sump" if turn % 5 == 3 else "OHT",  # noqa: PLR2004 - one in five
        measure=TankSensors(water, chance, sends=sends, sensor_height_cm=sensor_height_cm),
        fields=(
            level,
            SimulatedField(field=2, label="Temperature", metric="temperature_c", unit="celsius"),
            SimulatedField(field=3, label="TDS", metric="tds_ppm", unit="ppm"),
            SimulatedField(field=4, label="Battery", metric="battery_v", unit="volts"),
        ),
        config={
            "height_cm": height_cm,
            "capacity_l": capacity_l,
            "sensor_height_cm": sensor_height_cm,
        },
    )


def _well(chance: Chance, condition: str) -> _Asset:
    static_m = round(chance.between(18, 45, 4), 1)
    drawdown_m = chance.between(8, 16, 5)
    room = 0.6 if condition == "runs_dry" else 1.4
    pump_m = float(round(static_m + drawdown_m * room + 2))
    water = WellWater(chance, static_m=static_m, pump_m=pump_m, full_drawdown_m=drawdown_m)
    return _Asset(
        category="borewell",
        measure=WellSensors(water, chance, full_current_a=chance.between(6.5, 12.0, 6)),
        fields=(
            SimulatedField(field=1, label="Dynamic level", metric="dynamic_level_m", unit="m"),
            SimulatedField(field=2, label="Static level", metric="static_level_m", unit="m"),
            SimulatedField(field=3, label="Pump current", metric="pump_current_a", unit="amperes"),
            SimulatedField(field=4, label="Temperature", metric="temperature_c", unit="celsius"),
        ),
        config={
            "depth_m": pump_m + 12,
            "pump_depth_m": pump_m,
            "static_level_m": static_m,
        },
    )


def _flow(chance: Chance, condition: str, clock: WaterClock, plan: FleetPlan) -> _Asset:
    use_l = chance.between(20_000, 90_000, 4)
    water = FlowWater(
        chance,
        use_l_per_day=use_l,
        start_l=float(int(chance.between(50_000, 5_000_000, 5))),
        since_s=clock.water_s,
        leak_l_per_min=use_l / 1440 * 0.5 if condition == "leaking" else 0.0,
    )
    total_in_m3 = chance.at(6) < 0.5  # noqa: PLR2004 - half of them
    over_s = plan.interval_s * plan.pace
    return _Asset(
        category="flow meter",
        measure=FlowSensors(water, chance, over_s=over_s, total_in_m3=total_in_m3),
        fields=(
            SimulatedField(field=1, label="Flow rate", metric="flow_l_per_min", unit="l_per_min"),
            SimulatedField(
                field=2,
                label="Total volume",
                metric="total_volume_l",
                unit="m3" if total_in_m3 else "l",
            ),
            SimulatedField(field=3, label="Pressure", metric="pressure_bar", unit="bar"),
            SimulatedField(field=4, label="Battery", metric="battery_v", unit="volts"),
        ),
        config={"pulses_per_l": 1.0, "max_flow_l_per_min": float(round(water.peak_l_per_min * 2))},
    )
