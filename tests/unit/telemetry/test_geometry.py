"""Depths and volumes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.geometry import (
    Box,
    Cylinder,
    HorizontalCylinder,
    Prism,
    Sphere,
    Strapping,
    level_from_distance,
    level_of_volume,
    shape_of,
)

SIZES = st.floats(1.0, 5_000.0)
SHAPES = st.one_of(
    st.builds(Cylinder, height_cm=SIZES, diameter_cm=SIZES),
    st.builds(Box, height_cm=SIZES, length_cm=SIZES, width_cm=SIZES),
    st.builds(HorizontalCylinder, length_cm=SIZES, diameter_cm=SIZES),
    st.builds(Sphere, diameter_cm=SIZES),
    st.builds(Prism, height_cm=SIZES, capacity_l=SIZES),
    st.just(Strapping(levels_cm=(0.0, 50.0, 120.0), volumes_l=(10.0, 400.0, 2_000.0))),
)


@pytest.mark.parametrize(
    ("shape", "level_cm", "litres"),
    [
        (Cylinder(height_cm=200, diameter_cm=100), 100, math.pi * 2500 * 100 / 1000),
        (Box(height_cm=100, length_cm=200, width_cm=150), 50, 1500.0),
        (HorizontalCylinder(length_cm=300, diameter_cm=100), 50, math.pi * 2500 * 300 / 2000),
        (HorizontalCylinder(length_cm=300, diameter_cm=100), 100, math.pi * 2500 * 300 / 1000),
        (Sphere(diameter_cm=200), 100, 2 / 3 * math.pi * 1_000_000 / 1000),
        (Sphere(diameter_cm=200), 200, 4 / 3 * math.pi * 1_000_000 / 1000),
        (Prism(height_cm=200, capacity_l=10_000), 30, 1500.0),
        (Strapping(levels_cm=(0, 50, 120), volumes_l=(10, 400, 2000)), 0, 10.0),
        (Strapping(levels_cm=(0, 50, 120), volumes_l=(10, 400, 2000)), 25, 205.0),
        (Strapping(levels_cm=(0, 50, 120), volumes_l=(10, 400, 2000)), 85, 1200.0),
        (Strapping(levels_cm=(0, 50, 120), volumes_l=(10, 400, 2000)), 120, 2000.0),
    ],
)
def test_volume(shape, level_cm, litres) -> None:
    assert shape.volume_l(level_cm) == pytest.approx(litres)


def test_a_lying_cylinder_a_quarter_deep_is_a_fifth_full() -> None:
    tank = HorizontalCylinder(length_cm=100, diameter_cm=100)

    assert tank.volume_l(25) / tank.volume_l(100) == pytest.approx(0.1955, abs=1e-4)


@given(shape=SHAPES, a=st.floats(-100, 6_000), b=st.floats(-100, 6_000))
def test_more_depth_is_never_less_water(shape, a, b) -> None:
    low, high = sorted((a, b))

    assert shape.volume_l(low) <= shape.volume_l(high) * (1 + 1e-9) + 1e-9


@given(shape=SHAPES)
def test_below_the_floor_is_empty_and_above_the_brim_is_full(shape) -> None:
    assert shape.volume_l(-5) == shape.volume_l(0)
    assert shape.volume_l(shape.height_cm * 2) == shape.volume_l(shape.height_cm)


@given(shape=SHAPES, share=st.floats(0.01, 0.99))
def test_a_volume_leads_back_to_its_depth(shape, share) -> None:
    level_cm = shape.height_cm * share

    found = level_of_volume(shape, shape.volume_l(level_cm))

    assert found == pytest.approx(level_cm, abs=shape.height_cm / 1000)


def test_a_sensor_at_the_top_sees_the_air() -> None:
    assert level_from_distance(30, sensor_height_cm=210) == 180
    assert level_from_distance(215, sensor_height_cm=210) == -5


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"height_cm": 200, "diameter_cm": 100}, Cylinder(height_cm=200, diameter_cm=100)),
        (
            {"length_cm": 200, "diameter_cm": 100},
            HorizontalCylinder(length_cm=200, diameter_cm=100),
        ),
        ({"diameter_cm": 100}, Sphere(diameter_cm=100)),
        (
            {"height_cm": 1, "length_cm": 2, "width_cm": 3},
            Box(height_cm=1, length_cm=2, width_cm=3),
        ),
        ({"height_cm": 200, "capacity_l": 5000}, Prism(height_cm=200, capacity_l=5000)),
        (
            {"strapping_l.at_cm.0": 0, "strapping_l.at_cm.100": 900, "strapping_l.at_cm.50": 300},
            Strapping(levels_cm=(0, 50, 100), volumes_l=(0, 300, 900)),
        ),
        ({}, None),
        ({"height_cm": 200}, None),
        ({"capacity_l": 200}, None),
        ({"sensor_height_cm": 200}, None),
    ],
)
def test_the_sizes_tell_the_shape(config, shape) -> None:
    assert shape_of(config) == shape


@pytest.mark.parametrize(
    "config",
    [
        {"height_cm": 0, "diameter_cm": 100},
        {"height_cm": -3, "capacity_l": 100},
        {"height_cm": float("nan"), "diameter_cm": 100},
        {"height_cm": float("inf"), "diameter_cm": 100},
        {"height_cm": 1, "diameter_cm": 1, "length_cm": 1, "width_cm": 1},
        {"length_cm": 1},
        {"strapping_l.at_cm.0": 0},
        {"strapping_l.at_cm.10": 0, "strapping_l.at_cm.20": 5},
        {"strapping_l.at_cm.0": 7, "strapping_l.at_cm.20": 5},
        {"strapping_l.at_cm.0": 0, "strapping_l.at_cm.x": 5},
    ],
)
def test_refuses_sizes_that_make_no_tank(config) -> None:
    with pytest.raises(InvalidMappingError):
        shape_of(config)
