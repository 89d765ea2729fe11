"""A page is found by seeking, wherever it lies: traps B3 and B4, asked of the planners."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Executable, func, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ClauseElement
from tests.traps.fleet import CODEC, START, Node, node

from evara_core.query.ast import SortKey
from evara_core.query.paging import last_page_cursor
from evara_core.query.spec import ListQuery
from evara_core.storage.lists import ListSource
from evara_core.storage.statements import Query

TABLE = Node.__table__
COLUMNS = {name: TABLE.c[name] for name in TABLE.c.keys()}  # noqa: SIM118 - not a dict
SOURCE = ListSource(select(TABLE), COLUMNS)
ROWS = 1000


class Plan(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement):
        self.statement = statement


@compiles(Plan)
def _plan(element, compiler, **more):
    sql = compiler.process(element.statement, **more)
    compiler._result_columns = []  # what comes back is not what the statement selects
    way = "QUERY PLAN" if compiler.dialect.name == "sqlite" else "(COSTS OFF)"
    return f"EXPLAIN {way} {sql}"


def query(*sort, **more):
    keys = tuple(SortKey(name.lstrip("-"), descending=name.startswith("-")) for name in sort)
    return ListQuery(resource="nodes", sort=keys, fields=("id", "label"), limit=20, **more)


@pytest.fixture
async def fleet(database):
    moments = (START.replace(minute=number // 100) for number in range(ROWS))
    rows = [
        node(number, created_at=moment, status=("Alert", "Offline", "Online")[number % 3])
        for number, moment in enumerate(moments)
    ]
    await database.fill(*rows)

    def analyze():
        yield Query(text("ANALYZE"))

    await database.run(analyze())
    database.statements = []
    return database


async def plans(database):
    """How the statements that were just asked are carried out."""
    asked, database.statements = list(database.statements), []

    def explain():
        found = []
        for question in asked:
            answer = yield Query(Plan(question.statement), question.parameters)
            found.append("\n".join(str(row[-1]) for row in answer.rows))
        return found

    found = await database.run(explain())
    database.statements = []
    return found


def reads_in_order(plan, index):
    return index in plan and "TEMP B-TREE" not in plan and "Sort" not in plan


def seeks(plan, index="ix_nodes_"):
    is_search = "Index Cond" in plan or "SEARCH nodes" in plan
    return is_search and reads_in_order(plan, index)


INDEXED = [
    (("created_at", "id"), "ix_nodes_created"),
    (("-created_at", "-id"), "ix_nodes_created"),
    (("battery", "id"), "ix_nodes_battery"),
    (("-battery", "-id"), "ix_nodes_battery"),
    (("status", "created_at", "id"), "ix_nodes_status"),
]


async def test_b4_an_order_with_an_index_is_never_sorted(fleet):
    for sort, index in INDEXED:
        asked = query(*sort)
        first = await fleet.run(SOURCE.records(asked, CODEC))
        assert reads_in_order((await plans(fleet))[0], index)
        end = replace(asked, cursor=last_page_cursor(asked, CODEC))
        last = await fleet.run(SOURCE.records(end, CODEC))
        assert reads_in_order((await plans(fleet))[0], index)

        for cursor in (first.next, last.previous):
            await fleet.run(SOURCE.records(replace(asked, cursor=cursor), CODEC))

            found = await plans(fleet)
            assert found
            assert all(seeks(plan, index) for plan in found), found


async def test_b4_a_mixed_order_seeks_within_a_group(fleet):
    asked = query("status", "-created_at", "-id")
    first = await fleet.run(SOURCE.records(asked, CODEC))
    fleet.statements = []

    await fleet.run(SOURCE.records(replace(asked, cursor=first.next), CODEC))

    (plan,) = await plans(fleet)
    assert seeks(plan), plan


async def test_b4_a_group_that_ends_costs_one_more_statement_per_key_at_most(fleet):
    asked = replace(query("status", "-battery", "id"), limit=7)
    cursor, counts = None, []
    while True:
        page = await fleet.run(SOURCE.records(replace(asked, cursor=cursor), CODEC))
        counts.append(len(fleet.statements))
        fleet.statements = []
        cursor = page.next
        if cursor is None:
            break

    assert max(counts) <= 4
    assert sum(counts) / len(counts) < 3


async def test_statements_are_made_once_for_each_shape(fleet):
    source = ListSource(select(TABLE).where(func.length(TABLE.c.label) > 1), COLUMNS)
    asked = query("created_at", "id")
    page = await fleet.run(source.records(asked, CODEC))
    fleet.statements = []

    for _ in range(3):
        page = await fleet.run(source.records(replace(asked, cursor=page.next), CODEC))

    assert len({id(question.statement) for question in fleet.statements}) == 1
