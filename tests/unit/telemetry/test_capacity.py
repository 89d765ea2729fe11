"""Capacities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidParameterError
from evara_core.telemetry.capacity import Capacity, parse_capacity


@pytest.mark.parametrize(
    ("text", "litres"),
    [
        ("2.00L L", 200_000),
        ("2L L", 200_000),
        ("2.00 L. L", 200_000),
        ("2 lakh litres", 200_000),
        ("20 Lakhs Ltrs.", 2_000_000),
        ("1.5 Cr L", 15_000_000),
        ("1 crore litres", 10_000_000),
        ("5 lakh", 500_000),
        ("500L", 500),
        ("2.00L", 2),
        ("500", 500),
        (" 2,00,000 L ", 200_000),
        ("200,000 litres", 200_000),
        ("10KL", 10_000),
        ("10 kl", 10_000),
        ("2 ML", 2_000_000),
        ("3 million litres", 3_000_000),
        ("5 m3", 5_000),
        ("5 m³", 5_000),
        ("5 cum", 5_000),
        ("1000 gal", 3_785.411784),
        ("2k gallons", 7_570.823568),
        (".5 kL", 500),
    ],
)
def test_understands(text, litres) -> None:
    assert parse_capacity(text).litres == pytest.approx(litres)


def test_keeps_what_was_written() -> None:
    assert parse_capacity(" 2.00L L") == Capacity(200_000.0, " 2.00L L")


@pytest.mark.parametrize(
    "text",
    [
        "", "L", "big", "-5 L", "0 L", "5 ml", "5 mL", "5 m", "5 k", "5 L L L", "1e5 L", "nan",
        "inf L", "5 barrels", "\u0665 L",
        "5,000.00.0 L", "9" * 400, "9" * 60 + " crore litres" * 40,
    ],
)  # fmt: skip
def test_refuses_what_it_would_have_to_guess(text) -> None:
    with pytest.raises(InvalidParameterError) as error:
        parse_capacity(text)

    assert error.value.parameter == "capacity"
    assert len(str(error.value)) < 300


@given(st.text(max_size=80))
def test_any_text_is_understood_or_refused(text) -> None:
    try:
        capacity = parse_capacity(text)
    except InvalidParameterError:
        return

    assert 0 < capacity.litres < float("inf")
    assert capacity.text == text
