"""Writing many rows: accepted first, there later, and silent about what was left out."""

from __future__ import annotations

import dataclasses

import pytest

from evara_core.thingspeak.simulator.profile import FREE


@pytest.fixture
def bulk(visitor, channel):
    async def bulk(updates, **more):
        body = {"write_api_key": channel.write_key, "updates": updates, **more}
        return await visitor.send("POST", "/channels/1/bulk_update.json", json=body)

    return bulk


async def test_rows_are_accepted_and_there_a_little_later(channel, visitor, clock, bulk):
    answer = await bulk(
        [
            {"created_at": "2026-03-01T10:00:00Z", "field1": 1, "status": "ok"},
            {"created_at": "2026-03-01 10:00:01 +0000", "field1": "2", "latitude": 43.5},
            {"created_at": "1772359202", "field1": None},
        ]
    )

    assert (answer.status_code, answer.json()) == (202, {"success": True})
    assert await visitor.feeds(channel) == []

    clock.advance(2)

    rows = await visitor.feeds(channel, status="true", location="true")
    assert [(row["entry_id"], row["field1"]) for row in rows] == [(1, "1"), (2, "2"), (3, None)]
    assert rows[0]["status"] == "ok"
    assert rows[1]["latitude"] == "43.5"


async def test_relative_times_end_now(channel, visitor, clock, bulk):
    await bulk([{"delta_t": 0, "field1": "1"}, {"delta_t": 10, "field1": "2"}, {"delta_t": 5}])
    clock.advance(2)

    rows = await visitor.feeds(channel)

    assert [row["created_at"][11:19] for row in rows] == ["11:59:45", "11:59:55", "12:00:00"]


async def test_rows_whose_time_is_taken_are_left_out_in_silence(
    simulator, channel, visitor, clock, bulk
):
    simulator.write(1, {1: "first"})

    answer = await bulk(
        [
            {"created_at": "2026-03-01T12:00:00Z", "field1": "second"},
            {"created_at": "2026-03-01T11:00:00Z", "field1": "a"},
            {"created_at": "2026-03-01T11:00:00Z", "field1": "b"},
        ]
    )
    clock.advance(2)

    assert answer.status_code == 202
    assert [row["field1"] for row in await visitor.feeds(channel)] == ["a", "first"]


async def test_a_second_call_within_15_seconds_is_429(clock, bulk):
    row = {"created_at": "2026-03-01T10:00:00Z"}
    await bulk([row])
    clock.advance(14)
    early = await bulk([row])
    clock.advance(1)
    later = await bulk([row])

    assert early.status_code == 429
    assert early.json()["status"] == "429"
    assert "retry-after" not in early.headers
    assert later.status_code == 202


async def test_a_call_holds_960_rows_on_the_free_licence(bulk):
    rows = [{"created_at": 1_772_000_000 + number} for number in range(961)]

    assert (await bulk(rows)).status_code == 413
    assert (await bulk(rows[:960])).status_code == 202


@pytest.mark.parametrize(
    "updates",
    [[], None, "x", [7], [{"field1": "1"}], [{"created_at": "yesterday"}]],
)
async def test_what_makes_no_sense_is_400(bulk, updates):
    assert (await bulk(updates)).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
async def test_what_is_no_json_object_cannot_even_bring_its_key(channel, visitor, content):
    answer = await visitor.send_json("/channels/1/bulk_update.json", content)

    assert answer.status_code == 401


async def test_a_wrong_key_is_401(channel, visitor):
    body = {"write_api_key": channel.read_key, "updates": [{"created_at": 1_772_000_000}]}

    answer = await visitor.send("POST", "/channels/1/bulk_update.json", json=body)

    assert answer.status_code == 401
    assert answer.json()["error"]["error_code"] == "error_auth_required"


async def test_a_used_up_quota_is_402(channel, bulk):
    channel.licence = dataclasses.replace(FREE, messages_per_year=1)

    answer = await bulk([{"created_at": 1_772_000_000}, {"created_at": 1_772_000_001}])

    assert answer.status_code == 402


async def test_rows_come_as_csv_too(channel, visitor, clock):
    updates = "2026-03-01T10:00:00Z,1,20,,,,,,,43.1,12.3,5,ok|2026-03-01T10:01:00Z,2|"
    answer = await visitor.post(
        "/channels/1/bulk_update.csv",
        write_api_key=channel.write_key,
        time_format="absolute",
        updates=updates,
    )
    clock.advance(2)

    rows = await visitor.feeds(channel, status="true", location="true")

    assert answer.status_code == 202
    assert rows[0] == {
        "created_at": "2026-03-01T10:00:00Z", "entry_id": 1, "field1": "1", "field2": "20",
        "latitude": "43.1", "longitude": "12.3", "elevation": "5", "status": "ok",
    }  # fmt: skip
    assert rows[1]["field1"] == "2"


async def test_relative_csv_counts_seconds(channel, visitor, clock):
    await visitor.post(
        "/channels/1/bulk_update.csv",
        write_api_key=channel.write_key,
        time_format="relative",
        updates="3,1|7,2",
    )
    clock.advance(2)

    rows = await visitor.feeds(channel)

    assert [row["created_at"][11:19] for row in rows] == ["11:59:53", "12:00:00"]


async def test_updates_and_bulk_calls_have_intervals_of_their_own(channel, visitor, bulk):
    await visitor.post("/update", channel.write_key, field1="1")

    assert (await bulk([{"created_at": 1_772_000_000}])).status_code == 202
