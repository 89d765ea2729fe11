"""A monitor at work, in simulated time."""

from __future__ import annotations

from datetime import timedelta

import anyio
import orjson
import pytest

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.errors import (
    AccessDeniedError,
    InvalidMappingError,
    NotFoundError,
    StorageUnavailableError,
    UpstreamError,
)
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.state import NodeStatus
from evara_core.testing.samples import START, entry, mapping_for, tank


async def test_stores_what_the_channels_hold(world) -> None:
    world.watch("tank-1", "tank-2")
    world.source.write(1, [entry(1), entry(2)])
    world.source.write(2, [entry(1, "50")])

    async with world.running():
        await world.time.pass_by(130)

    assert [r.entry_id for r in world.store.readings("tank-1")] == [1, 2]
    assert world.store.readings("tank-2")[0].values["level_percent"].value == 25.0


async def test_looks_at_each_node_once_an_interval(world) -> None:
    world.watch("tank-1", "tank-2", "tank-3")

    async with world.running():
        await world.time.pass_by(600)

    assert sorted(world.source.asked) == [1] * 10 + [2] * 10 + [3] * 10


async def test_goes_on_where_it_stopped(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1), entry(2)])
    async with world.running():
        await world.time.pass_by(130)
    world.source.write(1, [entry(3)])

    async with world.running() as second:
        await world.time.pass_by(70)

    assert [r.entry_id for r in world.store.readings("tank-1")] == [1, 2, 3]
    assert (second.status().stored, second.status().duplicates) == (1, 0)


async def test_tells_the_bus_after_the_commit(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n, "30") for n in range(1, 6)])
    world.time.advance(300)

    async with world.running():
        await world.time.pass_by(70)
        told = await world.published()

    assert [m.kind for m in told] == ["reading", "alert", "node"]
    news, alert, node = (orjson.loads(m.body) for m in told)
    assert {name: found["value"] for name, found in news["values"].items()} == {
        "level_cm": 30.0,
        "battery_v": 3.9,
        "level_percent": 15.0,
        "volume_l": 1500.0,
    }
    assert news["measured_at"] == "2026-01-01T00:05:00Z"
    assert (alert["kind"], alert["rule_id"], alert["node_id"]) == ("fired", "low", "tank-1")
    assert (node["previous_status"], node["status"]) == ("provisioning", "Alert")
    assert {m.topics for m in told} == {(*tank().tenancy.topics, "node:tank-1")}
    assert [m.key for m in told] == ["tank-1", alert["episode_id"], "tank-1"]


async def test_an_alert_fires_once_and_survives_a_restart(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n, "30") for n in range(1, 5)])
    world.time.advance(240)
    async with world.running():
        await world.time.pass_by(70)
    world.source.write(1, [entry(n, "30") for n in range(5, 8)])

    async with world.running():
        await world.time.pass_by(180)
    world.source.write(1, [entry(8, "190", at_s=500)])
    async with world.running():
        await world.time.pass_by(70)

    assert [t.kind for t in world.store.transitions] == ["fired", "resolved"]
    assert world.store.active_episodes() == frozenset()
    assert world.store.state("tank-1").status is NodeStatus.ONLINE


async def test_silence_makes_a_node_stale_and_then_offline(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1)])

    async with world.running():
        await world.time.pass_by(120)
        online = world.store.state("tank-1")
        await world.time.pass_by(300)
        stale = world.store.state("tank-1")
        await world.time.pass_by(600)
        offline = world.store.state("tank-1")

    assert (online.status, online.connectivity) == (NodeStatus.ONLINE, Connectivity.ONLINE)
    assert (stale.status, stale.connectivity) == (NodeStatus.ONLINE, Connectivity.STALE)
    assert offline.status is NodeStatus.OFFLINE
    assert (
        offline.health_score == 40 - 0 if offline.health_score == 40 else offline.health_score <= 40
    )


async def test_an_outage_of_the_source_marks_nobody_offline(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1)])

    async with world.running() as monitor:
        await world.time.pass_by(120)
        world.source.outage = UpstreamError("down")
        await world.time.pass_by(7200)
        during = world.store.state("tank-1")
        unreadable = monitor.status().unreadable
        world.source.outage = None
        await world.time.pass_by(600)
        after = world.store.state("tank-1")

    assert (during.status, during.connectivity) == (NodeStatus.ONLINE, Connectivity.UNREACHABLE)
    assert unreadable == {"tank-1": "UPSTREAM_FAILED: down"}
    assert (after.status, after.connectivity) == (NodeStatus.ONLINE, Connectivity.STALE)


async def test_our_own_absence_marks_nobody_offline(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1)])
    async with world.running():
        await world.time.pass_by(120)
    world.time.advance(86_400)

    async with world.running():
        await world.time.pass_by(300)

    assert world.store.state("tank-1").status is NodeStatus.ONLINE
    assert world.store.state("tank-1").connectivity is Connectivity.STALE


async def test_a_node_that_never_reports_is_provisioning(world) -> None:
    world.watch("tank-1")

    async with world.running():
        await world.time.pass_by(3600)

    assert world.store.state("tank-1").status is NodeStatus.PROVISIONING
    assert world.store.state("tank-1").health_score is None


async def test_a_node_that_cannot_be_read_is_named_and_looked_at_less_often(world) -> None:
    world.watch("tank-1", "tank-2")
    refused = AccessDeniedError()
    for _ in range(50):
        world.source.fail_next(1, refused)

    async with world.running() as monitor:
        await world.time.pass_by(3600)
        status = monitor.status()

    assert status.unreadable == {"tank-1": "UPSTREAM_ACCESS_DENIED"}
    assert world.source.asked.count(2) == 60
    assert world.source.asked.count(1) < 15


async def test_one_slow_channel_slows_nobody(world) -> None:
    world.watch(*(f"tank-{n}" for n in range(1, 41)))
    for channel in range(1, 21):
        world.source.slow[channel] = 1e9
    for channel in range(21, 41):
        world.source.write(channel, [entry(1)])

    async with world.running() as monitor:
        await world.time.pass_by(180)
        status = monitor.status()

    assert status.stored == 20
    assert all(world.source.asked.count(channel) == 3 for channel in range(21, 41))
    assert status.looks_failed > 0


async def test_an_overload_is_seen_and_skips_turns(world) -> None:
    world.settings = MonitorSettings(concurrency=1, failing_concurrency=1)
    world.watch(*(f"tank-{n}" for n in range(1, 31)))
    world.source.delay_s = 10.0

    async with world.running() as monitor:
        await world.time.pass_by(3600)
        status = monitor.status()

    assert 350 <= status.looks <= 361
    assert status.overdue >= 20
    assert status.longest_wait_s > 60
    assert max(world.source.asked.count(c) for c in range(1, 31)) <= 13
    assert min(world.source.asked.count(c) for c in range(1, 31)) >= 11


async def test_an_absent_store_loses_nothing(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n) for n in range(1, 4)])
    world.time.advance(180)
    for _ in range(7):
        world.store.fail_next(StorageUnavailableError("gone"))

    async with world.running() as monitor:
        await world.time.pass_by(61)
        during = monitor.status()
        await world.time.pass_by(120)
        after = monitor.status()

    assert (during.is_store_away, during.last_error) == (True, "SERVICE_UNAVAILABLE: gone")
    assert not after.is_store_away
    assert after.commits_failed == 7
    assert [r.entry_id for r in world.store.readings("tank-1")] == [1, 2, 3]


async def test_a_commit_whose_answer_was_lost_is_not_told_twice(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n, "30") for n in range(1, 6)])
    world.time.advance(300)
    world.store.fail_next(StorageUnavailableError("connection lost"), after_commit=True)

    async with world.running() as monitor:
        await world.time.pass_by(130)

    assert [t.kind for t in world.store.transitions] == ["fired"]
    assert monitor.status().looks_dropped == 1
    assert len(world.store.readings("tank-1")) == 5


async def test_reads_a_cleared_channel_again(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n) for n in range(1, 6)])
    world.time.advance(300)

    async with world.running() as monitor:
        await world.time.pass_by(60)
        world.source.clear(1)
        world.source.write(1, [entry(1, at_s=330), entry(2, at_s=390)])
        await world.time.pass_by(120)

    assert monitor.status().resets == 1
    assert [r.entry_id for r in world.store.readings("tank-1")] == [1, 2, 3, 4, 5, 1, 2]


async def test_catches_up_without_waiting_for_its_next_turn(world) -> None:
    world.watch("tank-1")
    world.source = type(world.source)(page=100, sleep=world.time.sleep)
    world.source.write(1, [entry(n) for n in range(1, 451)])
    world.time.advance(450 * 60)

    async with world.running() as monitor:
        await world.time.pass_by(61)

    assert monitor.status().stored == 450


async def test_learns_of_nodes_that_come_and_go(world) -> None:
    world.watch("tank-1")

    async with world.running() as monitor:
        await world.time.pass_by(60)
        world.watch("tank-2")
        world.source.write(2, [entry(1)])
        await world.time.pass_by(95)
        stored = len(world.store.readings("tank-2"))
        world.store.forget("tank-1")
        await world.time.pass_by(60)
        asked = world.source.asked.count(1)
        await world.time.pass_by(600)

    assert stored == 1
    assert monitor.status().nodes == 1
    assert world.source.asked.count(1) == asked


async def test_a_node_that_is_deleted_while_its_readings_wait_holds_up_nobody(world) -> None:
    world.watch("tank-1", "tank-2")
    world.source.write(1, [entry(1)])
    world.source.write(2, [entry(1)])
    world.settings = MonitorSettings(batch_age_s=70.0)

    async with world.running() as monitor:
        await world.time.pass_by(65)
        world.store.forget("tank-1")
        await world.time.pass_by(200)

    assert len(world.store.readings("tank-2")) == 1
    assert monitor.status().nodes == 1


async def test_a_mapping_that_makes_no_sense_is_named_and_loses_nothing(world) -> None:
    world.watch("tank-1", config={"height_cm": -1.0})
    world.source.write(1, [entry(1)])

    async with world.running() as monitor:
        await world.time.pass_by(120)
        unreadable = monitor.status().unreadable
        world.store.add(tank("tank-1"), mapping_for(1))
        await world.time.pass_by(100)

    assert unreadable == {"tank-1": "INVALID_MAPPING: height_cm must be above 0, not -1"}
    assert len(world.store.readings("tank-1")) == 1
    assert monitor.status().unreadable == {}


async def test_stops_with_what_is_in_hand_stored_and_told(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1)])
    world.settings = MonitorSettings(batch_age_s=3600.0)
    monitor = world.monitor()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        await world.time.pass_by(60)
        assert world.store.readings("tank-1") == []
        monitor.stop()
        await world.time.pass_by(0)

    assert len(world.store.readings("tank-1")) == 1
    assert [m.kind for m in await world.published()] == ["reading", "node"]


async def test_stops_although_the_store_is_away(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1)])
    world.settings = MonitorSettings(stop_grace_s=0.05)
    monitor = world.monitor()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(monitor.run)
            await world.time.pass_by(0)
            for _ in range(100):
                world.store.fail_next(StorageUnavailableError("gone"))
            await world.time.pass_by(90)
            monitor.stop()

    assert world.store.readings("tank-1") == []


async def test_starts_although_the_store_is_away(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1)])
    answer = world.store.watched
    away = True

    async def watched() -> object:
        if away:
            raise StorageUnavailableError("not yet")
        return await answer()

    world.store.watched = watched

    async with world.running() as monitor:
        await world.time.pass_by(60)
        assert monitor.status().is_store_away
        away = False
        await world.time.pass_by(120)

    assert len(world.store.readings("tank-1")) == 1


async def test_takes_history_from_elsewhere_without_a_word(world) -> None:
    world.watch("tank-1")
    world.settings = MonitorSettings(batch_rows=7)
    world.time.advance(86_400)
    levels = ["100"] * 20 + ["10"] * 20 + ["150"] * 20
    rows = [entry(n, level) for n, level in enumerate(levels, start=1)]
    bad = SetAside(
        node_id="tank-1", received_at=START, source="f.csv line 9", reason="no time", body="x"
    )
    monitor = world.monitor()

    report = await monitor.backfill("tank-1", [*rows[:30], bad, *rows[30:], rows[0]])

    assert (report.rows, report.stored, report.duplicates, report.set_aside) == (62, 60, 1, 1)
    assert [t.kind for t in world.store.transitions] == ["fired", "resolved"]
    assert world.store.transitions[0].at == START + timedelta(minutes=23)
    assert world.store.messages == ()
    assert world.store.set_aside == (bad,)
    assert (await world.store.watched())[0].position is None


async def test_history_of_a_running_node_decides_nothing(world) -> None:
    world.watch("tank-1")
    world.time.advance(86_400)
    world.source.write(1, [entry(5000, "100", at_s=86_400)])

    async with world.running() as monitor:
        await world.time.pass_by(61)
        report = await monitor.backfill("tank-1", [entry(n, "10") for n in range(1, 50)])

    assert report.stored == 49
    assert world.store.transitions == ()
    assert world.store.state("tank-1").values["level_cm"].value == 100.0


async def test_rules_that_look_back_are_given_what_is_stored_after_a_restart(world) -> None:
    world.rules = (AlertRule(id="idle", kind="tank", when=expr("max_over(level_cm, '10m') < 60")),)
    world.watch("tank-1")
    world.source.write(1, [entry(n, "100" if n < 7 else "50") for n in range(1, 13)])
    world.time.advance(720)
    async with world.running():
        await world.time.pass_by(60)
    assert world.store.transitions == ()
    world.source.write(1, [entry(13, "50")])

    async with world.running():
        await world.time.pass_by(60)
        early = world.store.transitions
        world.source.write(1, [entry(n, "50") for n in range(14, 19)])
        await world.time.pass_by(240)

    assert early == ()
    assert [t.kind for t in world.store.transitions] == ["fired"]


async def test_what_operators_do_is_stored_and_told(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n, "30") for n in range(1, 6)])
    world.time.advance(300)
    engine = AlertEngine(world.rules)

    async with world.running(world.monitor(judge=engine)) as monitor:
        await world.time.pass_by(60)
        (fired,) = world.store.transitions
        gone = await monitor.act(lambda now: engine.replace_rules((), now=now))
        await world.time.pass_by(5)

    assert [t.episode_id for t in gone] == [fired.episode_id]
    assert world.store.active_episodes() == frozenset()
    assert world.store.state("tank-1").status is NodeStatus.ONLINE
    assert [m.kind for m in await world.published()][-2:] == ["alert", "node"]


async def test_an_act_that_cannot_be_stored_changes_nothing(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(n, "30") for n in range(1, 6)])
    world.time.advance(300)
    engine = AlertEngine(world.rules)

    async with world.running(world.monitor(judge=engine)) as monitor:
        await world.time.pass_by(60)
        world.store.fail_next(StorageUnavailableError("gone"))
        with pytest.raises(StorageUnavailableError):
            await monitor.act(lambda now: engine.acknowledge("tank-1", "low", by="ann", now=now))
        with pytest.raises(NotFoundError):
            await monitor.act(lambda now: engine.acknowledge("tank-1", "no", by="ann", now=now))
        await world.time.pass_by(30)

    assert [alert.acknowledged_at for alert in engine.export("tank-1")] == [None]
    assert [t.kind for t in world.store.transitions] == ["fired"]


async def test_refuses_history_of_nobody(world) -> None:
    with pytest.raises(NotFoundError):
        await world.monitor().backfill("nobody", [entry(1)])


async def test_refuses_history_that_it_cannot_read_or_store(world, monkeypatch) -> None:
    world.watch("tank-1", config={"height_cm": -1.0})
    with pytest.raises(InvalidMappingError):
        await world.monitor().backfill("tank-1", [entry(1)])

    async def watched() -> object:
        raise StorageUnavailableError("gone")

    monkeypatch.setattr(world.store, "watched", watched)
    with pytest.raises(StorageUnavailableError):
        await world.monitor().backfill("tank-1", [entry(1)])


async def test_rules_act_on_what_detectors_find_also_after_a_restart(world) -> None:
    rule = AlertRule(id="over", kind="tank", when=expr("evidence.overflow_s >= 240"))
    world.rules = (rule,)
    world.watch("tank-1")
    world.source.write(1, [entry(n, "200") for n in range(1, 4)])
    world.time.advance(180)

    async with world.running():
        await world.time.pass_by(70)
    world.source.write(1, [entry(n, "200") for n in range(4, 7)])
    async with world.running():
        await world.time.pass_by(150)

    state = (await world.store.watched())[0].state
    assert state.detectors["overflow_s"][1] == 300.0
    alerts = [orjson.loads(m.body) for m in await world.published() if m.kind == "alert"]
    assert [(alert["kind"], alert["rule_id"]) for alert in alerts] == [("fired", "over")]


async def test_a_monitor_that_is_told_to_has_no_detectors(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1, "200"), entry(2, "200")])
    monitor = Monitor(
        store=world.store,
        outbox=world.store,
        source=world.source,
        bus=world.bus,
        judge=AlertEngine(()),
        clock=world.time,
        detectors={},
        settings=world.settings,
        sleep=world.time.sleep,
    )
    world.time.advance(180)

    async with world.running(monitor):
        await world.time.pass_by(70)

    assert (await world.store.watched())[0].state.detectors == {}
