from __future__ import annotations

import pytest
from sqlalchemy import event, update

from evara_core.access.principal import Principal
from evara_core.access.tenancy import permitted_scope
from evara_core.errors import DeniedError, NotFoundError
from evara_core.query.ast import ALWAYS, NEVER, Compare, Comparison
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, Field, FieldType, ListSpec, Operator
from evara_core.storage.nodes import NODE_COLUMNS, node_list, node_record
from evara_core.storage.policy import REFERENCE_POLICY
from evara_core.storage.tables import nodes
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START

CODEC = CursorCodec(keys=[b"0123456789abcdef"])
SPEC = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", sortable=True),
        Field(name="label", sortable=True, searchable=True, operators=frozenset({Operator.EQ})),
        Field(name="status", operators=EQUALITY),
        Field(name="created_at", type=FieldType.MOMENT, sortable=True),
        Field(name="last_reading_at", type=FieldType.MOMENT, sortable=True),
        Field(name="values"),
    ),
)


async def page(fleet, scope, *params):
    query = parse_list_query(SPEC, params).within(scope)
    async with AsyncUnit(fleet, reads_only=True) as unit:
        return await unit.run(node_list().records(query, CODEC))


def scope_of(role, **ids):
    principal = Principal(user_id="x", role=role, **ids)
    return REFERENCE_POLICY.condition(permitted_scope(principal), "nodes")


@pytest.mark.parametrize(
    ("role", "ids", "seen"),
    [
        ("superadmin", {}, ["tank-1", "tank-2", "tank-3", "tank-4"]),
        ("distributor", {"distributor_id": "d-1"}, ["tank-1", "tank-2", "tank-3"]),
        ("community_manager", {"community_id": "c-1"}, ["tank-1", "tank-2"]),
        ("customer", {"distributor_id": "d-1", "customer_id": "u-1"}, ["tank-1"]),
        ("customer", {"distributor_id": "d-2", "customer_id": "u-1"}, []),
    ],
)
async def test_lists_what_a_role_may_see_and_nothing_else(fleet, role, ids, seen):
    found = await page(fleet, scope_of(role, **ids), ("sort", "id"))

    assert [row["id"] for row in found.rows] == seen


def test_a_role_that_nobody_knows_sees_nothing():
    with pytest.raises(DeniedError):
        scope_of("janitor")


async def test_pages_through_all_of_it_forward_and_back(fleet):
    first = await page(fleet, ALWAYS, ("sort", "last_reading_at,-id"), ("limit", "3"))
    second = await page(
        fleet,
        ALWAYS,
        ("sort", "last_reading_at,-id"),
        ("limit", "3"),
        ("cursor", first.next),
    )

    assert [row["id"] for row in (*first.rows, *second.rows)] == [
        "tank-4",
        "tank-3",
        "tank-2",
        "tank-1",
    ]
    assert second.next is None


async def test_a_page_is_one_statement_whatever_its_size(fleet):
    statements = []

    def note(_connection, _cursor, statement, *_):
        if not statement.startswith(("BEGIN", "PRAGMA")):
            statements.append(statement)

    event.listen(fleet.sync_engine, "before_cursor_execute", note)

    for limit in ("1", "4"):
        statements.clear()
        await page(fleet, ALWAYS, ("limit", limit))
        assert len(statements) == 1


async def test_filters_within_the_scope(fleet):
    params = (("status", "provisioning"), ("search", "tank-2"))

    assert len((await page(fleet, scope_of("superadmin"), *params)).rows) == 1
    assert (
        len(
            (
                await page(
                    fleet, scope_of("customer", distributor_id="d-1", customer_id="u-1"), *params
                )
            ).rows
        )
        == 0
    )


async def test_returns_one_node_with_everything(fleet):
    async with AsyncUnit(fleet, reads_only=True) as unit:
        found = await unit.run(node_record("tank-1", scope=ALWAYS))

    assert set(found) == set(NODE_COLUMNS)
    assert found["id"] == "tank-1"
    assert found["status"] == "provisioning"
    assert found["created_at"] == START
    assert found["values"] == {}
    assert found["config"] == {"height_cm": 200.0, "capacity_l": 10_000.0}
    assert found["channel_id"] == 1


@pytest.mark.parametrize(
    ("node_id", "scope"),
    [
        ("nobody", ALWAYS),
        ("tank-1", NEVER),
        ("tank-4", Compare("distributor_id", Comparison.EQ, "d-1")),
    ],
)
async def test_what_is_out_of_scope_does_not_exist(fleet, node_id, scope):
    with pytest.raises(NotFoundError, match="no such node"):
        async with AsyncUnit(fleet, reads_only=True) as unit:
            await unit.run(node_record(node_id, scope=scope))


async def test_ids_sort_by_their_bytes_on_every_database(fleet):
    async with fleet.begin() as connection:
        for old, new in (("tank-1", "Zebra"), ("tank-2", "apple"), ("tank-3", "Äpfel")):
            await connection.execute(
                update(nodes).where(nodes.c.node_id == old).values(node_id=new)
            )

    found = await page(fleet, ALWAYS, ("sort", "id"))

    assert [row["id"] for row in found.rows] == ["Zebra", "apple", "tank-4", "Äpfel"]
