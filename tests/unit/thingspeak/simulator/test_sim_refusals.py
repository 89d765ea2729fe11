"""What is said to strangers, about what does not exist, and when there is nothing."""

from __future__ import annotations

import dataclasses

import httpx
import pytest

from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.profile import HOSTED

FEEDS = ("feeds.json", "feeds.csv", "feeds.xml", "fields/1.json")
ENTRIES = (
    "feeds/last.json", "feeds/1.json", "fields/1/last.json", "status.json", "status/last.json",
    "feeds/last_average.json", "feeds/last_data_age.json",
)  # fmt: skip


@pytest.mark.parametrize("path", FEEDS)
async def test_a_private_feed_is_400_and_minus_one(simulator, channel, visitor, fill, path):
    fill(simulator, channel, "1")

    for key in (None, "WRONGWRONGWRONG1"):
        answer = await visitor.get(f"/channels/1/{path}", key)

        assert (answer.status_code, answer.text) == (400, "-1")


@pytest.mark.parametrize("path", ENTRIES)
async def test_a_private_entry_is_minus_one_in_two_spellings_and_two_statuses(
    simulator, channel, visitor, rails, rails_channel, rails_visitor, fill, path
):
    fill(simulator, channel, "1")
    fill(rails, rails_channel, "1")

    hosted = await visitor.get(f"/channels/1/{path}")
    older = await rails_visitor.get(f"/channels/1/{path}")

    assert (hosted.status_code, hosted.text) == (400, "-1")
    if "age" not in path:
        assert (older.status_code, older.text) == (200, '"-1"')


async def test_a_private_channel_is_not_exported(channel, visitor):
    answer = await visitor.get("/stream/channels/1/feeds.csv")

    assert (answer.status_code, answer.text) == (400, "-1")


async def test_what_is_private_has_a_spelling_in_text_too(rails_channel, rails_visitor):
    answer = await rails_visitor.get("/channels/1/feeds/last.txt")

    assert (answer.status_code, answer.text) == (200, "-1")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["feeds/last", "feeds/7", "fields/1/last", "status/last"])
async def test_where_there_is_no_entry_the_status_is_200(
    channel, visitor, rails_channel, rails_visitor, path
):
    hosted = await visitor.get(f"/channels/1/{path}.json", channel.read_key)
    older = await rails_visitor.get(f"/channels/1/{path}.json", rails_channel.read_key)

    assert (hosted.status_code, hosted.text) == (200, "-1")
    assert (older.status_code, older.text) == (200, '"-1"')


async def test_a_field_that_was_never_written_has_no_last_value(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"] * 30)

    for field in (2, 8):
        answer = await visitor.get(f"/channels/1/fields/{field}/last.json", channel.read_key)

        assert (answer.status_code, answer.text) == (200, "-1")


async def test_an_unknown_channel_is_an_error_object_or_a_page(visitor, rails_visitor):
    hosted = await visitor.get("/channels/77/feeds.json")
    older = await rails_visitor.get("/channels/77/feeds.json")

    assert hosted.status_code == older.status_code == 404
    assert hosted.json()["status"] == "404"
    assert hosted.json()["error"]["error_code"] == "error_resource_not_found"
    assert older.text.startswith("<!DOCTYPE html>")
    assert older.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nothing", "/channels/1/fields/9.json", "/channels/1/fields/0.json",
        "/channels/x/feeds.json", "/users/nobody/channels.json", "/channels/public.json?page=0",
        "/channels/1/feeds/last_mode.json", "/channels/1/feeds/99999999999999999999.json",
        "/channels/1/fields/1/none.json", "/channels/1/charts/1", "/stream/channels/1/feeds.json",
    ],
)  # fmt: skip
async def test_what_is_no_endpoint_is_404(channel, visitor, path):
    assert (await visitor.get(path, channel.read_key)).status_code == 404


async def test_the_older_server_knows_no_age_and_no_bulk(rails_channel, rails_visitor):
    age = await rails_visitor.get("/channels/1/feeds/last_data_age.json", rails_channel.read_key)
    field_age = await rails_visitor.get(
        "/channels/1/fields/1/last_data_age.json", rails_channel.read_key
    )
    bulk = await rails_visitor.send("POST", "/channels/1/bulk_update.json", json={})

    assert (age.status_code, field_age.status_code, bulk.status_code) == (404, 404, 404)


async def test_a_method_that_makes_no_sense_is_405(channel, visitor):
    answer = await visitor.send("PATCH", "/channels/1/feeds.json", channel.read_key)

    assert answer.status_code == 405
    assert answer.json()["error"]["error_code"] == "error_method_invalid"


async def test_error_objects_come_as_xml_and_as_a_bare_code(visitor, rails_visitor):
    markup = await visitor.send("PATCH", "/channels.xml")
    older = await rails_visitor.send("PATCH", "/channels.xml")
    text = await visitor.send("PATCH", "/channels")

    assert "<error>\n  <status>405</status>" in markup.text
    assert "<hash>\n  <status>405</status>" in older.text
    assert text.text == "error_method_invalid"


async def test_the_read_key_the_write_key_and_nothing_on_a_public_channel_open_it(
    simulator, channel, visitor, fill
):
    fill(simulator, channel, "1")
    other = simulator.create_channel()

    async def status(key):
        return (await visitor.get("/channels/1/feeds.json", key)).status_code

    assert await status(channel.read_key) == 200
    assert await status(channel.write_key) == 200
    assert await status(other.read_key) == 400

    channel.public = True

    assert await status(None) == 200


@pytest.mark.parametrize(
    "header", ["THINGSPEAKAPIKEY", "X-THINGSPEAKAPIKEY", "my-thingspeakapikey-2"]
)
async def test_any_header_whose_name_contains_the_word_carries_the_key(simulator, channel, header):
    transport = httpx.ASGITransport(app=simulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        answer = await client.get("/channels/1/feeds.json", headers={header: channel.read_key})

    assert answer.status_code == 200


@pytest.mark.parametrize("parameter", ["api_key", "key", "apikey"])
async def test_three_parameters_carry_the_key_and_the_header_wins(channel, visitor, parameter):
    good = await visitor.get("/channels/1/feeds.json", **{parameter: channel.read_key})
    beaten = await visitor.get("/channels/1/feeds.json", "WRONG", **{parameter: channel.read_key})

    assert (good.status_code, beaten.status_code) == (200, 400)


async def test_a_rotated_key_is_refused_like_any_or_with_the_status_wanted(
    simulator, channel, visitor
):
    old = channel.read_key
    simulator.rotate_read_key(1)

    assert (await visitor.get("/channels/1/feeds.json", old)).status_code == 400

    second = channel.read_key
    simulator.rotate_read_key(1, refuse_with=401)

    for path in ("feeds.json", "feeds/last.json"):
        answer = await visitor.get(f"/channels/1/{path}", second)

        assert answer.status_code == 401
        assert answer.json()["status"] == "401"
    assert (await visitor.get("/channels/1/feeds.json", channel.read_key)).status_code == 200


async def test_unencoded_blanks_in_the_query_are_refused(simulator, channel):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/update", "headers": [],
        "query_string": b"api_key=" + channel.write_key.encode() + b"&status=pump on",
    }  # fmt: skip
    await simulator(scope, receive, send)

    assert sent[0]["status"] == 400
    assert channel.history.count(simulator.now_s()) == 0


async def test_a_single_point_of_a_profile_can_be_changed(clock):
    odd = dataclasses.replace(HOSTED, denied_feed_status=200, quotes_minus_one=True)
    simulator = Simulator(clock=clock, profile=odd)
    channel = simulator.create_channel()
    transport = httpx.ASGITransport(app=simulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        denied = await client.get("/channels/1/feeds.json")
        empty = await client.get(
            "/channels/1/feeds/last.json", params={"api_key": channel.read_key}
        )

    assert (denied.status_code, denied.text) == (200, "-1")
    assert empty.text == '"-1"'


async def test_nothing_ever_asks_to_retry_later(simulator, channel, visitor):
    await visitor.post("/update", channel.write_key, field1="1")

    answers = [
        await visitor.post("/update", channel.write_key, field1="2"),
        await visitor.get("/channels/1/feeds.json"),
        await visitor.get("/channels/77/feeds.json"),
    ]

    assert all("retry-after" not in answer.headers for answer in answers)
