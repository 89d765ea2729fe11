from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import anyio
import pytest
from sqlalchemy import event, select, update

from evara_core.alerts.episodes import AlertState, Phase, Severity
from evara_core.errors import ConflictError, InvalidInputError, NotFoundError
from evara_core.monitor.ports import NodeUpdate
from evara_core.query.ast import ALWAYS
from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json
from evara_core.storage.counters import reconcile
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.episodes import load_alert_state
from evara_core.storage.ingest import SqlIngestStore, ingest
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.readings import SqlReadingStore, latest
from evara_core.storage.tables import nodes, set_aside, thingspeak_mappings
from evara_core.storage.units import AsyncUnit, Unit
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.models import Measured, Quality, SetAside
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.samples import START, reading, tank
from evara_core.thingspeak.models import Position

FAR = START + timedelta(days=30)


def state(entry_id, *, status=NodeStatus.ONLINE, health=90):
    return NodeState(
        status=status,
        connectivity=Connectivity.ONLINE,
        last_reading_at=START + timedelta(minutes=entry_id),
        last_seen_at=START + timedelta(minutes=entry_id),
        last_entry_id=entry_id,
        health_score=health,
    )


def step(node_id="tank-1", *, before=NodeState(), after=None, **changes):
    after = state(1) if after is None else after
    return NodeUpdate(node=tank(node_id), before=before, state=after, **changes)


async def stats(engine):
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(dashboard_stats(ALWAYS))


async def drifts(engine, *, repair=False):
    async with AsyncUnit(engine) as unit:
        return await unit.run(reconcile(dialect=engine.dialect.name, repair=repair))


async def test_refuses_what_was_decided_on_a_state_that_is_history(fleet):
    store = SqlIngestStore(fleet)
    await store.ingest([step(after=state(5))])

    with pytest.raises(ConflictError, match="tank-1"):
        await store.ingest([step(before=state(3), after=state(4))])

    (first, *_) = await store.watched()
    assert first.state == state(5)


async def test_storing_the_same_again_changes_nothing(fleet):
    store = SqlIngestStore(fleet)
    whole = step(
        readings=(reading(),),
        set_aside=(
            SetAside(node_id="tank-1", received_at=START, source="s", reason="r", body="b"),
        ),
        position=Position(entry_id=1, created_at=START),
        messages=(
            Message(message_id="m", kind="node", key="tank-1", topics=("platform",), body=b"{}"),
        ),
    )
    await store.ingest([whole])
    before = (await stats(fleet), await store.watched())

    report = await store.ingest([whole])

    assert (report.stored, report.duplicates) == (0, 1)
    assert (await stats(fleet), await store.watched()) == before
    assert len(await SqlOutboxStore(fleet).unpublished(limit=9)) == 1
    async with fleet.connect() as connection:
        assert len((await connection.execute(select(set_aside))).all()) == 1


async def test_writers_of_one_node_cannot_both_succeed(fleet):
    stores = [SqlIngestStore(fleet, shard=number) for number in range(4)]
    outcomes = []

    async def write(number):
        entry_id = number + 1
        try:
            await stores[number].ingest(
                [step(after=state(entry_id), readings=(reading(entry_id=entry_id),))]
            )
        except ConflictError:
            outcomes.append("refused")
        else:
            outcomes.append("stored")

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(write, number)

    assert sorted(outcomes) == ["refused"] * 3 + ["stored"]
    assert await drifts(fleet) == []


async def test_writers_of_other_nodes_do_not_wait_in_a_circle(fleet):
    ids = ["tank-1", "tank-2", "tank-3", "tank-4"]
    stores = [SqlIngestStore(fleet, shard=number) for number in range(2)]

    async def write(number):
        mine = ids[number::2]
        for entry_id in range(1, 15):
            before = NodeState() if entry_id == 1 else state(entry_id - 1, health=entry_id - 1)
            order = mine if entry_id % 2 else mine[::-1]
            await stores[number].ingest(
                [step(i, before=before, after=state(entry_id, health=entry_id)) for i in order]
            )

    async with anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(write, number)

    assert (await stats(fleet)).nodes_by_status == {"Online": 4}
    assert (await stats(fleet)).mean_health == 14
    assert await drifts(fleet) == []


async def test_a_node_that_is_gone_refuses_the_batch(fleet):
    with pytest.raises(NotFoundError):
        await SqlIngestStore(fleet).ingest([step(), step("nobody")])

    assert (await stats(fleet)).nodes_by_status == {"provisioning": 4}


async def test_counts_status_and_health(fleet):
    await SqlIngestStore(fleet).ingest(
        [
            step("tank-1", after=state(1, health=100)),
            step("tank-2", after=state(1, health=41)),
            step("tank-4", after=state(1, status=NodeStatus.OFFLINE, health=0)),
        ]
    )

    found = await stats(fleet)

    assert found.nodes == 4
    assert found.nodes_by_status == {"Online": 2, "Offline": 1, "provisioning": 1}
    assert found.mean_health == pytest.approx(47)
    assert found.worst_health == 0
    assert found.active_alerts == 0


async def test_there_is_no_health_where_nothing_was_measured(fleet):
    found = await stats(fleet)

    assert (found.mean_health, found.worst_health) == (None, None)


async def test_reconciling_finds_and_repairs_what_somebody_broke(fleet):
    await SqlIngestStore(fleet).ingest([step()])
    async with fleet.begin() as connection:
        await connection.exec_driver_sql("UPDATE counters SET value = 7 WHERE name = 'health:90'")
        await connection.exec_driver_sql("DELETE FROM counters WHERE name = 'status:Online'")

    found = await drifts(fleet, repair=True)

    assert sorted((d.name, d.counted, d.actual) for d in found) == [
        ("health:90", 7, 1),
        ("status:Online", 0, 1),
    ]
    assert await drifts(fleet) == []
    assert (await stats(fleet)).nodes_by_status == {"Online": 1, "provisioning": 3}


async def test_a_position_is_good_for_its_channel_only(fleet):
    store = SqlIngestStore(fleet)
    position = Position(entry_id=9, created_at=START, held=((1, "50"), (2, None)))
    await store.ingest([step(position=position)])
    assert (await store.watched())[0].position == position

    async with fleet.begin() as connection:
        await connection.execute(
            update(thingspeak_mappings)
            .where(thingspeak_mappings.c.channel_id == 1)
            .values(channel_id=77)
        )

    assert (await store.watched())[0].position is None


async def test_one_reading_that_cannot_be_stored_is_set_aside(fleet):
    good, bad = reading(entry_id=1), replace(reading(entry_id=2), entry_id=2**70)

    report = await SqlIngestStore(fleet).ingest([step(readings=(good, bad))])

    assert (report.stored, report.set_aside) == (1, 1)
    async with fleet.connect() as connection:
        (row,) = (await connection.execute(select(set_aside))).all()
        (node_key,) = (
            await connection.scalars(select(nodes.c.node_key).where(nodes.c.node_id == "tank-1"))
        ).all()
    assert (row.reason, row.node_key) == ("entry_id_out_of_range", node_key)
    assert str(2**70) in row.source + row.body


async def test_what_no_setting_aside_can_heal_is_raised(fleet):
    impossible = step(position=Position(entry_id=2**70, created_at=START))

    with pytest.raises(InvalidInputError):
        await SqlIngestStore(fleet).ingest([impossible])


async def test_odd_text_is_kept_as_well_as_the_database_can(fleet):
    odd = reading(
        values={"level_cm": Measured(None, Quality.BAD, "junk", raw="1\0\ud800")},
        extra={"field8": "a\0b", "field7": "😀"},
    )
    aside = SetAside(
        node_id="tank-1", received_at=START, source="a\0b", reason="junk", body="x\ud800y\0"
    )

    await SqlIngestStore(fleet).ingest([step(readings=(odd,), set_aside=(aside,))])

    found = (await SqlReadingStore(fleet).latest(["tank-1"]))["tank-1"]
    assert found.extra == {"field8": "a\0b", "field7": "😀"}
    assert found.values["level_cm"].raw == "1\0?"
    async with fleet.connect() as connection:
        (row,) = (await connection.execute(select(set_aside))).all()
    assert (row.source, row.body) == ("a␀b", "x?y␀")


def test_an_alert_state_comes_back_whole():
    moments = {
        f.name: START + timedelta(seconds=place)
        for place, f in enumerate(fields(AlertState))
        if f.name.endswith(("_at", "since"))
    }
    whole = AlertState(
        rule_id="low",
        node_id="tank-1",
        rule_hash="h",
        phase=Phase.FIRING,
        episode_id="e",
        severity=Severity.CRITICAL,
        held_s=1.5,
        answer=True,
        rises=(1.5, 2.5),
        step=3,
        **moments,
    )

    assert load_alert_state(dump_json(whole).decode()) == whole
    newer = dump_json(whole).decode().replace("{", '{"of_a_later_version": 1, ', 1)
    assert load_alert_state(newer) == whole
    assert load_alert_state(dump_json(AlertState(rule_id="r", node_id="n", rule_hash="h")).decode())


@pytest.mark.parametrize("count", [1, 499, 500, 1_000])
async def test_readings_are_stored_once_whichever_way_they_go_in(fleet, count):
    store = SqlIngestStore(fleet)
    many = tuple(reading(entry_id=n) for n in range(1, count + 1))

    first = await store.ingest([step(after=state(count), readings=many)])
    again = await store.ingest([step(before=state(count), after=state(count), readings=many)])

    assert (first.stored, first.duplicates) == (count, 0)
    assert (again.stored, again.duplicates) == (0, count)


async def test_readings_that_are_there_against_all_expectation_are_duplicates(fleet):
    many = tuple(reading(entry_id=n) for n in range(1, 601))
    await SqlReadingStore(fleet).append(many[100:200])

    report = await SqlIngestStore(fleet).ingest([step(after=state(600), readings=many)])

    assert (report.stored, report.duplicates) == (500, 100)
    assert len(await SqlReadingStore(fleet).between("tank-1", START, FAR, limit=1_000)) == 600


async def test_a_reading_that_comes_twice_in_a_large_batch_is_stored_once(fleet):
    many = tuple(reading(entry_id=n) for n in range(1, 601))

    report = await SqlIngestStore(fleet).ingest([step(after=state(600), readings=(*many, many[7]))])

    assert (report.stored, report.duplicates) == (600, 1)


async def test_hundreds_of_messages_keep_their_order(fleet):
    many = tuple(
        Message(message_id=f"m-{n:04}", kind="node", key="k", topics=("platform",), body=b"{}")
        for n in range(600)
    )
    store = SqlIngestStore(fleet)

    await store.ingest([step(messages=many)])
    await store.ingest([step(before=state(1), messages=(*many, replace(many[0], message_id="z")))])

    found = await SqlOutboxStore(fleet).unpublished(limit=1_000)
    assert [m.message_id for m in found] == [*(m.message_id for m in many), "z"]


async def test_who_listens_to_the_engine_hears_of_what_is_ingested(fleet):
    store, heard = SqlIngestStore(fleet), []

    def hear(_connection, _cursor, statement, *_):
        heard.append(statement)

    event.listen(fleet.sync_engine, "before_cursor_execute", hear)
    await store.ingest([step(readings=(reading(),))])

    assert any("node_operational_state" in statement for statement in heard)


async def test_a_batch_that_is_cancelled_is_stored_whole_or_not_at_all(fleet):
    store = SqlIngestStore(fleet)
    many = tuple(reading(entry_id=n) for n in range(1, 301))

    for pause_s in (0, 0.0005, 0.002, 0.005):
        with anyio.move_on_after(pause_s):
            await store.ingest([step(after=state(300), readings=many)])
        stored = await SqlReadingStore(fleet).between("tank-1", START, FAR, limit=1_000)
        first = (await store.watched())[0]
        assert (len(stored), first.state.last_entry_id) in {(0, None), (300, 300)}


@pytest.mark.server
def test_copies_by_the_blocking_driver_too(postgres_database_url, put_fleet):
    engine = blocking_engine_for(postgres_database_url)
    many = tuple(reading(entry_id=n, extra={"field8": "a\tb\\N\n"}) for n in range(1, 601))
    update_ = step(after=state(600), readings=many)

    with Unit(engine) as unit:
        unit.run(put_fleet("postgresql"))
        first = unit.run(ingest([update_], dialect="postgresql", shard=0))
        again = unit.run(ingest([update_], dialect="postgresql", shard=0))
        found = unit.run(latest(["tank-1"], dialect="postgresql"))

    assert (first.stored, again.stored) == (600, 0)
    assert found["tank-1"] == many[-1]
    engine.dispose()
