"""A page of nodes, with all that its table shows, takes a fixed number of statements."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import registry, relationship, selectinload

from evara_core.errors import ConfigurationError
from evara_core.query.ast import ALWAYS, Compare, Comparison
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import Field, ListSpec
from evara_core.storage.lists import ListSource
from evara_core.storage.nodes import node_list
from evara_core.storage.sessions import run_in_async_session
from evara_core.storage.tables import (
    alert_history,
    communities,
    customers,
    node_operational_state,
    nodes,
)
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START

CODEC = CursorCodec(keys=[b"0123456789abcdef"])
SHOWN = ("id", "label", "status", "values", "last_reading_at", "active_alerts", "health_score")
SPEC = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", sortable=True, is_nullable=False),
        *(Field(name=name) for name in SHOWN[1:]),
    ),
    includes=("customer", "community", "distributor", "alerts"),
)
EVERYTHING = ("include", "customer,community,distributor,alerts")


@pytest.fixture
async def statements(fleet):
    """What the database is asked, from now on; node 1 has two open alerts and one that is over."""
    story = {
        "node_key": 1,
        "distributor_id": "d-1",
        "severity": "warning",
        "fired_at": START,
        "fired_reason": "condition",
        "fired_sentence": "it is low",
        "fired_facts": {},
        "resolved_at": None,
    }
    later = START + timedelta(hours=1)
    async with fleet.begin() as connection:
        await connection.execute(
            insert(alert_history),
            [
                {**story, "episode_id": "e-1", "rule_id": "r-1"},
                {**story, "episode_id": "e-2", "rule_id": "r-2", "fired_at": later},
                {**story, "episode_id": "e-3", "rule_id": "r-3", "resolved_at": later},
            ],
        )
    heard: list[str] = []

    def hear(_connection, _cursor, statement, *_):
        if not statement.startswith(("BEGIN", "PRAGMA")):
            heard.append(statement)

    event.listen(fleet.sync_engine, "before_cursor_execute", hear)
    return heard


async def page(engine, *params, scope=ALWAYS):
    query = parse_list_query(SPEC, params)
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(node_list().records(query, CODEC, scopes={"alerts": scope}))


@pytest.mark.parametrize("limit", ["1", "2", "4"])
async def test_a_page_of_records_takes_five_whatever_its_size(fleet, statements, limit):
    found = await page(fleet, EVERYTHING, ("limit", limit))

    assert len(found.rows) == int(limit)
    assert len(statements) == 5


async def test_it_has_all_that_the_table_shows(fleet, statements):
    first = (await page(fleet, EVERYTHING)).rows[0]

    assert set(first) == {*SHOWN, "customer", "community", "distributor", "alerts"}
    assert first["customer"] == {"id": "u-1", "name": "U"}
    assert first["community"] == {"id": "c-1", "name": "C"}
    assert [alert["id"] for alert in first["alerts"]] == ["e-2", "e-1"]


async def test_a_node_that_belongs_to_no_customer_has_none(fleet, statements):
    second = (await page(fleet, EVERYTHING)).rows[1]

    assert (second["customer"], second["alerts"]) == (None, [])


async def test_alerts_of_before_the_node_changed_hands_are_not_shown(fleet, statements):
    theirs = Compare("distributor_id", Comparison.EQ, "d-2")

    first = (await page(fleet, EVERYTHING, scope=theirs)).rows[0]

    assert first["alerts"] == []


async def test_without_a_scope_no_alert_is_shown(fleet):
    query = parse_list_query(SPEC, [EVERYTHING])

    with pytest.raises(ConfigurationError, match="needs a scope"):
        async with AsyncUnit(fleet, reads_only=True) as unit:
            await unit.run(node_list().records(query, CODEC))


class Community: ...


class Customer: ...


class State: ...


class Alert: ...


class Node: ...


@pytest.fixture
def models():
    """A team's own models of the reference tables."""
    mapper = registry()
    mapper.map_imperatively(Community, communities)
    mapper.map_imperatively(Customer, customers)
    mapper.map_imperatively(State, node_operational_state)
    mapper.map_imperatively(Alert, alert_history)
    mapper.map_imperatively(
        Node,
        nodes,
        properties={
            "community": relationship(Community, overlaps="customer"),
            "customer": relationship(Customer, overlaps="community"),
            "state": relationship(State, uselist=False),
            "alerts": relationship(
                Alert,
                primaryjoin=(nodes.c.node_key == alert_history.c.node_key)
                & alert_history.c.resolved_at.is_(None),
                viewonly=True,
            ),
        },
    )
    yield
    mapper.dispose()


@pytest.mark.parametrize("limit", ["1", "2", "4"])
async def test_a_page_of_orm_entities_takes_five_whatever_its_size(
    fleet, statements, models, limit
):
    spec = ListSpec(
        name="nodes",
        fields=(Field(name="id", sortable=True, is_nullable=False), Field(name="label")),
        includes=("customer", "community", "state", "alerts"),
    )
    entities = ListSource(
        select(Node),
        {"id": Node.node_id, "label": Node.label},
        loaders={name: [selectinload(getattr(Node, name))] for name in spec.includes},
    )
    query = parse_list_query(
        spec, [("include", "customer,community,state,alerts"), ("limit", limit)]
    )

    async with AsyncSession(fleet) as session:
        found = await run_in_async_session(session, entities.entities(query, CODEC))
        shown = [
            (node.label, node.state.status, node.community and node.community.name, node.alerts)
            for node in found.rows
        ]

    assert len(shown) == int(limit)
    assert len(shown[0][3]) == 2
    assert len(statements) == 5
