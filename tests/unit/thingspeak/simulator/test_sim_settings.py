"""Administration of channels."""

from __future__ import annotations

import dataclasses

import httpx
import pytest

from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.profile import HOSTED


async def test_the_owner_sees_the_keys_and_others_the_public_part(simulator, channel, visitor):
    channel.public = True
    channel.tags = ["roof", "tank"]

    own = (await visitor.get("/channels/1.json", simulator.user_key)).json()
    public = (await visitor.get("/channels/1.json")).json()

    assert own["api_keys"] == [
        {"api_key": channel.write_key, "write_flag": True},
        {"api_key": channel.read_key, "write_flag": False},
    ]
    assert public["tags"] == [{"id": 1, "name": "roof"}, {"id": 2, "name": "tank"}]
    assert public["username"] == "evara"
    assert public["last_entry_id"] is None
    assert "api_keys" not in public
    assert "metadata" not in public
    assert "field1" not in public


async def test_a_read_key_opens_a_feed_but_not_the_settings(channel, visitor):
    with_key = await visitor.get("/channels/1.json", channel.read_key)
    without = await visitor.get("/channels/1.json")

    assert (with_key.status_code, without.status_code) == (400, 401)
    assert with_key.json()["status"] == "400"


async def test_settings_come_as_xml_too(simulator, channel, visitor):
    answer = await visitor.get("/channels/1.xml", simulator.user_key)

    assert '<public-flag type="boolean">false</public-flag>' in answer.text
    assert "<api-key>\n" in answer.text


async def test_a_profile_may_list_labels_in_the_settings(clock):
    told = dataclasses.replace(HOSTED, lists_labels_in_settings=True)
    simulator = Simulator(clock=clock, profile=told)
    simulator.create_channel(public=True, labels={2: "Level"})
    transport = httpx.ASGITransport(app=simulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        answer = await client.get("/channels/1.json")

    assert answer.json()["field2"] == "Level"


async def test_own_channels_need_the_user_key(simulator, channel, visitor):
    simulator.create_channel(name="Second").tags = ["well"]
    simulator.create_channel(name="Foreign", owner="somebody")

    refused = await visitor.get("/channels.json", channel.write_key)
    own = await visitor.get("/channels.json", simulator.user_key)
    tagged = await visitor.get("/channels.json", simulator.user_key, tag="well")

    assert refused.status_code == 401
    assert [told["name"] for told in own.json()] == ["Tank", "Second"]
    assert [told["name"] for told in tagged.json()] == ["Second"]


async def test_public_channels_come_in_pages_of_15_if_active_in_a_week(simulator, visitor, clock):
    for number in range(20):
        simulator.create_channel(name=f"Public {number}", public=True)
        simulator.write(number + 1, {1: "1"})
    simulator.create_channel(name="Silent", public=True)
    simulator.create_channel(name="Private")

    first = (await visitor.get("/channels/public.json")).json()
    second = (await visitor.get("/channels/public.json", page=2)).json()
    clock.advance(8 * 86_400)
    later = (await visitor.get("/channels/public.json")).json()

    assert first["pagination"] == {"current_page": 1, "per_page": 15, "total_entries": 20}
    assert len(first["channels"]) == 15
    assert [told["name"] for told in second["channels"]] == [f"Public {n}" for n in range(15, 20)]
    assert later["channels"] == []


async def test_the_older_server_filters_the_public_list(rails, rails_visitor, visitor, simulator):
    for service in (rails, simulator):
        near = service.create_channel(name="Near", public=True)
        near.latitude, near.longitude, near.tags = "17.40", "78.50", ["tank"]
        far = service.create_channel(name="Far", public=True, owner="other")
        far.latitude, far.longitude = "28.6", "77.2"
        service.create_channel(name="Nowhere", public=True)
        for channel_id in (1, 2, 3):
            service.write(channel_id, {1: "1"})

    async def names(**params):
        answer = await rails_visitor.get("/channels/public.json", **params)
        return [told["name"] for told in answer.json()["channels"]]

    assert await names(tag="tank") == ["Near"]
    assert await names(username="other") == ["Far"]
    assert await names(channel_ids="2,3") == ["Far", "Nowhere"]
    assert await names(latitude="17.38", longitude="78.48", distance="10") == ["Near"]
    assert await names(latitude="x", longitude="78.48", distance="10") == []
    hosted = await visitor.get("/channels/public.json", tag="tank")
    assert len(hosted.json()["channels"]) == 3


async def test_a_user_shows_public_channels_and_with_the_key_all(simulator, channel, visitor):
    simulator.create_channel(name="Open", public=True)

    public = (await visitor.get("/users/evara/channels.json")).json()
    everything = (await visitor.get("/users/evara/channels.json", simulator.user_key)).json()

    assert [told["name"] for told in public["channels"]] == ["Open"]
    assert [told["name"] for told in everything["channels"]] == ["Tank", "Open"]


async def test_a_channel_is_made_changed_and_deleted(simulator, visitor):
    key = simulator.user_key

    made = await visitor.post("/channels.json", key, name="New", field1="Level", public_flag="true")
    changed = await visitor.send(
        "PUT", "/channels/1.json", key,
        data={"field1": "", "field2": "Depth", "tags": "a, b", "description": "On the roof"},
    )  # fmt: skip
    labels = (await visitor.get("/channels/1/feeds.json")).json()["channel"]
    deleted = await visitor.send("DELETE", "/channels/1.json", key)

    assert made.json()["name"] == "New"
    assert changed.json()["description"] == "On the roof"
    assert changed.json()["tags"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert "field1" not in labels
    assert labels["field2"] == "Depth"
    assert deleted.json()["id"] == 1
    assert simulator.channels == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/channels.json"),
        ("PUT", "/channels/1.json"),
        ("DELETE", "/channels/1.json"),
        ("DELETE", "/channels/1/feeds.json"),
    ],
)
async def test_administration_with_a_channel_key_is_401(channel, visitor, method, path):
    answer = await visitor.send(method, path, channel.write_key)

    assert answer.status_code == 401
    assert answer.json()["error"]["error_code"] == "error_auth_required"


async def test_after_a_clear_ids_begin_at_1_again(
    simulator, channel, visitor, rails, rails_channel, rails_visitor, fill
):
    fill(simulator, channel, "123")
    fill(rails, rails_channel, "123")

    hosted = await visitor.send("DELETE", "/channels/1/feeds.json", simulator.user_key)
    older = await rails_visitor.send("DELETE", "/channels/1/feeds.json", rails.user_key)
    body = (await visitor.get("/channels/1/feeds.json", channel.read_key)).json()
    fill(simulator, channel, "9")

    assert (hosted.text, older.text) == ("{}", "[]")
    assert (body["channel"]["last_entry_id"], body["feeds"]) == (None, [])
    assert await visitor.ids(channel) == [1]


async def test_the_older_server_clears_a_long_channel_slowly(
    rails, rails_channel, rails_visitor, clock
):
    for _ in range(1000):
        rails.write(1, {1: "old"})
        clock.advance(1)
    rails.clear(1)
    rails.write(1, {1: "new"})

    during = await rails_visitor.feeds(rails_channel, results=5)
    clock.advance(5)
    after = await rails_visitor.feeds(rails_channel, results=5)

    assert [row["entry_id"] for row in during] == [997, 998, 999, 1000, 1]
    assert [row["entry_id"] for row in after] == [1]


async def test_browsers_may_ask_what_they_may(channel, visitor):
    for path in ("/channels.json", "/channels/1/feeds.json"):
        answer = await visitor.send("OPTIONS", path)

        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
