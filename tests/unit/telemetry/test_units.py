"""Units convert exactly, and only within their dimension."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.units import STANDARD_UNITS, Unit, UnitTable

PAIRS = [
    (a.name, b.name)
    for a in dict.fromkeys(STANDARD_UNITS.by_name.values())
    for b in dict.fromkeys(STANDARD_UNITS.by_name.values())
    if a.dimension == b.dimension
]


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1060, "mm", "cm", 106.0),
        (1.5, "m", "cm", 150.0),
        (10, "in", "cm", 25.4),
        (6, "ft", "cm", 182.88),
        (2, "kl", "l", 2000.0),
        (2, "m3", "l", 2000.0),
        (100, "gal", "l", 378.5411784),
        (100, "gal_imp", "l", 454.609),
        (1, "l_per_s", "l_per_min", 60.0),
        (6, "m3_per_h", "l_per_min", 100.0),
        (90, "l_per_h", "l_per_min", 1.5),
        (0.5, "ratio", "percent", 50.0),
        (250, "kpa", "bar", 2.5),
        (14.503773773, "psi", "bar", 1.0),
        (212, "fahrenheit", "celsius", 100.0),
        (-40, "fahrenheit", "celsius", -40.0),
        (0, "kelvin", "celsius", -273.15),
        (3712, "mV", "volts", 3.712),
        (850, "mA", "amperes", 0.85),
    ],
)
def test_converts(value, source, target, expected) -> None:
    assert STANDARD_UNITS.conversion(source, target)(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("millimetres", range(0, 2000, 7))
def test_millimetres_become_the_centimetres_that_people_would_write(millimetres) -> None:
    assert STANDARD_UNITS.conversion("mm", "cm")(millimetres) == millimetres / 10


@given(pair=st.sampled_from(PAIRS), value=st.floats(-1e6, 1e6))
def test_there_and_back_is_where_it_was(pair, value) -> None:
    source, target = pair

    back = STANDARD_UNITS.conversion(target, source)(
        STANDARD_UNITS.conversion(source, target)(value)
    )

    assert back == pytest.approx(value, rel=1e-9, abs=1e-6)


def test_an_alias_is_the_unit() -> None:
    assert STANDARD_UNITS.unit("%") is STANDARD_UNITS.unit("percent")


def test_refuses_units_that_measure_different_things() -> None:
    with pytest.raises(InvalidMappingError, match="'mm' measures length, 'l' measures volume"):
        STANDARD_UNITS.conversion("mm", "l")


def test_an_unknown_unit_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidMappingError, match=r"no such unit: 'furlong' \(known: .*mm"):
        STANDARD_UNITS.unit("furlong")


def test_a_team_adds_a_unit_and_leaves_the_table_alone() -> None:
    mine = STANDARD_UNITS.plus(
        Unit(name="tanker", dimension="volume", factor=Fraction(12_000), aliases=("tankers",))
    )

    assert mine.conversion("tankers", "kl")(2) == 24.0
    assert "tanker" not in STANDARD_UNITS.by_name


def test_refuses_two_units_of_one_name() -> None:
    with pytest.raises(InvalidMappingError, match="two units are called 'l'"):
        STANDARD_UNITS.plus(Unit(name="l", dimension="length"))


def test_refuses_a_factor_of_nothing() -> None:
    with pytest.raises(InvalidMappingError, match="its factor is 0"):
        UnitTable.of([Unit(name="x", dimension="x", factor=Fraction(0))])
