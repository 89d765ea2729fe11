"""The sizes and ratings of nodes: a table for each of the kinds that come with the library."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, Table

from evara_core.storage.tables.base import metadata
from evara_core.storage.types import Measure

__all__ = ["deep_configs", "flow_configs", "tank_configs"]


def _node_key() -> Column[int]:
    return Column(
        "node_key", Integer, ForeignKey("nodes.node_key", ondelete="CASCADE"), primary_key=True
    )


tank_configs = Table(
    "tank_configs",
    metadata,
    _node_key(),
    # Depth of the water when full.
    Column("height_cm", Measure),
    Column("diameter_cm", Measure),
    Column("length_cm", Measure),
    Column("width_cm", Measure),
    Column("capacity_l", Measure),
    # Of the sensor above the floor.
    Column("sensor_height_cm", Measure),
    CheckConstraint("height_cm > 0", name="height_is_positive"),
    CheckConstraint("diameter_cm > 0", name="diameter_is_positive"),
    CheckConstraint("length_cm > 0", name="length_is_positive"),
    CheckConstraint("width_cm > 0", name="width_is_positive"),
    CheckConstraint("capacity_l > 0", name="capacity_is_positive"),
    CheckConstraint("sensor_height_cm > 0", name="sensor_is_above_the_floor"),
)

deep_configs = Table(
    "deep_configs",
    metadata,
    _node_key(),
    # Of the borehole.
    Column("depth_m", Measure),
    # Of the pump's inlet.
    Column("pump_depth_m", Measure),
    # Down to the water when it was built. Below 0 where it rises above the ground by itself.
    Column("static_level_m", Measure),
    CheckConstraint("depth_m > 0", name="depth_is_positive"),
    CheckConstraint("pump_depth_m > 0", name="pump_is_below_the_ground"),
    CheckConstraint("pump_depth_m <= depth_m", name="pump_is_in_the_hole"),
    CheckConstraint("static_level_m <= depth_m", name="water_is_in_the_hole"),
)

flow_configs = Table(
    "flow_configs",
    metadata,
    _node_key(),
    Column("pulses_per_l", Measure),
    Column("max_flow_l_per_min", Measure),
    CheckConstraint("pulses_per_l > 0", name="pulses_are_positive"),
    CheckConstraint("max_flow_l_per_min > 0", name="flow_is_positive"),
)
