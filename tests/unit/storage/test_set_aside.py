"""What was set aside is found, tried again, or let be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from evara_core.access.principal import Principal
from evara_core.access.tenancy import permitted_scope
from evara_core.alerts.engine import AlertEngine
from evara_core.errors import NotFoundError
from evara_core.monitor.ports import NodeUpdate
from evara_core.monitor.runner import Monitor
from evara_core.query.ast import ALWAYS
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.realtime.memory import MemoryBus
from evara_core.serialization import dump_json
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.policy import REFERENCE_POLICY
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.set_aside import (
    SET_ASIDE_SPEC,
    dismiss,
    kept,
    mark_replayed,
    prune_set_aside,
    replay_set_aside,
    set_aside_list,
    set_aside_record,
)
from evara_core.storage.statements import Query
from evara_core.storage.tables import set_aside
from evara_core.storage.units import AsyncUnit
from evara_core.storage.upkeep import remove_node
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.state import NodeState
from evara_core.testing.clock import ManualClock
from evara_core.testing.samples import START, entry, tank
from evara_core.testing.source import MemorySource

CODEC = CursorCodec(keys=[b"0123456789abcdef"])
NODES = ("tank-1", "tank-1", "tank-3", "tank-4")


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


def query(statement):
    answer = yield Query(statement)
    return [row[0] for row in answer.rows]


async def ids(engine, **options):
    found = await run(engine, kept(dialect=engine.dialect.name, **options))
    return [row.set_aside_id for row in found]


def scope_of(role, **ids):
    principal = Principal(user_id="x", role=role, **ids)
    return REFERENCE_POLICY.condition(permitted_scope(principal), "nodes")


@pytest.fixture
async def aside(fleet):
    """Four rows, 1 to 4, a minute apart: the third one holds no entry."""
    updates = []
    for number, node_id in enumerate(NODES, start=1):
        body = "half a row" if number == 3 else dump_json(entry(number)).decode()
        row = SetAside(
            node_id=node_id,
            received_at=START + timedelta(minutes=number),
            source=f"channel 1 entry {number}",
            reason="RuntimeError: thirteen",
            body=body,
        )
        updates.append(
            NodeUpdate(node=tank(node_id), before=NodeState(), state=NodeState(), set_aside=(row,))
        )
    for update in updates:
        await SqlIngestStore(fleet).ingest([update])
    return fleet


def monitor(engine, clock):
    return Monitor(
        store=SqlIngestStore(engine),
        outbox=SqlOutboxStore(engine),
        source=MemorySource(),
        bus=MemoryBus(),
        judge=AlertEngine(()),
        readings=SqlReadingStore(engine),
        clock=clock,
    )


async def page(engine, scope, *params):
    query = parse_list_query(SET_ASIDE_SPEC, params).within(scope)
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(set_aside_list().records(query, CODEC))


async def test_is_listed_page_by_page_the_newest_first(aside):
    first = await page(aside, ALWAYS, ("limit", "3"))
    second = await page(aside, ALWAYS, ("limit", "3"), ("cursor", first.next))

    assert [row["id"] for row in (*first.rows, *second.rows)] == [4, 3, 2, 1]
    assert second.next is None


async def test_is_filtered_by_node_and_by_what_became_of_it(aside):
    await run(aside, mark_replayed([1], at=START, dialect=aside.dialect.name))
    await run(aside, dismiss([2], at=START, by="ann", dialect=aside.dialect.name))

    statuses = {
        status: [row["id"] for row in (await page(aside, ALWAYS, ("status", status))).rows]
        for status in ("open", "replayed", "dismissed")
    }

    assert statuses == {"open": [4, 3], "replayed": [1], "dismissed": [2]}
    assert [r["id"] for r in (await page(aside, ALWAYS, ("node_id", "tank-1"))).rows] == [2, 1]
    found = await page(
        aside, ALWAYS, ("search", "thirteen"), ("received_at__gte", START.isoformat())
    )
    assert len(found.rows) == 4
    assert (await ids(aside), await ids(aside, is_open=False)) == ([4, 3], [4, 3, 2, 1])
    assert await ids(aside, before_id=4, node_id="tank-3") == [3]


@pytest.mark.parametrize(
    ("role", "ids", "seen"),
    [
        ("superadmin", {}, [4, 3, 2, 1]),
        ("distributor", {"distributor_id": "d-1"}, [3, 2, 1]),
        ("customer", {"distributor_id": "d-2", "customer_id": "u-2"}, [4]),
    ],
)
async def test_belongs_to_whom_its_node_belongs(aside, role, ids, seen):
    found = await page(aside, scope_of(role, **ids))

    assert [row["id"] for row in found.rows] == seen


async def test_outlives_its_node_for_those_who_see_everything(aside):
    await run(aside, remove_node("tank-4", dialect=aside.dialect.name))

    assert [row["id"] for row in (await page(aside, ALWAYS)).rows] == [4, 3, 2, 1]
    assert len((await page(aside, scope_of("distributor", distributor_id="d-2"))).rows) == 0
    keys = await run(aside, query(select(set_aside.c.node_key).order_by(set_aside.c.set_aside_id)))
    assert [key is None for key in keys] == [False, False, False, True]


async def test_one_row_is_shown_with_all_that_is_known(aside):
    found = await run(aside, set_aside_record(3, scope=ALWAYS))

    assert (found["body"], found["status"]) == ("half a row", "open")
    with pytest.raises(NotFoundError):
        await run(aside, set_aside_record(3, scope=scope_of("distributor", distributor_id="d-2")))


async def test_nobody_dismisses_what_is_not_theirs(aside):
    theirs = scope_of("distributor", distributor_id="d-2")
    flow = dismiss([1, 2, 3, 4], at=START, scope=theirs, dialect=aside.dialect.name)

    assert await run(aside, flow) == 1
    assert await ids(aside) == [3, 2, 1]


async def test_what_is_settled_stays_as_it_was_settled(aside):
    dialect = aside.dialect.name
    await run(aside, dismiss([1], at=START, by="ann", dialect=dialect))

    assert await run(aside, mark_replayed([1], at=START, dialect=dialect)) == 0
    assert (await run(aside, set_aside_record(1, scope=ALWAYS)))["replayed_at"] is None


async def test_a_replay_stores_what_it_can_and_leaves_the_rest_open(aside):
    clock = ManualClock()
    clock.advance(3600)

    report = await replay_set_aside(aside, monitor(aside, clock).backfill, clock=clock)
    again = await replay_set_aside(aside, monitor(aside, clock).backfill, clock=clock)

    assert (report.stored, report.duplicates, sorted(report.taken)) == (3, 0, [1, 2, 4])
    assert list(report.left) == [3]
    assert "no whole entry" in report.left[3]
    assert (again.taken, list(again.left)) == ((), [3])
    assert await ids(aside) == [3]
    stored = await SqlReadingStore(aside).latest(["tank-1", "tank-4"])
    assert {node_id: one.entry_id for node_id, one in stored.items()} == {"tank-1": 2, "tank-4": 4}


async def test_rows_of_a_node_that_is_gone_stay_open_and_the_others_go_on(aside):
    clock = ManualClock()
    clock.advance(3600)
    await run(aside, remove_node("tank-4", dialect=aside.dialect.name))

    report = await replay_set_aside(aside, monitor(aside, clock).backfill, clock=clock)

    assert sorted(report.taken) == [1, 2]
    assert report.left[4] == "no such node"


async def test_only_the_rows_that_are_named_are_tried(aside):
    clock = ManualClock()
    clock.advance(3600)
    run_again = monitor(aside, clock).backfill

    by_id = await replay_set_aside(aside, run_again, clock=clock, ids=[1])
    by_node = await replay_set_aside(aside, run_again, clock=clock, node_id="tank-4")

    assert (by_id.taken, by_node.taken) == ((1,), (4,))


async def test_what_is_old_enough_is_deleted_sooner_when_it_is_settled(aside):
    await run(aside, dismiss([1, 3], at=START, dialect=aside.dialect.name))
    prune = prune_set_aside(
        now=START + timedelta(minutes=10),
        settled_for=timedelta(minutes=8),
        open_for=timedelta(minutes=8, seconds=30),
        dialect=aside.dialect.name,
    )

    assert await run(aside, prune) == 1
    assert await ids(aside, is_open=False) == [4, 3, 2]
