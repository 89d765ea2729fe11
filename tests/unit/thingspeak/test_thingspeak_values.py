"""Text to numbers and moments."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidInputError
from evara_core.thingspeak.times import parse_time, render_query_time, render_time
from evara_core.thingspeak.values import Value, ValueKind, number, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4.12300", 4.123), ("23.450000000000003", 23.450000000000003), ("54\r\n", 54.0),
        ("812.26\n\n", 812.26), (" 7", 7.0), ("\t7\t", 7.0), ("-49", -49.0), ("+3", 3.0),
        ("12,5", 12.5), ("1,250", 1.25), (".5", 0.5), ("5.", 5.0), (",5", 0.5), ("1e3", 1000.0),
        ("1.5E-3", 0.0015), ("007", 7.0), ("-0", 0.0),
    ],
)  # fmt: skip
def test_numbers_in_every_dress(text: str, value: float) -> None:
    assert parse_value(text) == Value(ValueKind.NUMBER, value, text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (None, ValueKind.NULL),
        ("", ValueKind.EMPTY), (" \r\n", ValueKind.EMPTY),
        ("nan", ValueKind.NO_NUMBER), ("NaN", ValueKind.NO_NUMBER), ("-inf", ValueKind.NO_NUMBER),
        ("Infinity", ValueKind.NO_NUMBER), ("-", ValueKind.NO_NUMBER), ("---", ValueKind.NO_NUMBER),
        ("null", ValueKind.NO_NUMBER), ("ovf", ValueKind.NO_NUMBER),
        ("Clouds", ValueKind.JUNK), ("18:1:39", ValueKind.JUNK), ("12abc", ValueKind.JUNK),
        ("1_000", ValueKind.JUNK), ("1,234.5", ValueKind.JUNK), ("0x10", ValueKind.JUNK),
        ("١٢", ValueKind.JUNK), ("1e999", ValueKind.JUNK), ("1 2", ValueKind.JUNK),
        ("--5", ValueKind.JUNK), (".", ValueKind.JUNK), ("e5", ValueKind.JUNK),
        ("5\x00", ValueKind.JUNK),
    ],
)  # fmt: skip
def test_what_is_no_number_is_told_apart(text: str | None, kind: ValueKind) -> None:
    assert parse_value(text) == Value(kind, None, text)
    assert number(text) is None


@given(st.text(max_size=40) | st.from_regex(r"[-+0-9.,eE \n]{0,20}"))
def test_a_number_is_always_finite(text: str) -> None:
    value = parse_value(text)

    assert (value.kind is ValueKind.NUMBER) == (value.number is not None)
    assert value.number is None or math.isfinite(value.number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_is_read_back(value: float) -> None:
    assert number(repr(value)) == value


NOON = datetime(2021, 5, 4, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2021-05-04T12:00:30Z", "2021-05-04T12:00:30+00:00", "2021-05-04T07:00:30-05:00",
        "2021-05-04 12:00:30 UTC", "2021-05-04 07:00:30 -0500", "2021-05-04 14:00:30+02:00",
        "2021-05-04T17:30:30+05:30", "2021-05-04T12:00:30.000Z", " 2021-05-04T12:00:30Z\n",
    ],
)  # fmt: skip
def test_every_form_is_the_same_moment_in_utc(text: str) -> None:
    moment = parse_time(text)

    assert moment == NOON
    assert moment.tzinfo is UTC or moment.utcoffset() == timedelta(0)


def test_a_fraction_is_kept() -> None:
    assert parse_time("2021-05-04T12:00:30.25Z") == NOON + timedelta(milliseconds=250)


@pytest.mark.parametrize(
    "text",
    [
        "", "2021-05-04", "2021-05-04T12:00:30", "2021-05-04 12:00", "2021-05-04T12:00Z",
        "04/05/2021 12:00:30", "2021-13-04T12:00:30Z", "2021-02-30T12:00:30Z", "yesterday",
        "1620129630", "2021-05-04T25:00:30Z", "2021-05-04T12:00:30+99:99", "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00", "٢٠٢١-05-04T12:00:30Z", "x" * 100_000,
    ],
)  # fmt: skip
def test_what_names_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_time(text)

    assert len(str(caught.value)) < 200


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis wants naive bounds
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - the same
        timezones=st.integers(-840, 840).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_what_is_written_is_read_back_to_the_second(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)

    assert parse_time(render_time(moment)) == whole
    assert parse_time(render_query_time(moment).replace("%20", "T") + "Z") == whole
