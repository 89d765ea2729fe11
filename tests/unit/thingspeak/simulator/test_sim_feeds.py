"""What a feed looks like: shapes, keys that are absent, values as they were sent."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET


async def test_a_feed_is_a_channel_and_its_rows_in_that_order(simulator, channel, visitor, fill):
    fill(simulator, channel, ["3.2"])

    answer = await visitor.get(f"/channels/{channel.channel_id}/feeds.json", channel.read_key)

    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.text == (
        '{"channel":{"id":1,"name":"Tank","latitude":"0.0","longitude":"0.0",'
        '"field1":"Level","field2":"Temperature","created_at":"2026-03-01T12:00:00Z",'
        '"updated_at":"2026-03-01T12:00:00Z","last_entry_id":1},'
        '"feeds":[{"created_at":"2026-03-01T12:00:00Z","entry_id":1,"field1":"3.2","field2":null}]}'
    )


async def test_optional_keys_appear_only_when_they_have_something_to_say(
    simulator, channel, visitor, fill
):
    channel.description, channel.elevation, channel.metadata = "On the roof", "12", "secret"

    plain = await visitor.get("/channels/1/feeds.json", channel.read_key)
    asked = await visitor.get("/channels/1/feeds.json", channel.read_key, metadata="true")
    shouted = await visitor.get("/channels/1/feeds.json", channel.read_key, metadata="TRUE")

    assert plain.json()["channel"]["description"] == "On the roof"
    assert plain.json()["channel"]["elevation"] == "12"
    assert "metadata" not in plain.json()["channel"]
    assert asked.json()["channel"]["metadata"] == "secret"
    assert "metadata" not in shouted.json()["channel"]


async def test_an_empty_channel_has_no_last_entry_id(channel, visitor):
    answer = await visitor.get("/channels/1/feeds.json", channel.read_key)

    assert answer.json()["channel"]["last_entry_id"] is None
    assert answer.json()["feeds"] == []


async def test_no_results_are_the_cheapest_way_to_the_labels(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1", "2"])

    answer = await visitor.get("/channels/1/feeds.json", channel.read_key, results=0)

    assert answer.json()["channel"]["field2"] == "Temperature"
    assert answer.json()["feeds"] == []


async def test_values_come_back_as_they_were_sent(simulator, channel, visitor, fill):
    sent = ["4.12300", "23.450000000000003", "54\r\n", "812.26\n\n", "Clouds", "", None, "nan", "-"]
    fill(simulator, channel, sent)

    rows = await visitor.feeds(channel)

    assert [row["field1"] for row in rows] == sent


async def test_a_value_in_a_field_without_label_is_stored_and_shown_to_nobody(
    simulator, channel, visitor, fill
):
    fill(simulator, channel, [{1: "1", 5: "hidden"}])

    assert "field5" not in (await visitor.feeds(channel))[0]

    channel.labels[5] = "Now labelled"

    assert (await visitor.feeds(channel))[0]["field5"] == "hidden"


async def test_one_field_lists_every_label_and_every_row(simulator, channel, visitor, fill):
    fill(simulator, channel, [{1: "1"}, {2: "20"}])

    answer = await visitor.get("/channels/1/fields/2.json", channel.read_key)

    assert answer.json()["channel"]["field1"] == "Level"
    assert [row["field2"] for row in answer.json()["feeds"]] == [None, "20"]
    assert "field1" not in answer.json()["feeds"][0]


async def test_feed_and_field_are_other_names(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"])

    for path in ("feed.json", "field/1.json", "feed/last.json", "field/1/last.json"):
        answer = await visitor.get(f"/channels/1/{path}", channel.read_key)

        assert answer.status_code == 200
        assert "field1" in answer.text


async def test_status_and_location_are_told_when_asked_for(simulator, channel, visitor):
    await visitor.post(
        "/update", channel.write_key, field1="1", status="ok", lat="43.1", long="12.3"
    )

    plain = await visitor.feeds(channel)
    asked = await visitor.feeds(channel, status="true", location="True")
    odd = await visitor.feeds(channel, status="1", location="yes")

    assert list(plain[0]) == ["created_at", "entry_id", "field1", "field2"]
    assert asked[0]["status"] == "ok"
    assert (asked[0]["latitude"], asked[0]["longitude"]) == ("43.1", "12.3")
    assert asked[0]["elevation"] is None
    assert odd == plain


async def test_the_last_entry_is_the_one_that_arrived_last(simulator, channel, visitor, clock):
    simulator.write(1, {1: "newer"}, created_at=clock.now())
    clock.advance(60)
    simulator.write(1, {1: "older"}, created_at=clock.now().replace(hour=1))

    last = await visitor.get("/channels/1/feeds/last.json", channel.read_key)

    assert last.json()["field1"] == "older"
    assert [row["field1"] for row in await visitor.feeds(channel)] == ["older", "newer"]


async def test_the_last_value_of_a_field_passes_over_nulls(simulator, channel, visitor, fill):
    fill(simulator, channel, [{1: "7.5", 2: "20"}, *[{2: "21"}] * 20])

    last = await visitor.get("/channels/1/fields/1/last.json", channel.read_key)
    text = await visitor.get("/channels/1/fields/1/last.txt", channel.read_key)
    bare = await visitor.get("/channels/1/fields/1/last", channel.read_key, prepend="<", append=">")

    assert last.json() == {"created_at": "2026-03-01T12:00:00Z", "entry_id": 1, "field1": "7.5"}
    assert text.text == "7.5"
    assert text.headers["content-type"].startswith("text/plain")
    assert bare.text == "<7.5>"


async def test_one_row_is_found_by_its_id(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1", "2", "3"])

    for path in ("feeds/2.json", "feeds/entry/2.json", "fields/1/2.json"):
        answer = await visitor.get(f"/channels/1/{path}", channel.read_key)

        assert answer.json()["field1"] == "2"


async def test_the_age_of_the_data_is_text(simulator, channel, visitor, clock):
    simulator.write(1, {1: "1"})
    clock.advance(174)

    for path in ("feeds/last_data_age.json", "fields/1/last_data_age.json"):
        answer = await visitor.get(f"/channels/1/{path}", channel.read_key)

        assert answer.json() == {"last_data_age": "174", "last_data_age_units": "s"}


async def test_the_age_of_the_data_comes_in_every_format(simulator, channel, visitor, clock):
    simulator.write(1, {1: "1"})
    clock.advance(5)

    text = await visitor.get("/channels/1/feeds/last_data_age.txt", channel.read_key)
    table = await visitor.get("/channels/1/feeds/last_data_age.csv", channel.read_key)
    markup = await visitor.get("/channels/1/feeds/last_data_age.xml", channel.read_key)

    assert text.text == "5"
    assert table.text == "last_data_age,last_data_age_units\n5,s\n"
    assert "<last-data-age>5</last-data-age>" in markup.text


async def test_the_status_feed_tells_texts_and_nulls(simulator, channel, visitor, clock):
    channel.elevation = "3"
    await visitor.post("/update", channel.write_key, field1="1", status="pump on")
    clock.advance(60)
    simulator.write(1, {1: "2"})

    feed = (await visitor.get("/channels/1/status.json", channel.read_key)).json()
    last = (await visitor.get("/channels/1/status/last.json", channel.read_key)).json()

    assert feed["channel"] == {
        "name": "Tank", "latitude": "0.0", "longitude": "0.0", "elevation": "3",
    }  # fmt: skip
    assert [row["status"] for row in feed["feeds"]] == ["pump on", None]
    assert last == {"created_at": "2026-03-01T12:01:00Z", "entry_id": 2, "status": None}


async def test_csv_tells_null_from_empty(simulator, channel, visitor, fill):
    fill(simulator, channel, [{1: None, 2: ""}, {1: "a,b", 2: 'say "hi"'}, {1: "812.26\n\n"}])

    answer = await visitor.get("/channels/1/feeds.csv", channel.read_key)

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.startswith(
        'created_at,entry_id,field1,field2\n2026-03-01T12:00:00+00:00,1,,""\n'
    )
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[2][2:] == ["a,b", 'say "hi"']
    assert rows[3][2:] == ["812.26\n\n", ""]


async def test_csv_has_status_and_location_on_request_only(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"])

    answer = await visitor.get(
        "/channels/1/feeds.csv", channel.read_key, status="true", location="true"
    )

    assert answer.text.splitlines()[0] == (
        "created_at,entry_id,field1,field2,latitude,longitude,elevation,status"
    )


async def test_the_older_server_prints_other_times_in_csv(
    rails, rails_channel, rails_visitor, fill
):
    fill(rails, rails_channel, ["1"])

    plain = await rails_visitor.get("/channels/1/feeds.csv", rails_channel.read_key)
    zoned = await rails_visitor.get(
        "/channels/1/feeds.csv", rails_channel.read_key, timezone="America/New_York"
    )

    assert plain.text.splitlines()[1] == "2026-03-01 12:00:00 UTC,1,1,"
    assert zoned.text.splitlines()[1] == "2026-03-01 07:00:00 -0500,1,1,"


async def test_xml_has_dashes_types_and_nil(simulator, channel, visitor, fill):
    fill(simulator, channel, [{1: "<&>\x00"}])

    answer = await visitor.get("/channels/1/feeds.xml", channel.read_key)

    root = ET.fromstring(answer.text)
    assert root.tag == "channel"
    assert root.find("last-entry-id").attrib == {"type": "integer"}
    assert root.find("feeds").attrib == {"type": "array"}
    assert root.find("feeds/feed/field1").text == "<&>\ufffd"
    assert root.find("feeds/feed/field2").attrib == {"nil": "true"}


async def test_a_callback_makes_a_script_of_json(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"])

    answer = await visitor.get("/channels/1/feeds/last.json", channel.read_key, callback="draw")

    assert answer.text.startswith('draw({"created_at"')
    assert answer.text.endswith(")")
    assert answer.headers["content-type"].startswith("application/javascript")


async def test_headers_can_be_left_out_and_cors_is_open(simulator, channel, visitor, fill):
    fill(simulator, channel, ["1"])

    usual = await visitor.get("/channels/1/feeds/last.json", channel.read_key)
    bare = await visitor.get("/channels/1/feeds/last.json", channel.read_key, headers="false")

    assert usual.headers["access-control-allow-origin"] == "*"
    assert set(bare.headers) == {"content-length"}


async def test_the_whole_channel_is_exported_with_every_column(simulator, channel, visitor, fill):
    fill(simulator, channel, [str(number) for number in range(2345)])

    answer = await visitor.get("/stream/channels/1/feeds.csv", channel.read_key)

    lines = answer.text.splitlines()
    assert lines[0] == "created_at,entry_id,field1,field2,latitude,longitude,elevation,status"
    assert [line.split(",")[1] for line in lines[1:]] == [str(n) for n in range(1, 2346)]


async def test_statistics_of_the_last_rows(simulator, channel, visitor, fill):
    fill(simulator, channel, ["100", *["1", "2", "6"] * 10])

    async def ask(name, **params):
        return (
            await visitor.get(f"/channels/1/feeds/{name}.json", channel.read_key, **params)
        ).json()

    assert (await ask("last_average"))["field1"] == "3.0"
    assert (await ask("last_median"))["field1"] == "2.0"
    assert (await ask("last_sum"))["field1"] == "90.0"
    assert (await ask("last_sum", results=100))["field1"] == "190.0"
    assert (await ask("last_sum"))["field2"] is None


async def test_single_rows_and_statuses_come_in_every_format(simulator, channel, visitor, clock):
    await visitor.post("/update", channel.write_key, field1="7", status="ok")

    async def text(path, **params):
        return (await visitor.get(f"/channels/1/{path}", channel.read_key, **params)).text

    assert await text("status.csv") == (
        "created_at,entry_id,status\n2026-03-01T12:00:00+00:00,1,ok\n"
    )
    assert await text("fields/1/last.csv") == (
        "created_at,entry_id,field1\n2026-03-01T12:00:00+00:00,1,7\n"
    )
    assert "<status>ok</status>" in await text("status/last.xml")
    assert "<field1>7</field1>" in await text("feeds/last.xml")
    assert (await text("feeds/last.txt")).startswith('{"created_at"')
    assert await text("feeds/last_sum.csv") == (
        "created_at,field1,field2\n2026-03-01T12:00:00+00:00,7.0,\n"
    )
    assert "<field1>7.0</field1>" in await text("feeds/last_sum.xml")


async def test_an_empty_channel_has_neither_age_nor_statistics(channel, visitor):
    for path in ("feeds/last_data_age.json", "fields/1/last_data_age.json", "feeds/last_sum.json"):
        answer = await visitor.get(f"/channels/1/{path}", channel.read_key)

        assert (answer.status_code, answer.text) == (200, "-1")


async def test_an_empty_channel_can_be_aggregated(channel, visitor):
    assert await visitor.feeds(channel, average=60) == []
