"""Bins, filters and rounding: right where the server is right, wrong where it is wrong."""

from __future__ import annotations

import statistics
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.thingspeak.simulator.bins import MAX_BINS, aggregated
from evara_core.thingspeak.simulator.history import Row
from evara_core.thingspeak.simulator.numerals import float_text, number, rounded


def rows_of(values, *, every_s=60, start_s=0):
    return [
        Row(number, start_s + every_s * (number - 1), (value, *[None] * 7))
        for number, value in enumerate(values, 1)
    ]


async def test_an_average_divides_by_rows_not_by_values(simulator, channel, visitor, fill):
    fill(simulator, channel, [{1: "10"}, {2: "4"}, {1: "20"}, {2: "junk"}])

    rows = await visitor.feeds(channel, average=60)

    # Half of the true means 15 and 4: nulls and junk count as 0.
    assert rows == [{"created_at": "2026-03-01T12:00:00Z", "field1": "7.5", "field2": "1.0"}]


async def test_a_sum_leaves_out_nulls_and_a_median_also_junk(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1", None, "junk", "2", "30"])

    assert (await visitor.feeds(channel, sum=60))[0]["field1"] == "33.0"
    assert (await visitor.feeds(channel, median=60))[0]["field1"] == "2.0"


async def test_a_timescale_takes_the_first_row_of_each_bin(simulator, channel, visitor, fill):
    fill(simulator, channel, [str(number) for number in range(25)])

    rows = await visitor.feeds(channel, timescale=10)

    assert [row["field1"] for row in rows] == ["0", "10", "20"]
    assert [row["created_at"][11:16] for row in rows] == ["12:00", "12:10", "12:20"]


async def test_a_bin_size_that_is_not_on_the_list_is_ignored(simulator, channel, visitor, fill):
    fill(simulator, channel, "12")

    for size in ("5", "61", "hourly", ""):
        rows = await visitor.feeds(channel, average=size)

        assert [row["entry_id"] for row in rows] == [1, 2]


async def test_only_one_aggregation_is_applied(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1", "2", "6"])

    assert (await visitor.feeds(channel, median=60, average=60))[0]["field1"] == "3.0"
    assert (await visitor.feeds(channel, average=60, sum=60))[0]["field1"] == "9.0"
    assert (await visitor.feeds(channel, sum=60, timescale=60))[0]["field1"] == "1"
    assert (await visitor.feeds(channel, sum=7, average=60))[0]["field1"] == "3.0"


async def test_results_limit_the_rows_that_go_in(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"] * 180)

    rows = await visitor.feeds(channel, results=120, sum=60)

    assert [row["field1"] for row in rows] == ["60.0", "60.0"]


async def test_empty_bins_between_rows_are_all_null(simulator, channel, visitor, clock):
    simulator.write(1, {1: "1"})
    clock.advance(1800)
    simulator.write(1, {1: "2"})

    rows = await visitor.feeds(channel, average=10)

    assert [row["field1"] for row in rows] == ["1.0", None, None, "2.0"]


async def test_days_begin_at_midnight_utc_in_every_zone(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1", "2"])

    rows = await visitor.feeds(channel, sum="daily", timezone="Asia/Kolkata")

    assert rows == [{"created_at": "2026-03-01T05:30:00+05:30", "field1": "3.0", "field2": None}]


async def test_decimal_commas_are_understood_and_spread(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1.5"] * 10 + ["2,5"] * 10 + ["3.5"] * 10)

    rows = await visitor.feeds(channel, average=10)

    assert [row["field1"] for row in rows] == ["1.5", "2,5", "3,5"]


async def test_aggregated_csv_has_no_ids(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"])

    answer = await visitor.get("/channels/1/feeds.csv", channel.read_key, average=60)

    assert answer.text == "created_at,field1,field2\n2026-03-01T12:00:00+00:00,1.0,\n"


async def test_the_older_server_never_changes_a_day_that_it_told(
    rails, rails_channel, rails_visitor, clock, fill
):
    fill(rails, rails_channel, ["1"])
    clock.advance(86_400)
    first = await rails_visitor.feeds(rails_channel, sum="daily", results=100)

    rails.write(1, {1: "5"}, created_at=clock.now() - timedelta(days=1))
    again = await rails_visitor.feeds(rails_channel, sum="daily", results=100)
    zoned = await rails_visitor.feeds(
        rails_channel, sum="daily", results=100, timezone="Asia/Kolkata"
    )

    assert first[0]["field1"] == again[0]["field1"] == "1.0"
    assert zoned[0]["field1"] == "6.0"


async def test_min_and_max_drop_whole_rows_and_spare_what_is_no_number(
    simulator, channel, visitor, fill
):
    fill(simulator, channel, [{1: "1", 2: "50"}, {1: "5"}, {1: "junk", 2: "7"}, {1: "9"}])

    assert await visitor.ids(channel, min=2) == [2, 3, 4]
    assert await visitor.ids(channel, max=8) == [2, 3]
    assert await visitor.ids(channel, min=2, max=8) == [2, 3]


async def test_round_prints_as_many_decimals_as_told(simulator, channel, visitor, fill):
    fill(simulator, channel, ["25.9", "7", "-1.005", "1e3", ".5", "NaN", None])

    rows = await visitor.feeds(channel, round=2)

    assert [row["field1"] for row in rows] == [
        "25.90", "7.00", "-1.00", "1e3", ".5", "NaN", None,
    ]  # fmt: skip


async def test_filters_come_after_the_aggregation(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"] * 10 + ["3"] * 10)

    rows = await visitor.feeds(channel, average=10, min=2, round=1)

    assert [row["field1"] for row in rows] == ["3.0"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), (" -2.5\r\n", -2.5), ("12,5", 12.5), ("+3", 3.0)],
)
def test_numbers_are_digits_with_a_fraction_and_white_space(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    "text", ["", "nan", "1e3", ".5", "5.", "1_000", "inf", "18:1:39", "٣", None]
)
def test_everything_else_is_no_number(text):
    assert number(text) is None


def test_floats_are_printed_with_a_fraction():
    assert float_text(39) == "39"
    assert float_text(39.0) == "39.0"
    assert float_text(51 / 7) == "7.285714285714286"
    assert float_text(1e20) == "1.0e+20"
    assert float_text(2.5, comma=True) == "2,5"


@given(st.text(max_size=20), st.integers(-3, 400))
def test_rounding_never_fails(text, places):
    assert isinstance(rounded(text, places), str)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60), st.sampled_from([600, 3600]))
def test_sums_over_bins_are_the_sum_over_rows(values, size_s):
    rows = rows_of([str(value) for value in values])

    bins = aggregated(rows, "sum", size_s)

    assert sum(float(row.values[0]) for row in bins if row.values[0]) == sum(values)
    assert all(row.entry_id == 0 and row.at_s % size_s == 0 for row in bins)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=10))
def test_without_nulls_averages_and_medians_are_right(values):
    rows = rows_of([str(value) for value in values])

    assert float(aggregated(rows, "average", 600)[0].values[0]) == statistics.fmean(values)
    assert float(aggregated(rows, "median", 600)[0].values[0]) == statistics.median(values)


def test_the_number_of_bins_is_bounded():
    rows = [Row(1, 0, ("1", *[None] * 7)), Row(2, 600 * 1_000_000, ("2", *[None] * 7))]

    bins = aggregated(rows, "sum", 600)

    assert len(bins) == MAX_BINS
    assert bins[-1].values[0] == "2.0"
