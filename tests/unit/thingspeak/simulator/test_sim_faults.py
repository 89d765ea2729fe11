"""Faults on demand."""

from __future__ import annotations

import json

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import ConfigurationError, NotFoundError
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.chance import Chance
from evara_core.thingspeak.simulator.faults import (
    Delay,
    FaultPlan,
    HangUp,
    Instead,
    Latency,
    Stall,
    Trickle,
    Truncate,
)


@pytest.fixture
def slept():
    return []


@pytest.fixture
def simulator(clock, slept):
    async def sleep(seconds):
        slept.append(seconds)

    return Simulator(clock=clock, sleep=sleep)


@pytest.fixture
def full(simulator, channel, fill):
    fill(simulator, channel, "123")
    return channel


async def test_another_status_and_a_page_in_place_of_the_answer(simulator, full, visitor):
    simulator.faults.add(Instead(status=502))

    answer = await visitor.get("/channels/1/feeds.json", full.read_key)

    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in answer.text


async def test_a_page_may_come_with_status_200(simulator, full, visitor):
    simulator.faults.add(Instead(status=200))

    answer = await visitor.get("/channels/1/feeds.json", full.read_key)

    assert (answer.status_code, answer.text[:6]) == (200, "<html>")


async def test_retry_after_comes_only_when_it_is_asked_for(simulator, full, visitor):
    simulator.faults.add(Instead(status=429, body=b"", retry_after_s=7))

    answer = await visitor.get("/channels/1/feeds.json", full.read_key)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


async def test_json_that_ends_too_early_is_a_complete_answer(simulator, full, visitor):
    whole = await visitor.get("/channels/1/feeds.json", full.read_key)
    simulator.faults.add(Truncate(share=0.5))

    answer = await visitor.get("/channels/1/feeds.json", full.read_key)

    assert answer.status_code == 200
    assert answer.text == whole.text[: len(whole.content) // 2]
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_a_body_can_trickle(simulator, full, visitor, slept):
    simulator.faults.add(Trickle(over_s=30.0, pieces=10))

    answer = await visitor.get("/channels/1/feeds.json", full.read_key)

    assert len(answer.json()["feeds"]) == 3
    assert slept == [3.0] * 10


async def test_an_export_can_be_cut_too(simulator, full, visitor):
    simulator.faults.add(Truncate(share=0.0))

    answer = await visitor.get("/stream/channels/1/feeds.csv", full.read_key)

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("after_bytes", [0, 10])
async def test_a_hang_up_is_a_connection_error_where_no_socket_is(
    simulator, full, visitor, after_bytes
):
    simulator.faults.add(HangUp(after_bytes=after_bytes))

    with pytest.raises(ConnectionResetError):
        await visitor.get("/channels/1/feeds.json", full.read_key)


async def test_a_write_may_be_stored_though_the_answer_is_lost(simulator, channel, visitor, clock):
    simulator.faults.add(HangUp(takes_effect=True), times=1)
    simulator.faults.add(HangUp(takes_effect=False), times=1)

    for value in ("stored", "lost"):
        with pytest.raises(ConnectionResetError):
            await visitor.post("/update", channel.write_key, field1=value)
        clock.advance(15)

    assert [row["field1"] for row in await visitor.feeds(channel)] == ["stored"]


async def test_a_stalled_answer_waits_until_the_caller_is_gone(simulator, full):
    simulator.faults.add(Stall())
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    async def send(message):
        raise AssertionError(message)

    scope = {
        "type": "http", "method": "GET", "path": "/channels/1/feeds.json",
        "query_string": b"", "headers": [],
    }  # fmt: skip
    with anyio.fail_after(5):
        await simulator(scope, receive, send)

    assert messages == []
    assert simulator.asked[-1].status == 0


async def test_delays_add_up_and_leave_the_answer_alone(simulator, full, visitor, slept):
    simulator.faults.add(Delay(latency=Latency(typical_s=0.2)))
    simulator.channel_faults(1).add(Delay(latency=Latency(typical_s=0.3)))

    answer = await visitor.get("/channels/1/feeds.json", full.read_key)

    assert answer.status_code == 200
    assert slept == [0.5]


async def test_a_fault_ends_after_as_many_times_as_told(simulator, full, visitor):
    rule = simulator.faults.add(Instead(status=503), times=2)

    statuses = [
        (await visitor.get("/channels/1/feeds.json", full.read_key)).status_code for _ in range(4)
    ]

    assert statuses == [503, 503, 200, 200]
    assert rule.hits == 2


async def test_a_fault_may_be_for_one_path_one_method_or_one_channel(
    simulator, full, visitor, fill
):
    other = simulator.create_channel()
    simulator.faults.add(Instead(status=500), path="*/feeds/last.json")
    simulator.faults.add(Instead(status=503), method="POST")
    simulator.channel_faults(other.channel_id).add(Instead(status=504))

    async def status(path, key, method="GET"):
        return (await visitor.send(method, path, key)).status_code

    assert await status("/channels/1/feeds/last.json", full.read_key) == 500
    assert await status("/channels/1/feeds.json", full.read_key) == 200
    assert await status("/update", full.write_key, "POST") == 503
    assert await status("/channels/2/feeds.json", other.read_key) == 504
    assert await status("/update", other.write_key) == 504


async def test_faults_can_be_called_off(simulator, full, visitor):
    simulator.faults.add(Instead(status=503))
    simulator.faults.clear()

    assert (await visitor.get("/channels/1/feeds.json", full.read_key)).status_code == 200


def test_there_are_no_faults_for_a_channel_that_is_not_there(simulator):
    with pytest.raises(NotFoundError):
        simulator.channel_faults(99)


async def test_a_skewed_clock_moves_what_is_now(simulator, full, visitor):
    simulator.skew_s = -120

    assert await visitor.ids(full) == [1, 2]


async def test_requests_are_remembered_with_where_their_key_was(simulator, full, visitor):
    await visitor.get("/channels/1/feeds.json", full.read_key, results=1)
    await visitor.get("/channels/1/feeds.json", api_key=full.read_key)
    simulator.faults.add(Instead(status=503))
    await visitor.get("/channels/1/feeds.json")

    assert [asked.status for asked in simulator.asked] == [200, 200, 503]
    assert [asked.key_in_url for asked in simulator.asked] == [False, True, False]
    assert simulator.asked[0].query == "results=1"


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_chance_follows_from_the_seed_alone(seed, probability):
    def hits():
        plan = FaultPlan(chance=Chance(seed))
        plan.add(Instead(), probability=probability)
        return [plan.pick("GET", "/")[1] is not None for _ in range(50)]

    assert hits() == hits()


def test_a_probability_is_met_in_the_long_run():
    plan = FaultPlan(chance=Chance(1))
    rule = plan.add(Instead(), probability=0.1)

    for _ in range(10_000):
        plan.pick("GET", "/")

    assert 900 < rule.hits < 1100


@pytest.mark.parametrize(
    ("latency", "median_s", "p99_s"),
    [
        (Latency(typical_s=0.2), 0.2, 0.2),
        (Latency(shape="uniform", typical_s=0.1, high_s=0.3), 0.2, 0.298),
        (Latency(shape="exponential", typical_s=1.0), 0.693, 4.605),
        (Latency(shape="lognormal", typical_s=0.2, high_s=1.5), 0.2, 1.5),
        (Latency(shape="lognormal", typical_s=0.2), 0.2, 0.2),
    ],
)
def test_latencies_have_the_shape_that_they_name(latency, median_s, p99_s):
    assert latency.at(0.5) == pytest.approx(median_s, abs=1e-3)
    assert latency.at(0.99) == pytest.approx(p99_s, abs=1e-3)


@given(
    st.sampled_from(["constant", "uniform", "exponential", "lognormal"]),
    st.floats(0, 100), st.floats(0, 100), st.floats(0, 1, exclude_max=True),
)  # fmt: skip
def test_a_latency_is_never_negative(shape, typical_s, high_s, chance):
    assert Latency(shape=shape, typical_s=typical_s, high_s=high_s).at(chance) >= 0


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_latency_that_cannot_be_is_refused(seconds):
    with pytest.raises(ConfigurationError):
        Latency(typical_s=seconds)


async def test_life_span_messages_are_answered_and_web_sockets_left_alone(simulator):
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message["type"])

    await simulator({"type": "lifespan"}, receive, send)
    await simulator({"type": "websocket"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
