"""Which rows a request gets: limits, spans, zones."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evara_core.thingspeak.simulator.moments import csv_time, json_time, read_time, zone_of


async def test_results_are_the_newest_and_come_oldest_first(simulator, channel, visitor, fill):
    fill(simulator, channel, "12345")

    assert await visitor.ids(channel, results=2) == [4, 5]


async def test_without_parameters_there_are_a_hundred_rows_of_a_day(
    simulator, channel, visitor, clock, fill
):
    simulator.write(1, {1: "old"}, created_at=clock.now() - timedelta(days=1, seconds=1))
    fill(simulator, channel, ["x"] * 20)

    assert await visitor.ids(channel) == list(range(2, 22))

    fill(simulator, channel, ["x"] * 120)

    assert await visitor.ids(channel) == list(range(42, 142))


async def test_more_than_8000_rows_are_cut_in_silence(simulator, channel, visitor, clock):
    for _ in range(8005):
        simulator.write(1, {1: "x"})
        clock.advance(1)

    assert await visitor.ids(channel, results=9000) == list(range(6, 8006))
    assert await visitor.ids(channel, days=1) == list(range(6, 8006))
    assert await visitor.ids(channel, start="2026-03-01 00:00:00") == list(range(6, 8006))


@pytest.mark.parametrize("text", ["none", "-5", ""])
async def test_results_that_are_no_number_are_none(simulator, channel, visitor, fill, text):
    fill(simulator, channel, "12")

    assert await visitor.feeds(channel, results=text) == []


async def test_days_lift_the_limit_and_minutes_do_not(simulator, channel, visitor, fill):
    fill(simulator, channel, ["x"] * 150)

    assert len(await visitor.ids(channel, days=1)) == 150
    assert len(await visitor.ids(channel, minutes=1440)) == 100
    assert len(await visitor.ids(channel, minutes=1440, results=8000)) == 150
    assert len(await visitor.ids(channel, minutes=10, results=8000)) == 10


async def test_both_ends_of_a_span_are_inclusive(simulator, channel, visitor, fill):
    fill(simulator, channel, "12345")

    ids = await visitor.ids(channel, start="2026-03-01 12:01:00", end="2026-03-01 12:03:00")

    assert ids == [2, 3, 4]


async def test_start_beats_minutes_and_minutes_beat_days(simulator, channel, visitor, fill):
    fill(simulator, channel, "12345")

    assert await visitor.ids(channel, minutes=2, days=5) == [4, 5]
    assert await visitor.ids(channel, start="2026-03-01 12:00:00", minutes=2) == [1, 2, 3, 4, 5]


async def test_an_old_end_without_a_start_finds_nothing(simulator, channel, visitor, clock, fill):
    fill(simulator, channel, "12345")
    clock.advance(5 * 86_400)

    assert await visitor.ids(channel, end="2026-03-01 12:02:00") == []
    assert await visitor.ids(channel, end="2026-03-01 12:02:00", results=10) == [1, 2, 3]


async def test_rows_older_than_2010_are_out_of_reach_of_results(simulator, channel, visitor, clock):
    simulator.write(1, {1: "x"}, created_at=clock.now().replace(year=2009))

    assert await visitor.ids(channel, results=10) == []
    assert await visitor.ids(channel, start="2009-01-01", results=10) == [1]


async def test_rows_can_be_asked_by_their_ids(simulator, channel, visitor, fill):
    fill(simulator, channel, "12345")

    assert await visitor.ids(channel, start_entry_id=2, end_entry_id=4) == [2, 3, 4]
    assert await visitor.ids(channel, start_entry_id=4) == [4, 5]
    assert await visitor.ids(channel, end_entry_id=2) == [1, 2]
    assert await visitor.ids(channel, start_entry_id=1, results=2) == [4, 5]


async def test_the_zone_decides_how_times_are_read_and_printed(simulator, channel, visitor, fill):
    fill(simulator, channel, "123")

    rows = await visitor.feeds(
        channel, timezone="America/New_York", start="2026-03-01 07:01:00", end="2026-03-01 07:01:00"
    )

    assert [row["created_at"] for row in rows] == ["2026-03-01T07:01:00-05:00"]


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../etc/passwd", "america/new_york", "America", ""]
)
async def test_an_unknown_zone_is_utc(simulator, channel, visitor, fill, name):
    fill(simulator, channel, "1")

    rows = await visitor.feeds(channel, timezone=name)

    assert rows[0]["created_at"] == "2026-03-01T12:00:00Z"


async def test_a_zone_without_offset_that_is_not_utc_prints_zeros(
    simulator, channel, visitor, fill
):
    fill(simulator, channel, "1")

    rows = await visitor.feeds(channel, timezone="Europe/London")

    assert rows[0]["created_at"] == "2026-03-01T12:00:00+00:00"


async def test_an_offset_picks_a_zone_that_has_it_now(simulator, channel, visitor, fill, clock):
    fill(simulator, channel, "1")

    winter = await visitor.feeds(channel, offset="-5", results=1)
    clock.advance(120 * 86_400)
    summer = await visitor.feeds(channel, offset="-5", results=1)

    assert winter[0]["created_at"] == "2026-03-01T07:00:00-05:00"
    # Another zone now: one with daylight saving, in which the same row was at six.
    assert summer[0]["created_at"] == "2026-03-01T06:00:00-06:00"


@pytest.mark.parametrize("offset", ["99", "half", "0"])
async def test_an_offset_that_no_zone_has_is_utc(simulator, channel, visitor, fill, offset):
    fill(simulator, channel, "1")

    rows = await visitor.feeds(channel, offset=offset)

    assert rows[0]["created_at"].startswith("2026-03-01T12:00:00")


async def test_a_timezone_beats_an_offset(simulator, channel, visitor, fill):
    fill(simulator, channel, "1")

    rows = await visitor.feeds(channel, offset="-5", timezone="Asia/Kolkata")

    assert rows[0]["created_at"] == "2026-03-01T17:30:00+05:30"


def test_moments_are_read_in_every_known_form():
    for text in (
        "2018-12-18 12:13:41", "2018-12-18 12:13:41 UTC", "2018-12-18T12:13:41Z", "1545135221",
        "2018-12-18T13:13:41+01:00", "2018-12-18 14:13:41+02:00", " 2018-12-18T12:13:41 ",
    ):  # fmt: skip
        assert read_time(text) == 1_545_135_221

    assert read_time("2018-12-18") == 1_545_091_200
    assert read_time("yesterday") is None
    assert read_time("9999-99-99") is None


def test_moments_are_printed_in_the_forms_of_json_and_csv():
    zone = zone_of({"timezone": "Asia/Kolkata"}, now_s=0)

    assert json_time(1_545_135_221) == "2018-12-18T12:13:41Z"
    assert json_time(1_545_135_221, zone) == "2018-12-18T17:43:41+05:30"
    assert csv_time(1_545_135_221) == "2018-12-18T12:13:41+00:00"
    assert csv_time(1_545_135_221, iso=False) == "2018-12-18 12:13:41 UTC"
    assert csv_time(1_545_135_221, zone, iso=False) == "2018-12-18 17:43:41 +0530"
