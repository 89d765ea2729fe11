"""Whatever is asked, there is an answer of the protocol and never a traceback."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.profile import HOSTED, RAILS

SEGMENTS = st.one_of(
    st.sampled_from(
        [
            "channels", "1", "2", "feeds", "feed", "fields", "last", "last_data_age",
            "last_average",
            "status", "entry", "update", "bulk_update", "public", "users", "evara",
            "stream", "talkbacks", "commands", "execute", "8", "²", "٣", "9" * 30, "9" * 5000,
        ]
    ),
    st.text(max_size=8),
)  # fmt: skip
NAMES = [
    "results", "days", "minutes", "start", "end", "timezone", "offset", "status", "location",
    "metadata", "min", "max", "round", "timescale", "sum", "average", "median", "callback",
    "start_entry_id", "end_entry_id", "field1", "8", "created_at", "lat", "long", "page", "tag",
    "latitude", "longitude", "distance", "channel_ids", "headers", "talkback_key", "position",
    "command_string", "updates", "time_format", "name", "public_flag", "prepend",
]  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(
        [
            "0", "1", "-1", "60", "daily", "8001", "9" * 18, "9" * 400, "-5", "1e9", "nan", "true",
            "Asia/Kolkata", "America", "../x", "2026-01-01", "9999-12-31T23:59:59Z", "0001-01-01",
            "2026-01-01 00:00:00", "-9999999999", "%", "%zz", "+", "1|2|3", "99999999999999999",
            "2026-01-01T00:00:00Z,1,2", "execute", "last",
        ]
    ),
    st.text(max_size=12),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
BULK = st.fixed_dictionaries(
    {
        "write_api_key": st.just("WRITE"),
        "updates": st.lists(
            st.dictionaries(
                st.sampled_from(["created_at", "delta_t", "field1", "status", "latitude"]),
                VALUES,
                max_size=4,
            ),
            max_size=3,
        ),
    }
)
BODIES = st.one_of(
    st.binary(max_size=60),
    VALUES.map(lambda value: json.dumps(value).encode()),
    BULK.map(lambda value: json.dumps(value).encode()),
)


def simulator_of(profile):
    clock = ManualClock()
    simulator = Simulator(clock=clock, profile=profile)
    simulator.create_channel(public=True, write_key="WRITE", labels={1: "a", 8: "b"})
    simulator.create_channel(read_key="READ")
    simulator.service.add_talkback(key="TALK")
    for value in ("1", "2,5", None, "", "nan", "9" * 400):
        simulator.write(1, {1: value, 8: "x"})
        clock.advance(60)
    return simulator


async def ask(simulator, scope, body):
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    await simulator(scope, receive, send)
    return sent


@settings(max_examples=300, deadline=None)
@given(
    profile=st.sampled_from([HOSTED, RAILS]),
    method=st.sampled_from(["GET", "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]),
    path=st.lists(SEGMENTS, max_size=6),
    extension=st.sampled_from(["", ".json", ".csv", ".xml", ".txt", ".json.xml", ".png"]),
    params=st.dictionaries(st.sampled_from(NAMES), WORDS, max_size=5),
    raw=st.binary(max_size=8),
    key=st.sampled_from([b"WRITE", b"READ", b"TALK", b"", b"\xff"]),
    kind=st.sampled_from([b"application/json", b"application/x-www-form-urlencoded"]),
    body=BODIES,
    later_s=st.sampled_from([0, 20]),
)
def test_every_request_has_an_answer(
    profile, method, path, extension, params, raw, key, kind, body, later_s
):
    simulator = simulator_of(profile)
    query = "&".join(f"{name}={value}" for name, value in params.items()).encode() + raw
    scope = {
        "type": "http", "method": method, "path": "/" + "/".join(path) + extension,
        "query_string": query, "client": None,
        "headers": [(b"x-thingspeakapikey", key), (b"content-type", kind)],
    }  # fmt: skip

    sent = asyncio.run(ask(simulator, scope, body))
    simulator.clock.advance(later_s)
    feed = asyncio.run(ask(simulator, feed_scope(params.get("timezone", "Asia/Kolkata")), b""))

    assert sent[0]["type"] == "http.response.start"
    assert 200 <= sent[0]["status"] < 500
    assert not sent[-1].get("more_body")
    assert feed[0]["status"] in {200, 400, 404}


def feed_scope(zone):
    return {
        "type": "http", "method": "GET", "path": "/channels/1/feeds.json",
        "query_string": f"start=0001-01-01&end=9999-12-31&timezone={zone}".encode(),
        "headers": [],
    }  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.lists(
        st.sampled_from(
            ["channels", "1", "9", "²", "faults", "skew", "clock", "requests", "entries", "keys"]
        ),
        max_size=4,
    ),
    told=VALUES
    | st.dictionaries(
        st.sampled_from(["kind", "status", "seconds", "advance_s", "fields", "labels", "rotate"]),
        VALUES,
    ),
)
def test_every_order_has_an_answer(method, path, told):
    simulator = simulator_of(HOSTED)
    scope = {
        "type": "http", "method": method, "path": "/".join(["/_control", *path]),
        "query_string": b"", "headers": [],
    }  # fmt: skip

    sent = asyncio.run(ask(simulator, scope, json.dumps(told).encode()))

    assert sent[0]["status"] in {200, 400, 404}
