from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.errors import ConflictError, NotFoundError
from evara_core.monitor.ports import NodeUpdate
from evara_core.query.ast import ALWAYS, Compare, Comparison
from evara_core.storage.counters import reconcile
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.tables import metadata
from evara_core.storage.units import AsyncUnit
from evara_core.storage.upkeep import move_node, remove_node
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.samples import START, reading, tank
from evara_core.thingspeak.models import Position

TO = Tenancy(distributor_id="d-2", community_id="c-2")
D_1 = Compare("distributor_id", Comparison.EQ, "d-1")
D_2 = Compare("distributor_id", Comparison.EQ, "d-2")


async def run(engine, flow, **options):
    async with AsyncUnit(engine, **options) as unit:
        return await unit.run(flow)


async def counted(engine, scope):
    found = await run(engine, dashboard_stats(scope))
    return found.nodes_by_status, found.active_alerts_by_severity, found.worst_health


@pytest.fixture
async def busy(fleet):
    """The fleet, with a node that has all that a node can have."""
    fired = Transition(
        kind=TransitionKind.FIRED,
        rule_id="low",
        node_id="tank-1",
        episode_id="e-1",
        severity=Severity.CRITICAL,
        at=START,
        reason="condition",
    )
    state = NodeState(
        status=NodeStatus.ALERT, health_score=55, last_reading_at=START + timedelta(hours=2)
    )
    await SqlIngestStore(fleet).ingest(
        [
            NodeUpdate(
                node=tank("tank-1"),
                before=NodeState(),
                state=state,
                readings=(reading(entry_id=1), reading(entry_id=120)),
                position=Position(entry_id=120, created_at=START),
                transitions=(fired,),
            )
        ]
    )
    yield fleet
    assert await run(fleet, reconcile(dialect=fleet.dialect.name)) == []


async def test_a_node_that_moves_takes_its_counts_along_but_not_its_alerts(busy):
    await run(busy, move_node("tank-1", TO, at=START, dialect=busy.dialect.name))

    assert await counted(busy, D_1) == ({"provisioning": 2}, {"critical": 1}, None)
    assert await counted(busy, D_2) == ({"Alert": 1, "provisioning": 1}, {}, 55)


@pytest.mark.parametrize(
    "to",
    [
        Tenancy(distributor_id="nobody"),
        Tenancy(distributor_id="d-2", community_id="c-1"),
        Tenancy(distributor_id="d-2", customer_id="u-1"),
    ],
)
async def test_a_node_cannot_move_to_tenants_that_are_not_each_others(busy, to):
    with pytest.raises(ConflictError):
        await run(busy, move_node("tank-1", to, at=START, dialect=busy.dialect.name))


async def test_of_a_node_that_is_removed_nothing_is_left(busy):
    await run(busy, remove_node("tank-1", dialect=busy.dialect.name))

    assert await counted(busy, ALWAYS) == ({"provisioning": 3}, {}, None)
    async with busy.connect() as connection:
        for table in metadata.tables.values():
            if "node_key" in table.c:
                left = select(func.count()).where(table.c.node_key == 1)
                assert await connection.scalar(left) == 0, table.name


@pytest.mark.parametrize(
    "change",
    [
        lambda dialect: remove_node("nobody", dialect=dialect),
        lambda dialect: move_node("nobody", TO, at=START, dialect=dialect),
    ],
)
async def test_a_node_that_is_not_there_is_not_found(fleet, change):
    with pytest.raises(NotFoundError):
        await run(fleet, change(fleet.dialect.name))
