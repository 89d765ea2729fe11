from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.errors import ConflictError, NotFoundError
from evara_core.monitor.ports import NodeUpdate
from evara_core.query.ast import ALWAYS, AllOf, Compare, Comparison
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, Field, FieldType, ListSpec, SortKey
from evara_core.storage.alerts import ACTIVE, RESOLVED, acknowledge, alert_list, alert_record
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.state import NodeState
from evara_core.testing.samples import START, tank

CODEC = CursorCodec(keys=[b"0123456789abcdef"])
SPEC = ListSpec(
    name="alerts",
    fields=(
        Field(name="id", sortable=True),
        Field(name="severity", operators=EQUALITY),
        Field(name="fired_at", type=FieldType.MOMENT, sortable=True),
        Field(name="node_label"),
    ),
    default_sort=(SortKey("fired_at", descending=True),),
)


def told(kind, episode_id, *, node_id="tank-1", minute=0, severity=Severity.WARNING, rule="low"):
    return Transition(
        kind=kind,
        rule_id=rule,
        node_id=node_id,
        episode_id=episode_id,
        severity=severity,
        at=START + timedelta(minutes=minute),
        reason="condition",
        facts={"level_percent": 8.4, "at": START},
        sentence="level_percent 8.4 is below 10",
    )


async def tell(engine, *transitions):
    by_node = {}
    for transition in transitions:
        by_node.setdefault(transition.node_id, []).append(transition)
    updates = [
        NodeUpdate(
            node=tank(node_id),
            before=NodeState(),
            state=NodeState(active_alerts=1),
            transitions=tuple(some),
        )
        for node_id, some in by_node.items()
    ]
    await SqlIngestStore(engine).ingest(updates)


async def listed(engine, scope):
    query = parse_list_query(SPEC, ()).within(scope)
    async with AsyncUnit(engine, reads_only=True) as unit:
        return [row["id"] for row in (await unit.run(alert_list().records(query, CODEC))).rows]


async def record(engine, episode_id):
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(alert_record(episode_id, scope=ALWAYS))


async def active(engine, scope=ALWAYS):
    async with AsyncUnit(engine, reads_only=True) as unit:
        return (await unit.run(dashboard_stats(scope))).active_alerts_by_severity


FIRED, CHANGED, RESOLVED_ = (
    TransitionKind.FIRED,
    TransitionKind.SEVERITY_CHANGED,
    TransitionKind.RESOLVED,
)


async def test_lists_the_newest_first_within_the_scope(fleet):
    await tell(fleet, told(FIRED, "e-1"), told(FIRED, "e-2", node_id="tank-4", minute=1))

    assert await listed(fleet, ALWAYS) == ["e-2", "e-1"]
    assert await listed(fleet, Compare("distributor_id", Comparison.EQ, "d-1")) == ["e-1"]


async def test_tells_active_from_resolved(fleet):
    await tell(fleet, told(FIRED, "e-1"), told(FIRED, "e-2", rule="high"))
    await tell(fleet, told(RESOLVED_, "e-1", minute=5))

    assert await listed(fleet, ACTIVE) == ["e-2"]
    assert await listed(fleet, RESOLVED) == ["e-1"]


async def test_an_episode_keeps_its_story(fleet):
    await tell(fleet, told(FIRED, "e-1"))
    await tell(fleet, told(CHANGED, "e-1", minute=1, severity=Severity.CRITICAL))
    await tell(fleet, told(RESOLVED_, "e-1", minute=5, severity=Severity.CRITICAL))

    found = await record(fleet, "e-1")

    assert (found["fired_at"], found["changed_at"], found["resolved_at"]) == tuple(
        START + timedelta(minutes=minute) for minute in (0, 1, 5)
    )
    assert found["severity"] == "critical"
    assert found["sentence"] == "level_percent 8.4 is below 10"
    assert found["facts"] == {"level_percent": 8.4, "at": "2026-01-01T00:00:00Z"}
    assert found["node_label"] == "Tank-1"


async def test_telling_the_same_again_changes_nothing(fleet):
    story = (told(FIRED, "e-1"), told(CHANGED, "e-1", minute=1, severity=Severity.CRITICAL))
    await tell(fleet, *story)
    before = await record(fleet, "e-1")

    await tell(fleet, *story)

    assert await record(fleet, "e-1") == before
    assert await active(fleet) == {"critical": 1}


async def test_an_episode_that_is_over_stays_over(fleet):
    await tell(fleet, told(FIRED, "e-1"), told(RESOLVED_, "e-1", minute=5))

    await tell(fleet, told(FIRED, "e-1"))
    await tell(fleet, told(CHANGED, "e-1", severity=Severity.CRITICAL))

    assert (await record(fleet, "e-1"))["severity"] == "warning"
    assert await active(fleet) == {}


async def test_what_is_told_of_an_unknown_episode_is_let_go(fleet):
    await tell(fleet, told(RESOLVED_, "e-9", minute=5))

    assert await listed(fleet, ALWAYS) == []
    assert await active(fleet) == {}


async def test_data_that_is_lost_leaves_the_episode_open(fleet):
    await tell(fleet, told(FIRED, "e-1"), told(TransitionKind.DATA_LOST, "e-1", minute=3))
    lost = await record(fleet, "e-1")
    await tell(fleet, told(TransitionKind.DATA_BACK, "e-1", minute=4))

    assert lost["unknown_since"] == START + timedelta(minutes=3)
    assert (await record(fleet, "e-1"))["unknown_since"] is None
    assert await listed(fleet, ACTIVE) == ["e-1"]


async def test_who_acknowledged_it_in_the_engine_is_in_the_history(fleet):
    seen = replace(
        told(TransitionKind.ACKNOWLEDGED, "e-1", minute=3),
        facts={"acknowledged_by": "asha", "note": "on my way"},
    )
    await tell(fleet, told(FIRED, "e-1"), seen)
    acknowledged = await record(fleet, "e-1")
    await tell(fleet, told(CHANGED, "e-1", minute=4))
    kept = await record(fleet, "e-1")
    await tell(fleet, told(TransitionKind.UNACKNOWLEDGED, "e-1", minute=5))

    names = ("acknowledged_by", "acknowledged_at", "note")
    assert [acknowledged[name] for name in names] == [
        "asha",
        START + timedelta(minutes=3),
        "on my way",
    ]
    assert [kept[name] for name in names] == [acknowledged[name] for name in names]
    assert [(await record(fleet, "e-1"))[name] for name in names] == [None, None, None]


async def test_what_belongs_to_no_episode_changes_no_row(fleet):
    await tell(fleet, told(TransitionKind.STORM, ""), told(TransitionKind.SHELVED, ""))

    assert await listed(fleet, ALWAYS) == []


async def test_an_end_before_the_beginning_is_moved_to_the_beginning(fleet):
    await tell(fleet, told(FIRED, "e-1", minute=10))

    await tell(fleet, told(RESOLVED_, "e-1", minute=9))

    assert (await record(fleet, "e-1"))["resolved_at"] == START + timedelta(minutes=10)


async def test_two_episodes_of_one_rule_and_node_cannot_be_open(fleet):
    await tell(fleet, told(FIRED, "e-1"))

    with pytest.raises(ConflictError):
        await tell(fleet, told(FIRED, "e-2"))

    assert await listed(fleet, ALWAYS) == ["e-1"]


async def test_one_may_end_and_the_next_begin_in_one_batch(fleet):
    await tell(fleet, told(FIRED, "e-1"))

    await tell(fleet, told(RESOLVED_, "e-1", minute=1), told(FIRED, "e-2", minute=2))

    assert await listed(fleet, ACTIVE) == ["e-2"]
    assert await active(fleet) == {"warning": 1}


async def test_counts_by_severity_within_the_scope(fleet):
    await tell(
        fleet,
        told(FIRED, "e-1"),
        told(FIRED, "e-2", rule="empty", severity=Severity.CRITICAL),
        told(FIRED, "e-3", node_id="tank-4"),
    )

    assert await active(fleet) == {"warning": 2, "critical": 1}
    assert await active(fleet, Compare("community_id", Comparison.EQ, "c-2")) == {"warning": 1}


async def test_the_first_who_acknowledges_is_kept(fleet):
    await tell(fleet, told(FIRED, "e-1"))
    at = START + timedelta(minutes=7)

    async with AsyncUnit(fleet) as unit:
        first = await unit.run(acknowledge("e-1", scope=ALWAYS, by="asha", at=at, note="on it"))
        again = await unit.run(
            acknowledge("e-1", scope=ALWAYS, by="ravi", at=at + timedelta(minutes=1))
        )

    assert (first["acknowledged_by"], first["acknowledged_at"], first["note"]) == (
        "asha",
        at,
        "on it",
    )
    assert again == first


async def test_nobody_acknowledges_what_is_not_theirs(fleet):
    await tell(fleet, told(FIRED, "e-1"))
    theirs = AllOf((Compare("distributor_id", Comparison.EQ, "d-2"),))

    with pytest.raises(NotFoundError, match="no such alert"):
        async with AsyncUnit(fleet) as unit:
            await unit.run(acknowledge("e-1", scope=theirs, by="ravi", at=START))

    assert (await record(fleet, "e-1"))["acknowledged_at"] is None
