"""Bins that are right with nulls, and gaps."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidInputError
from evara_core.thingspeak.aggregation import Aggregator, aggregate
from evara_core.thingspeak.gaps import Gap, find_gaps
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.values import number

MIDNIGHT = datetime(2026, 3, 28, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROME = ZoneInfo("Europe/Rome")


def entry(minutes: float, text: str | None = "1", entry_id: int = 1) -> Entry:
    at = MIDNIGHT + timedelta(minutes=minutes)
    return Entry(entry_id=entry_id, created_at=at, fields={1: text})


def test_a_missing_value_does_not_count_as_zero() -> None:
    rows = [entry(0, "10"), entry(10, None), entry(20, "20"), entry(30, "")]

    (bin_,) = aggregate(rows, field=1, every=HOUR)

    assert (bin_.count, bin_.without, bin_.mean) == (2, 2, 15.0)


def test_a_bin_tells_all_there_is() -> None:
    rows = [entry(0, "3"), entry(1, "junk"), entry(2, "1,5"), entry(3, "nan"), entry(4, " 6\r\n")]

    (bin_,) = aggregate(rows, field=1, every=HOUR)

    assert (bin_.sum, bin_.mean, bin_.median) == (10.5, 3.5, 3.0)
    assert (bin_.minimum, bin_.maximum, bin_.first, bin_.last) == (1.5, 6.0, 3.0, 6.0)
    assert (bin_.count, bin_.without) == (3, 2)


def test_a_bin_of_nothing_has_no_mean() -> None:
    (bin_,) = aggregate([entry(0, None)], field=1, every=HOUR)

    assert (bin_.count, bin_.without, bin_.mean, bin_.sum) == (0, 1, None, None)


def test_empty_bins_are_filled_in() -> None:
    rows = [entry(5), entry(185)]

    bins = list(aggregate(rows, field=1, every=HOUR))

    assert [b.count for b in bins] == [1, 0, 0, 1]
    assert [b.start for b in bins] == [MIDNIGHT + n * HOUR for n in range(4)]
    assert [b.count for b in aggregate(rows, field=1, every=HOUR, fill=False)] == [1, 1]


def test_days_begin_at_midnight_where_the_sensor_is() -> None:
    zone = ZoneInfo("Asia/Kolkata")

    (bin_,) = aggregate([entry(0)], field=1, every=timedelta(days=1), zone=zone)

    assert bin_.start == MIDNIGHT - timedelta(hours=5, minutes=30)


def test_the_day_on_which_clocks_go_forward_has_23_hours() -> None:
    day = timedelta(days=1)

    bins = list(aggregate([entry(0), entry(3000)], field=1, every=day, zone=ROME))

    assert [b.end - b.start for b in bins] == [timedelta(hours=24), timedelta(hours=23), day]


def test_bins_of_several_days_follow_each_other() -> None:
    bins = list(aggregate([entry(0), entry(60 * 24 * 20)], field=1, every=timedelta(days=7)))

    assert all(a.end == b.start for a, b in pairwise(bins))
    assert {b.end - b.start for b in bins} == {timedelta(days=7)}


@pytest.mark.parametrize(
    "every",
    [
        timedelta(0), timedelta(minutes=-5), timedelta(minutes=7), timedelta(hours=5),
        timedelta(hours=36),
    ],
)  # fmt: skip
def test_a_bin_that_does_not_fit_is_refused(every: timedelta) -> None:
    with pytest.raises(InvalidInputError):
        Aggregator(field=1, every=every)


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        Aggregator(field=9, every=HOUR)


def test_going_back_in_time_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        list(aggregate([entry(100), entry(0)], field=1, every=HOUR))


def test_nothing_makes_no_bins() -> None:
    assert list(aggregate([], field=1, every=HOUR)) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.none() | st.sampled_from(["1", "2.5", "-7", "x"])),
        max_size=40,
    ).map(lambda rows: sorted(rows, key=lambda row: row[0])),
    st.sampled_from([10, 60, 240, 1440]),
    st.sampled_from([UTC, ROME, ZoneInfo("Asia/Kolkata"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_every_row_is_in_one_bin(rows, minutes, zone) -> None:
    entries = [entry(at, text) for at, text in rows]
    values = [v for _, text in rows if (v := number(text)) is not None]

    bins = list(aggregate(entries, field=1, every=timedelta(minutes=minutes), zone=zone))

    assert sum(b.count + b.without for b in bins) == len(rows)
    assert math.isclose(sum(b.sum or 0 for b in bins), sum(values))
    assert all(a.end == b.start for a, b in pairwise(bins))


def test_a_silence_is_a_gap() -> None:
    rows = [entry(0, entry_id=1), entry(10, entry_id=2), entry(200, entry_id=3)]

    (gap,) = find_gaps(rows, longer_than=HOUR)

    assert gap == Gap(
        after_id=2, before_id=3, start=rows[1].created_at, end=rows[2].created_at, missing=0
    )
    assert gap.duration == timedelta(minutes=190)


def test_missing_ids_are_a_gap() -> None:
    rows = [entry(0, entry_id=1), entry(10, entry_id=5), entry(20, entry_id=2)]

    assert [gap.missing for gap in find_gaps(rows, longer_than=HOUR)] == [3, -4]
