"""What a list request may do to a database: traps B10 to B21, on every driver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exists, insert, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import selectinload
from sqlalchemy.schema import CreateTable
from tests.traps.fleet import CODEC, START, Alert, Node, Org, node

from evara_core.errors import (
    ConfigurationError,
    CursorMismatchError,
    InvalidCursorError,
    InvalidInputError,
    InvalidParameterError,
)
from evara_core.query.ast import (
    AllOf,
    Compare,
    Comparison,
    Contains,
    In,
    IsNull,
    Not,
    SortKey,
)
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import (
    EQUALITY,
    ORDERING,
    TEXT_SEARCH,
    CountMode,
    Field,
    FieldType,
    ListQuery,
    ListSpec,
    Operator,
)
from evara_core.storage.includes import Related
from evara_core.storage.lists import ListSource
from evara_core.storage.statements import Query

TABLE = Node.__table__
COLUMNS = {name: TABLE.c[name] for name in TABLE.c.keys()}  # noqa: SIM118 - not a dict
SOURCE = ListSource(select(TABLE), COLUMNS)
QUERY = ListQuery(resource="nodes", sort=(SortKey("id"),), fields=("id",), limit=5)

HAS_ALERT = exists().where(Alert.node_id == Node.id, Alert.severity == "critical")
ORGS = Related(
    statement=select(Org.__table__),
    columns={
        "id": Org.__table__.c.id,
        "name": Org.__table__.c.name,
        "secret": Org.__table__.c.secret,
    },
    parent="org_id",
    child="id",
    shown=("name",),
)
ALERTS = Related(
    statement=select(Alert.__table__),
    columns={name: Alert.__table__.c[name] for name in ("node_id", "number", "severity")},
    parent="id",
    child="node_id",
    shown=("number",),
    is_many=True,
    sort=(SortKey("number", descending=True),),
    at_most=2,
    is_public=True,
)


async def ids(database, source=SOURCE, **asked):
    page = await database.run(source.records(replace(QUERY, limit=100, **asked), CODEC))
    return [row["id"] for row in page.rows]


async def alerts_of(database, *pairs):
    def flow():
        yield Query(
            insert(Alert.__table__),
            [{"node_id": one, "number": two, "severity": how} for one, two, how in pairs],
        )

    await database.run(flow())
    database.statements = []


async def test_b10_b11_a_forged_or_foreign_cursor_asks_the_database_nothing(database):
    await database.fill(*map(node, range(8)))
    page = await database.run(SOURCE.records(QUERY, CODEC))
    database.statements = []

    for cursor, asked, error in (
        ("!!!", QUERY, InvalidCursorError),
        (page.next[:-4] + "AAAA", QUERY, InvalidCursorError),
        (page.next, replace(QUERY, sort=(SortKey("id", descending=True),)), CursorMismatchError),
        (page.next, QUERY.within(Compare("org_id", Comparison.EQ, 1)), CursorMismatchError),
    ):
        with pytest.raises(error):
            await database.run(SOURCE.records(replace(asked, cursor=cursor), CODEC))
    assert database.statements == []


async def test_b12_the_page_before_is_shown_in_the_order_of_the_list(database):
    await database.fill(*map(node, range(12)))
    second = await database.run(
        SOURCE.records(
            replace(QUERY, cursor=(await database.run(SOURCE.records(QUERY, CODEC))).next), CODEC
        )
    )

    first = await database.run(SOURCE.records(replace(QUERY, cursor=second.previous), CODEC))

    assert [row["id"] for row in first.rows] == [0, 1, 2, 3, 4]
    assert (first.previous, first.next is None) == (None, False)


@pytest.mark.parametrize("mode", CountMode)
async def test_b14_counts_as_it_is_asked_to(database, mode):
    await database.fill(*map(node, range(30)))
    asked = replace(QUERY, where=Compare("id", Comparison.LT, 20), count=mode, count_cap=10)

    page = await database.run(SOURCE.records(asked, CODEC))

    match mode:
        case CountMode.NONE:
            assert page.total is None
            assert len(database.statements) == 1
        case CountMode.EXACT:
            assert (page.total.count, page.total.kind) == (20, CountMode.EXACT)
        case CountMode.CAPPED:
            assert (page.total.count, page.total.kind) == (10, CountMode.CAPPED)
        case CountMode.ESTIMATED if database.kind == "sqlite":
            assert (page.total.count, page.total.kind) == (10, CountMode.CAPPED)
        case CountMode.ESTIMATED:
            assert page.total.kind is CountMode.ESTIMATED
            assert page.total.count > 10


async def test_b14_below_the_cap_every_count_is_exact(database):
    await database.fill(*map(node, range(10)))

    for mode in (CountMode.EXACT, CountMode.CAPPED, CountMode.ESTIMATED):
        total = await database.run(SOURCE.total(replace(QUERY, count=mode, count_cap=10)))
        assert (total.count, total.kind) == (10, CountMode.EXACT)


async def test_b15_a_condition_on_many_repeats_no_row_and_counts_none_twice(database):
    await database.fill(*map(node, range(8)))
    await alerts_of(database, *((one, two, "critical") for one in (1, 3) for two in range(4)))
    await alerts_of(database, (5, 1, "info"))
    source = ListSource(select(TABLE), {**COLUMNS, "is_critical": HAS_ALERT})
    asked = {"where": Compare("is_critical", Comparison.EQ, value=True), "count": CountMode.EXACT}

    page = await database.run(source.records(replace(QUERY, **asked), CODEC))

    assert [row["id"] for row in page.rows] == [1, 3]
    assert page.total.count == 2


def test_b15_what_cannot_be_paged_is_refused_at_start():
    for statement in (select(TABLE).distinct(), select(TABLE).limit(5), select(TABLE).offset(5)):
        with pytest.raises(ConfigurationError, match="cannot be paged"):
            ListSource(statement, COLUMNS)


async def test_b16_no_character_of_a_search_is_a_wildcard(database):
    labels = ["100%", "100x", "a_b", "axb", "a\\b", "a/b", "A/B", "é", "É"]
    await database.fill(*(node(number, label=label) for number, label in enumerate(labels)))

    for text, found in {
        "%": ["100%"],
        "0%": ["100%"],
        "_": ["a_b"],
        "a_": ["a_b"],
        "\\": ["a\\b"],
        "/": ["a/b", "A/B"],
        "A/b": ["a/b", "A/B"],
        "é": ["é"],
        "": labels,
    }.items():
        seen = await ids(database, where=Contains("label", text))
        assert [labels[number] for number in seen] == found, text


async def test_b17_only_what_is_declared_can_be_asked_for(database):
    await database.fill(*map(node, range(3)))
    spec = ListSpec(name="nodes", fields=(Field(name="id", type=FieldType.INTEGER, sortable=True),))

    for params in (
        [("sort", "label")],
        [("sort", "metadata")],
        [("sort", "__class__")],
        [("sort", "id; drop table nodes")],
        [("fields", "org")],
        [("label__contains", "n")],
        [("org.secret", "s")],
    ):
        with pytest.raises(InvalidParameterError):
            parse_list_query(spec, params)
    for asked in (
        replace(QUERY, sort=(SortKey("password"),)),
        replace(QUERY, fields=("password",)),
        replace(QUERY, where=IsNull("password")),
    ):
        with pytest.raises(ConfigurationError, match="no column is declared"):
            await database.run(SOURCE.records(asked, CODEC))


SPEC = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", type=FieldType.INTEGER, operators=EQUALITY | ORDERING, sortable=True),
        Field(name="floors", type=FieldType.INTEGER, operators=EQUALITY | ORDERING),
        Field(name="label", operators=EQUALITY | TEXT_SEARCH, sortable=True),
        Field(name="battery", type=FieldType.NUMBER, operators=ORDERING | {Operator.IS_NULL}),
        Field(name="gain", type=FieldType.NUMBER, operators=EQUALITY | ORDERING),
        Field(name="price", type=FieldType.NUMBER, operators=ORDERING),
        Field(name="created_at", type=FieldType.MOMENT, operators=ORDERING),
        Field(name="local_at", type=FieldType.MOMENT, operators=ORDERING),
        Field(name="uid", type=FieldType.UUID, operators=EQUALITY),
        Field(name="status", operators=EQUALITY),
    ),
)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ([("floors", str(2**31))], []),
        ([("floors__gt", str(-(2**63)))], [0, 1, 2, 3, 4, 5]),
        ([("floors__in", f"1,{2**40}")], [1]),
        ([("id__lt", "3"), ("status", "Online")], [0, 2]),
        ([("id__not_in", "0,1")], [2, 3, 4, 5]),
        ([("label", "n03")], [3]),
        ([("label__contains", "N0")], [0, 1, 2, 3, 4, 5]),
        ([("battery__is_null", "true")], [0, 3]),
        ([("battery__gt", "0.15")], [2, 4, 5]),
        ([("battery__between", "0.2,0.4")], [2, 4]),
        ([("gain", "0.1")], [1, 5]),
        ([("gain__gt", "0.1")], [2, 3]),
        ([("price__gte", "1")], [3, 4, 5]),
        ([("created_at__gt", "2026-01-01T05:30:00+05:30")], [4, 5]),
        ([("created_at__lt", "9999-12-31")], [0, 1, 2, 3, 4, 5]),
        ([("local_at__gt", "2026-01-01T12:00:00Z")], [4, 5]),
        ([("uid", "00000010-0000-0000-0000-000000000000")], [1]),
        ([("where", "any(id=1,all(floors__gte=4,not(status=Offline)))")], [1, 4]),
        ([("page", "2"), ("limit", "2")], [2, 3]),
    ],
)
async def test_b18_every_value_that_is_let_through_reaches_every_driver(database, params, expected):
    await database.fill(*map(node, range(6)))
    asked = parse_list_query(SPEC, params)

    page = await database.run(SOURCE.records(asked, CODEC))

    assert [row["id"] for row in page.rows] == expected


async def test_b18_a_long_list_of_values_is_one_parameter_after_the_other(database):
    await database.fill(*map(node, range(6)))

    assert await ids(database, where=In("id", tuple(range(3, 3000)))) == [3, 4, 5]
    assert await ids(database, where=Not(In("id", tuple(range(3, 3000))))) == [0, 1, 2]


async def test_b18_what_a_driver_refuses_is_the_callers_mistake(database):
    await database.fill(*map(node, range(3)))
    if database.kind == "sqlite":
        return

    with pytest.raises(InvalidInputError):
        await ids(database, where=Compare("label", Comparison.EQ, "a\x00b"))


async def test_b19_only_the_columns_that_are_asked_for_are_read(database):
    await database.fill(*map(node, range(8)))
    asked = replace(QUERY, fields=("label",), sort=(SortKey("status"), SortKey("id")))

    page = await database.run(SOURCE.records(asked, CODEC))

    assert page.rows[0] == {"label": "n01"}
    (question,) = database.statements
    assert [column.name for column in question.statement.selected_columns][:1] == ["label"]
    assert len(question.statement.selected_columns) == 3


async def test_b19_nothing_is_loaded_behind_ones_back(database):
    await database.fill(*map(node, range(8)))
    source = ListSource(select(Node), {name: getattr(Node, name) for name in COLUMNS})
    asked = replace(QUERY, fields=("label",), is_sparse=True)

    def touch(page):
        first = page.rows[0]
        assert (first.id, first.label) == (0, "n00")
        for name in ("status", "org", "alerts"):
            with pytest.raises(InvalidRequestError):
                getattr(first, name)

    await database.run(source.entities(asked, CODEC), then=touch)

    assert len(database.statements) == 1


async def test_b20_an_include_costs_one_statement_whatever_the_page(database):
    await database.fill(*map(node, range(12)))
    await alerts_of(database, *((one, two, "info") for one in (1, 3) for two in range(4)))
    source = ListSource(select(TABLE), COLUMNS, includes={"org": ORGS, "alerts": ALERTS})
    asked = replace(QUERY, limit=4, includes=("org", "alerts"))
    everybody = {"org": AllOf(())}

    page = await database.run(source.records(asked, CODEC, scopes=everybody))

    assert page.rows == (
        {"id": 0, "org": None, "alerts": []},
        {"id": 1, "org": {"name": "a"}, "alerts": [{"number": 3}, {"number": 2}]},
        {"id": 2, "org": {"name": "b"}, "alerts": []},
        {"id": 3, "org": {"name": "a"}, "alerts": [{"number": 3}, {"number": 2}]},
    )
    assert len(database.statements) == 3


async def test_b20_an_include_shows_nothing_outside_the_scope(database):
    await database.fill(*map(node, range(6)))
    source = ListSource(select(TABLE), COLUMNS, includes={"org": ORGS})
    asked = replace(QUERY, includes=("org",))
    scope = {"org": Compare("name", Comparison.EQ, "a")}

    page = await database.run(source.records(asked, CODEC, scopes=scope))
    with pytest.raises(ConfigurationError, match="needs a scope"):
        await database.run(source.records(asked, CODEC))

    assert [row["org"] for row in page.rows] == [None, {"name": "a"}, None, {"name": "a"}, None]


async def test_b20_an_include_of_an_include_is_one_more_statement(database):
    await database.fill(*map(node, range(6)))
    nodes = Related(
        statement=select(TABLE),
        columns=COLUMNS,
        parent="id",
        child="org_id",
        shown=("label",),
        is_many=True,
        sort=(SortKey("id"),),
        is_public=True,
        includes={"alerts": ALERTS},
    )
    await alerts_of(database, (3, 1, "info"))
    source = ListSource(
        select(Org.__table__),
        {name: Org.__table__.c[name] for name in ("id", "name")},
        includes={"nodes": nodes},
    )
    asked = replace(QUERY, fields=("name",), includes=("nodes.alerts",))

    page = await database.run(source.records(asked, CODEC))

    assert page.rows[1] == {
        "name": "a",
        "nodes": [
            {"label": "n01", "alerts": []},
            {"label": "n03", "alerts": [{"number": 1}]},
        ],
    }
    assert len(database.statements) == 3


async def test_b20_entities_load_what_is_included_and_nothing_else(database):
    await database.fill(*map(node, range(6)))
    await alerts_of(database, (3, 1, "info"))
    source = ListSource(
        select(Node),
        {name: getattr(Node, name) for name in COLUMNS},
        loaders={"alerts": [selectinload(Node.alerts)]},
    )

    def touch(page):
        assert [len(each.alerts) for each in page.rows] == [0, 0, 0, 1, 0]
        with pytest.raises(InvalidRequestError):
            _ = page.rows[1].org
        with pytest.raises(InvalidRequestError):
            _ = page.rows[3].alerts[0].node.org

    asked = replace(QUERY, includes=("alerts",))
    await database.run(source.entities(asked, CODEC), then=touch)
    with pytest.raises(ConfigurationError, match="no loader"):
        await database.run(source.entities(replace(QUERY, includes=("org",)), CODEC))


async def test_b21_numbered_pages_are_in_a_total_order(database):
    await database.fill(*(node(number, created_at=START) for number in range(12)))
    asked = replace(QUERY, sort=(SortKey("created_at"), SortKey("id")))

    seen = []
    for number in (1, 2, 3, 4):
        page = await database.run(SOURCE.records(replace(asked, page=number), CODEC))
        seen += [row["id"] for row in page.rows]

    assert seen == list(range(12))


async def test_the_slots_of_a_plan_do_not_meet_the_values_of_a_statement(database):
    metadata = MetaData()
    odd = Table(
        "odd",
        metadata,
        *(Column(name, Integer, primary_key=name == "key_1") for name in ("key_1", "value", "key")),
    )

    def flow():
        yield Query(CreateTable(odd))
        yield Query(insert(odd), [{"key_1": n, "value": n % 2, "key": n % 3} for n in range(12)])

    await database.run(flow())
    source = ListSource(
        select(odd).where(odd.c.value == 1, odd.c.key.in_([0, 1]), odd.c.key_1 > 0),
        {name: odd.c[name] for name in ("key_1", "value", "key")},
    )
    asked = ListQuery(
        resource="odd",
        sort=(SortKey("key"), SortKey("key_1")),
        fields=("key_1",),
        limit=2,
        where=In("value", (1, 2)),
    )

    first = await database.run(source.records(asked, CODEC))
    second = await database.run(source.records(replace(asked, cursor=first.next), CODEC))

    assert [row["key_1"] for row in (*first.rows, *second.rows)] == [3, 9, 1, 7]
