"""Writing one row: what is stored, what is not, and how little is said about it."""

from __future__ import annotations

import dataclasses

import httpx
import pytest

from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.profile import FREE, HOSTED, PAID


async def test_the_reply_is_the_new_id_or_the_row(simulator, channel, visitor, clock):
    text = await visitor.post("/update", channel.write_key, field1="1")
    clock.advance(15)
    row = await visitor.post("/update.json", channel.write_key, field2="20", status="ok")
    clock.advance(15)
    markup = await visitor.post("/update.xml", channel.write_key, field1="3")

    assert (text.status_code, text.text) == (200, "1")
    assert row.json() == {
        "channel_id": 1, "created_at": "2026-03-01T12:00:15Z", "entry_id": 2, "field1": None,
        "field2": "20", "field3": None, "field4": None, "field5": None, "field6": None,
        "field7": None, "field8": None, "status": "ok", "latitude": None, "longitude": None,
        "elevation": None,
    }  # fmt: skip
    assert '<entry-id type="integer">3</entry-id>' in markup.text


async def test_a_row_can_be_written_by_get_form_json_and_short_names(
    simulator, channel, visitor, clock
):
    await visitor.get("/update", api_key=channel.write_key, field1="1")
    clock.advance(15)
    await visitor.post("/update", api_key=channel.write_key, field1="2")
    clock.advance(15)
    await visitor.send("POST", "/update.json", json={"api_key": channel.write_key, "field1": 3.5})
    clock.advance(15)
    await visitor.get("/update", channel.write_key, **{"1": "4"})

    assert [row["field1"] for row in await visitor.feeds(channel)] == ["1", "2", "3.5", "4"]


async def test_a_missing_field_is_null_and_does_not_keep_its_value(
    simulator, channel, visitor, clock
):
    await visitor.post("/update", channel.write_key, field1="1")
    clock.advance(15)
    await visitor.post("/update", channel.write_key, field2="20")

    rows = await visitor.feeds(channel)

    assert [(row["field1"], row["field2"]) for row in rows] == [("1", None), (None, "20")]


async def test_an_update_too_soon_is_0_with_status_200(simulator, channel, visitor, clock):
    await visitor.post("/update", channel.write_key, field1="1")
    clock.advance(14)

    for path in ("/update", "/update.json"):
        early = await visitor.post(path, channel.write_key, field1="2")

        assert (early.status_code, early.text) == (200, "0")

    clock.advance(1)

    assert (await visitor.post("/update", channel.write_key, field1="3")).text == "2"


async def test_an_early_update_as_json_may_be_429(clock):
    strict = dataclasses.replace(HOSTED, early_update_json_status=429)
    simulator = Simulator(clock=clock, profile=strict)
    channel = simulator.create_channel()
    transport = httpx.ASGITransport(app=simulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        form = {"api_key": channel.write_key}
        await client.post("/update.json", data=form)
        as_json = await client.post("/update.json", data=form)
        as_text = await client.post("/update", data=form)

    assert as_json.status_code == 429
    assert as_json.json()["error"]["error_code"] == "error_too_many_requests"
    assert (as_text.status_code, as_text.text) == (200, "0")


async def test_a_paid_channel_takes_a_row_a_second(simulator, channel, visitor, clock):
    channel.licence = PAID

    assert (await visitor.post("/update", channel.write_key, field1="1")).text == "1"
    assert (await visitor.post("/update", channel.write_key, field1="2")).text == "0"

    clock.advance(1)

    assert (await visitor.post("/update", channel.write_key, field1="3")).text == "2"


async def test_the_interval_is_the_channels_own(simulator, channel, visitor):
    other = simulator.create_channel()

    assert (await visitor.post("/update", channel.write_key, field1="1")).text == "1"
    assert (await visitor.post("/update", other.write_key, field1="1")).text == "1"


@pytest.mark.parametrize("key", [None, "WRONGWRONGWRONG1"])
async def test_a_wrong_write_key_is_400_and_0(channel, visitor, key):
    answer = await visitor.post("/update", key, field1="1")

    assert (answer.status_code, answer.text) == (400, "0")


async def test_a_read_key_does_not_write(channel, visitor):
    assert (await visitor.post("/update", channel.read_key, field1="1")).text == "0"


async def test_a_second_row_with_the_same_time_is_refused(simulator, channel, visitor, clock):
    at = "2026-02-01T10:00:00Z"
    await visitor.post("/update", channel.write_key, field1="1", created_at=at)
    clock.advance(15)

    again = await visitor.post("/update", channel.write_key, field1="2", created_at=at)

    assert (again.status_code, again.text) == (200, "0")
    assert channel.history.count(simulator.now_s()) == 1


async def test_the_older_server_takes_a_time_twice(rails, rails_channel, rails_visitor, clock):
    at = "2026-02-01T10:00:00Z"
    await rails_visitor.post("/update", rails_channel.write_key, field1="1", created_at=at)
    clock.advance(15)

    again = await rails_visitor.post("/update", rails_channel.write_key, field1="2", created_at=at)

    assert again.text == "2"


async def test_created_at_is_read_in_its_zone_and_nonsense_becomes_now(
    simulator, channel, visitor, clock
):
    await visitor.post(
        "/update", channel.write_key, created_at="2026-02-01 10:00:00", timezone="Asia/Kolkata"
    )
    clock.advance(15)
    await visitor.post("/update", channel.write_key, created_at="yesterday at noon")

    rows = await visitor.feeds(channel, results=10)

    assert [row["created_at"] for row in rows] == ["2026-02-01T04:30:00Z", "2026-03-01T12:00:15Z"]


async def test_unknown_names_are_ignored_and_the_row_counts(simulator, channel, visitor):
    answer = await visitor.post("/update", channel.write_key, level="3")

    assert answer.text == "1"
    assert (await visitor.feeds(channel))[0]["field1"] is None


async def test_some_values_are_not_stored_as_they_were_sent(simulator, channel, visitor, clock):
    await visitor.post("/update", channel.write_key, field1="ip_address", field2="4\\r\\n")
    clock.advance(15)
    await visitor.post("/update", channel.write_key, field1="ä" * 200, field2="4\r\n")

    rows = await visitor.feeds(channel)

    assert (rows[0]["field1"], rows[0]["field2"]) == ("127.0.0.1", "4")
    assert (rows[1]["field1"], rows[1]["field2"]) == ("ä" * 127, "4\r\n")


async def test_a_message_that_is_too_large_or_no_text_is_refused(simulator, channel, visitor):
    large = await visitor.post("/update.json", channel.write_key, field1="x" * 3001)
    broken = await visitor.send("POST", "/update.json", channel.write_key, content=b"field1=%ff%fe")

    assert large.status_code == 413
    assert broken.status_code == 422
    assert channel.history.count(simulator.now_s()) == 0


async def test_a_used_up_quota_is_402(simulator, channel, visitor, clock):
    channel.licence = dataclasses.replace(FREE, messages_per_year=1)
    await visitor.post("/update", channel.write_key, field1="1")
    clock.advance(15)

    answer = await visitor.post("/update", channel.write_key, field1="2")

    assert (answer.status_code, answer.text) == (402, "error_payment_required")


async def test_a_body_that_is_not_understood_names_no_key(channel, visitor):
    for content in (b"{", b"[1]", b'{"api_key": null}'):
        answer = await visitor.send_json("/update.json", content)

        assert (answer.status_code, answer.text) == (400, "0")


async def test_a_body_larger_than_the_limit_is_413(channel, visitor):
    async def body():
        for _ in range(17):
            yield b"x" * 1024 * 1024

    answer = await visitor.send("POST", "/update.json", channel.write_key, content=body())

    assert answer.status_code == 413


async def test_the_older_server_touches_the_channel_with_every_write(
    simulator, channel, visitor, rails, rails_channel, rails_visitor, clock
):
    clock.advance(3600)
    await visitor.post("/update", channel.write_key, field1="1")
    await rails_visitor.post("/update", rails_channel.write_key, field1="1")

    hosted = await visitor.get("/channels/1/feeds.json", channel.read_key)
    older = await rails_visitor.get("/channels/1/feeds.json", rails_channel.read_key)

    assert hosted.json()["channel"]["updated_at"] == "2026-03-01T12:00:00Z"
    assert older.json()["channel"]["updated_at"] == "2026-03-01T13:00:00Z"


async def test_a_write_key_that_was_rotated_writes_no_more(simulator, channel, visitor):
    old = channel.write_key
    new = simulator.rotate_write_key(1)

    assert (await visitor.post("/update", old, field1="1")).text == "0"
    assert (await visitor.post("/update", new, field1="1")).text == "1"


async def test_a_channel_can_live_ahead_of_the_server(simulator, channel, visitor):
    channel.skew_s = 90

    row = (await visitor.post("/update.json", channel.write_key, field1="1")).json()

    assert row["created_at"] == "2026-03-01T12:01:30Z"


async def test_a_form_in_parts_is_not_read(channel, visitor):
    answer = await visitor.send(
        "POST", "/update", data={"api_key": channel.write_key}, files={"file": b"x"}
    )

    assert (answer.status_code, answer.text) == (400, "0")
