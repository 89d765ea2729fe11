"""Orders over HTTP, for whoever has no hand on the simulator's code."""

from __future__ import annotations

import httpx
import pytest

from evara_core.clock import SystemClock
from evara_core.errors import InvalidInputError
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.chance import Chance
from evara_core.thingspeak.simulator.faults import FaultPlan
from evara_core.thingspeak.simulator.orders import add_rule


@pytest.fixture
def order(visitor):
    async def order(method, path="", json=None):
        answer = await visitor.send(method, f"/_control{path}", json=json)
        return answer.json() if answer.status_code == 200 else answer

    return order


async def test_the_summary_tells_what_there_is(simulator, channel, order):
    told = await order("GET")

    assert told == {
        "profile": "hosted", "now": "2026-03-01T12:00:00Z", "skew_s": 0, "channels": 1,
        "user_key": simulator.user_key, "faults": [],
    }  # fmt: skip


async def test_a_channel_is_made_written_cleared_and_deleted(simulator, order, visitor):
    made = await order("POST", "/channels", {"name": "Well", "labels": {"1": "Depth"}})
    row = await order(
        "POST", "/channels/1/entries",
        {"fields": {"1": "31.5", "2": None}, "created_at": "2026-02-01T00:00:00Z"},
    )  # fmt: skip
    now = await order("POST", "/channels/1/entries", {"fields": {"1": "31.6"}})
    full = await order("GET", "/channels/1")
    cleared = await order("POST", "/channels/1/clear")
    listed = await order("GET", "/channels")
    deleted = await order("DELETE", "/channels/1")

    assert made["labels"] == {"1": "Depth"}
    assert row == {"entry_id": 1, "created_at": "2026-02-01T00:00:00Z"}
    assert now == {"entry_id": 2, "created_at": "2026-03-01T12:00:00Z"}
    assert (full["rows"], full["last_entry_id"]) == (2, 2)
    assert (cleared["rows"], cleared["last_entry_id"]) == (0, None)
    assert [told["channel_id"] for told in listed] == [1]
    assert (deleted, simulator.channels) == ({}, {})


async def test_a_channel_has_the_id_and_openness_that_are_asked_for(simulator, order):
    await order("POST", "/channels", {"channel_id": 77, "public": True})

    assert simulator.channels[77].public


async def test_keys_are_rotated(simulator, channel, order, visitor):
    old_read, old_write = channel.read_key, channel.write_key

    await order("POST", "/channels/1/keys", {"rotate": "read", "refuse_with": 401})
    told = await order("POST", "/channels/1/keys", {"rotate": "write"})

    assert (await visitor.get("/channels/1/feeds.json", old_read)).status_code == 401
    assert told["read_keys"] == [channel.read_key] != [old_read]
    assert told["write_key"] == channel.write_key != old_write


async def test_clocks_are_skewed_and_moved(simulator, channel, order):
    moved = await order("POST", "/clock", {"advance_s": 60})
    skewed = await order("PUT", "/skew", {"seconds": 30})
    own = await order("PUT", "/channels/1/skew", {"seconds": -5})

    assert moved["now"] == "2026-03-01T12:01:00Z"
    assert skewed["now"] == "2026-03-01T12:01:30Z"
    assert own["skew_s"] == channel.skew_s == -5


async def test_a_clock_that_goes_by_itself_is_not_moved():
    transport = httpx.ASGITransport(app=Simulator(clock=SystemClock()))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        answer = await client.post("/_control/clock", json={"advance_s": 60})

    assert answer.status_code == 400
    assert answer.json() == {"problem": "this clock goes by itself"}


@pytest.mark.parametrize("where", ["/faults", "/channels/1/faults"])
async def test_faults_are_added_listed_and_called_off(channel, order, visitor, where):
    added = await order(
        "POST", where,
        {
            "kind": "instead", "status": 503, "body": "away", "content_type": "text/plain",
            "times": 1,
        },
    )  # fmt: skip
    answer = await visitor.get("/channels/1/feeds.json", channel.read_key)
    listed = await order("GET", where)
    left = await order("DELETE", where)

    assert added == {
        "kind": "instead", "status": 503, "body": "away", "content_type": "text/plain",
        "retry_after_s": None, "takes_effect": False, "probability": 1.0, "times": 1, "path": "*",
        "method": None, "hits": 0,
    }  # fmt: skip
    assert (answer.status_code, answer.text) == (503, "away")
    assert [told["hits"] for told in listed] == [1]
    assert left == []


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "delay", "shape": "lognormal", "typical_s": 0.2, "high_s": 1.5},
        {"kind": "hang_up", "after_bytes": 10},
        {"kind": "stall", "takes_effect": False},
        {"kind": "trickle", "over_s": 3, "pieces": 4, "path": "*/feeds.json", "method": "GET"},
        {"kind": "truncate", "share": 0.25, "probability": 0.5},
    ],
)
async def test_every_fault_can_be_ordered(order, told):
    added = await order("POST", "/faults", told)

    assert told.items() <= added.items()


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ([], "expected an object whose `kind` is one of"),
        ({"kind": "earthquake"}, "expected an object whose `kind` is one of"),
        ({"kind": "instead", "status": 99}, "status: expected an HTTP status"),
        ({"kind": "instead", "status": True}, "status: expected an HTTP status"),
        ({"kind": "instead", "colour": "red"}, "colour: no such option"),
        ({"kind": "stall", "share": 0.5}, "stall has no share"),
        ({"kind": "truncate", "share": 1.5}, "share: expected a number from 0 to 1"),
        ({"kind": "truncate", "probability": "often"}, "probability: expected a number"),
        ({"kind": "delay", "shape": "square"}, "shape: expected one of constant, uniform"),
        ({"kind": "hang_up", "takes_effect": 1}, "takes_effect: expected true or false"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_with_the_reason(order, told, problem):
    answer = await order("POST", "/faults", told)

    assert answer.status_code == 400
    assert answer.json()["problem"].startswith(problem)


def test_a_latency_that_cannot_be_is_refused():
    plan = FaultPlan(chance=Chance(1))

    with pytest.raises(InvalidInputError, match="finite"):
        add_rule(plan, {"kind": "delay", "typical_s": float("inf")})
    assert plan.rules == []


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("POST", "/channels", []),
        ("POST", "/channels", {"labels": {"9": "x"}}),
        ("POST", "/channels", {"channel_id": "x"}),
        ("POST", "/channels/1/entries", {"fields": {"1": 3}}),
        ("POST", "/channels/1/entries", {"created_at": "soon"}),
        ("POST", "/channels/1/keys", {"rotate": "all"}),
        ("POST", "/channels/1/keys", {"rotate": "read", "refuse_with": "x"}),
        ("PUT", "/skew", {"seconds": "x"}),
        ("POST", "/clock", {"advance_s": None}),
    ],
)
async def test_an_order_that_makes_no_sense_is_400(channel, order, method, path, json):
    answer = await order(method, path, json)

    assert answer.status_code == 400
    assert answer.json()["problem"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("GET", "/channels/9"), ("PATCH", "/faults"), ("GET", "/channels/1/x")],
)
async def test_an_order_for_what_is_not_there_is_404(channel, order, method, path):
    assert (await order(method, path)).status_code == 404


async def test_an_order_that_is_no_json_is_400(visitor):
    assert (await visitor.send_json("/_control/skew", b"{")).status_code in {400, 404}


async def test_requests_can_be_read_back(channel, order, visitor):
    await visitor.get("/channels/1/feeds.json", channel.read_key)

    assert await order("GET", "/requests") == [
        {
            "method": "GET", "path": "/channels/1/feeds.json", "query": "", "status": 200,
            "key_in_url": False,
        }
    ]  # fmt: skip


async def test_orders_are_not_taken_from_web_pages(simulator):
    transport = httpx.ASGITransport(app=simulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        answer = await client.post(
            "/_control/channels", content=b"{}", headers={"Origin": "https://elsewhere.example"}
        )

    assert answer.status_code == 403
    assert simulator.channels == {}


async def test_without_control_the_orders_are_no_endpoints(clock):
    transport = httpx.ASGITransport(app=Simulator(clock=clock, has_control=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        assert (await client.get("/_control")).status_code == 404
