"""The fleet: what is in it, that it is in trouble, and that it goes on where it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import httpx
import pytest

from evara_core.telemetry.kinds import STANDARD_KINDS
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.fleet import FleetPlan, demo_fleet

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = FleetPlan(epoch=START, interval_s=5, pace=60.0, dawn_at_epoch=True)


def rows_of(fleet, node, newest=8000):
    simulator = fleet.simulator
    history = simulator.channels[node.channel_id].history
    return history.between(0, simulator.now_s(), newest, now_s=simulator.now_s())


def values_of(fleet, node, field=1):
    return [row.values[field - 1] for row in rows_of(fleet, node)]


def first(fleet, kind, condition):
    return next(n for n in fleet.nodes if (n.kind, n.condition) == (kind, condition))


@pytest.fixture
def fleet(clock):
    return demo_fleet(PLAN, clock=clock)


def test_a_fleet_has_as_many_nodes_as_asked_of_all_three_kinds(fleet):
    kinds = Counter(node.kind for node in fleet.nodes)

    assert kinds == {"tank": 30, "deep": 10, "flow": 10}
    assert len({node.channel_id for node in fleet.nodes}) == 50
    assert len({node.node_id for node in fleet.nodes}) == 50
    assert len({node.read_key for node in fleet.nodes}) == 50


def test_every_description_speaks_the_language_of_telemetry(fleet):
    for node in fleet.nodes:
        kind = STANDARD_KINDS.kind(node.kind)
        assert set(node.config) <= {key.name for key in kind.config}
        for told in node.fields:
            STANDARD_KINDS.units.conversion(told.unit, kind.metric(told.metric).unit)
        labels = fleet.simulator.channels[node.channel_id].labels
        assert labels == {told.field: told.label for told in node.fields}


def test_nothing_is_there_before_the_epoch_and_one_row_per_interval_after(fleet, clock):
    healthy = [node for node in fleet.nodes if node.condition != "silent"]

    assert all(len(rows_of(fleet, node)) <= 1 for node in healthy)

    clock.advance(300)

    for node in healthy:
        rows = rows_of(fleet, node)
        assert [row.entry_id for row in rows] == list(range(1, len(rows) + 1))
        assert {later.at_s - row.at_s for row, later in pairwise(rows)} == {5}
        assert len(rows) in {60, 61}


@pytest.mark.parametrize("seed", range(12))
def test_within_two_minutes_a_tank_is_low_and_a_pump_runs_dry(clock, seed):
    fleet = demo_fleet(replace(PLAN, seed=seed, nodes=10), clock=clock)
    tank, well = first(fleet, "tank", "running_low"), first(fleet, "deep", "runs_dry")
    clock.advance(120)

    level_mm = int(values_of(fleet, tank)[-1])
    currents_a = [float(value) for value in values_of(fleet, well, 3)]

    assert level_mm / 10 < 0.2 * tank.config["height_cm"]
    assert any(0 < current_a < 0.5 * max(currents_a) for current_a in currents_a)


def test_a_fleet_made_again_continues_the_same_history(fleet, clock):
    clock.advance(600)
    before = {node.node_id: rows_of(fleet, node) for node in fleet.nodes}

    later = ManualClock(START)
    later.advance(900)
    again = demo_fleet(PLAN, clock=later)

    assert again.nodes == fleet.nodes
    for node in again.nodes:
        rows = rows_of(again, node)
        assert rows[: len(before[node.node_id])] == before[node.node_id]
        assert len(rows) > len(before[node.node_id])


def test_another_seed_is_another_fleet(fleet, clock):
    other = demo_fleet(replace(PLAN, seed=2), clock=clock)
    clock.advance(60)

    assert rows_of(other, other.nodes[0]) != rows_of(fleet, fleet.nodes[0])
    assert other.nodes[0].read_key != fleet.nodes[0].read_key


def test_more_nodes_leave_the_first_ones_as_they_were(fleet, clock):
    larger = demo_fleet(replace(PLAN, nodes=200), clock=clock)
    clock.advance(60)

    assert larger.nodes[:50] == fleet.nodes
    assert rows_of(larger, larger.nodes[7]) == rows_of(fleet, fleet.nodes[7])


def test_troubled_sensors_show_their_trouble(clock):
    fleet = demo_fleet(replace(PLAN, nodes=100), clock=clock)
    clock.advance(1500)

    stuck = values_of(fleet, first(fleet, "tank", "stuck"))
    spiky = values_of(fleet, first(fleet, "tank", "spikes"))
    junk = values_of(fleet, first(fleet, "deep", "junk"))
    times = [row.at_s for row in rows_of(fleet, first(fleet, "tank", "silent"))]
    overflowing = first(fleet, "tank", "overflowing")

    assert max(Counter(stuck).values()) >= 100
    assert 1 <= spiky.count("9999") < 0.1 * len(spiky)
    assert any(value is None or not value.replace(".", "").isdigit() for value in junk)
    assert max(later - at_s for at_s, later in pairwise(times)) == 49 * 5
    assert rows_of(fleet, overflowing)[-1].values[0] is not None


def test_a_leaking_pipe_flows_at_night(clock):
    plan = replace(PLAN, pace=1.0, interval_s=900, dawn_at_epoch=False)
    fleet = demo_fleet(replace(plan, nodes=30), clock=clock)
    clock.advance(86_400)

    def night_share(condition):
        values = [float(value) for value in values_of(fleet, first(fleet, "flow", condition))]
        return min(values) * len(values) / sum(values)

    assert night_share("leaking") > 1.5 * night_share("healthy")


def test_channels_are_private_unless_some_are_wanted_public(fleet, clock):
    some = demo_fleet(replace(PLAN, public_every=10), clock=clock)

    assert not any(channel.public for channel in fleet.simulator.channels.values())
    assert sum(channel.public for channel in some.simulator.channels.values()) == 5


def test_a_fleet_can_move_into_a_simulator_that_exists(clock):
    simulator = Simulator(clock=clock)
    simulator.create_channel(name="Before")

    fleet = demo_fleet(replace(PLAN, nodes=3), clock=clock, simulator=simulator)

    assert fleet.simulator is simulator
    assert len(simulator.channels) == 4


def test_a_channel_that_nobody_reads_measures_nothing(clock):
    fleet = demo_fleet(replace(PLAN, nodes=3), clock=clock)
    clock.advance(10 * 365 * 86_400)
    channel = fleet.simulator.channels[fleet.nodes[0].channel_id]
    asked = []
    device = channel.history._device
    measure = device._measure
    device._measure = lambda at_s, slot: asked.append(slot) or measure(at_s, slot)

    rows = channel.history.between(0, fleet.simulator.now_s(), 10, now_s=fleet.simulator.now_s())

    assert len(rows) == len(asked) == 10


async def test_a_fleet_is_written_to_and_cleared_like_any_channel(clock):
    fleet = demo_fleet(replace(PLAN, nodes=1), clock=clock)
    node = fleet.nodes[0]
    clock.advance(60)
    transport = httpx.ASGITransport(app=fleet.simulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        written = await client.post("/update", data={"api_key": node.write_key, "field1": "1"})
        last = await client.get(
            f"/channels/{node.channel_id}/feeds/last.json", headers={"api-key": ""},
            params={"api_key": node.read_key},
        )  # fmt: skip
        fleet.simulator.clear(node.channel_id)
        clock.advance(5)
        after = await client.get(
            f"/channels/{node.channel_id}/feeds/last.json", params={"api_key": node.read_key}
        )

    assert written.text == str(last.json()["entry_id"])
    assert last.json()["field1"] == "1"
    assert after.json()["entry_id"] == 1
