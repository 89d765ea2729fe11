"""One rule for what JSON cannot say."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from evara_core.errors import InvalidJsonError
from evara_core.serialization import dump_json, dump_json_sorted, load_json


def test_moments_are_utc_with_a_z() -> None:
    there = datetime(2026, 1, 1, 5, 30, tzinfo=UTC).astimezone(timezone(timedelta(hours=5.5)))

    assert dump_json([datetime(2026, 1, 1, tzinfo=UTC)]) == b'["2026-01-01T00:00:00Z"]'
    assert load_json(dump_json([there]))[0].startswith("2026-01-01T")


def test_what_is_no_number_is_null_and_decimals_are_text() -> None:
    assert dump_json([math.nan, math.inf, Decimal("1.10")]) == b'[null,null,"1.10"]'


def test_equal_values_give_equal_bytes_when_sorted() -> None:
    assert dump_json_sorted({"b": {2, 1}, "a": 1}) == dump_json_sorted({"a": 1, "b": {1, 2}})


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", "nul", "[" * 100_000])
def test_what_is_no_json_is_refused(text: bytes | str) -> None:
    with pytest.raises(InvalidJsonError):
        load_json(text)
