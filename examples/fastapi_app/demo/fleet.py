"""The simulated fleet: its channels, and the nodes that report to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.storage.fleet import NodeRecord
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Node
from evara_core.thingspeak.simulator.fleet import FleetPlan, demo_fleet
from fastapi_app.demo.people import tenancy_of

if TYPE_CHECKING:
    from evara_core.clock import Clock
    from evara_core.thingspeak.simulator.assets import SimulatedNode
    from evara_core.thingspeak.simulator.fleet import Fleet
    from fastapi_app.demo.state import DemoState

__all__ = ["PACE", "interval_for", "make_fleet", "node_records"]

PACE = 60.0
"""An hour of water passes in a minute: a tank drains while one watches."""

_REPORTS_PER_S = 10
"""Of the whole fleet. What one process can simulate, poll, store and show on one core."""

_SHORTEST_S, _LONGEST_S = 5, 60


def interval_for(nodes: int) -> int:
    """Return how often each device of a fleet of so many reports, in seconds."""
    return min(max(-(-nodes // _REPORTS_PER_S), _SHORTEST_S), _LONGEST_S)


def make_fleet(state: DemoState, *, clock: Clock) -> Fleet:
    """Return the fleet of *state*: made again, it goes on with the same history."""
    plan = FleetPlan(
        epoch=state.epoch,
        nodes=state.nodes,
        seed=state.seed,
        interval_s=state.interval_s,
        pace=PACE,
        dawn_at_epoch=True,
    )
    return demo_fleet(plan, clock=clock)


def node_records(fleet: Fleet, state: DemoState) -> list[NodeRecord]:
    """Return the nodes as they are put in."""
    return [_record(found, number, state) for number, found in enumerate(fleet.nodes)]


def _record(found: SimulatedNode, number: int, state: DemoState) -> NodeRecord:
    return NodeRecord(
        node=Node(
            node_id=found.node_id,
            label=found.label,
            kind=found.kind,
            category=found.category,
            tenancy=tenancy_of(number),
            config=found.config,
            expected_interval_s=float(found.interval_s),
        ),
        created_at=state.epoch,
        mapping=ChannelMapping(
            channel_id=found.channel_id,
            fields=tuple(
                FieldMapping(
                    field=each.field,
                    metric=each.metric,
                    unit=each.unit,
                    scale=each.scale,
                    offset=each.offset,
                )
                for each in found.fields
            ),
        ),
        read_key=found.read_key,
        location_name=found.location_name,
        latitude=found.latitude,
        longitude=found.longitude,
        capacity_l=found.config.get("capacity_l"),
    )
