"""Orders in which rows are easily lost: traps B1 to B9 of paging, on every driver."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import delete, func, select
from tests.traps.fleet import CODEC, START, Alert, Mood, Node, Org, node

from evara_core.query.ast import Compare, Comparison, SortKey
from evara_core.query.paging import last_page_cursor, sort_records
from evara_core.query.spec import ListQuery
from evara_core.storage.lists import ListSource
from evara_core.storage.statements import Query

COLUMNS = {name: Node.__table__.c[name] for name in Node.__table__.c.keys()}  # noqa: SIM118 - not a dict
SOURCE = ListSource(select(Node.__table__), COLUMNS)
NAMES = tuple(COLUMNS)


def query(*sort, limit=5, **more):
    keys = tuple(SortKey(name.lstrip("-"), descending=name.startswith("-")) for name in sort)
    return ListQuery(resource="nodes", sort=keys, fields=NAMES, limit=limit, **more)


async def walk(database, asked, *, backward=False, source=SOURCE):
    """All pages of *asked*, one after the other, as they come."""
    cursor = last_page_cursor(asked, CODEC) if backward else None
    pages = []
    while True:
        page = await database.run(source.records(replace(asked, cursor=cursor), CODEC))
        pages.append(page)
        cursor = page.previous if backward else page.next
        if cursor is None:
            return pages[::-1] if backward else pages


def ids(pages):
    return [row["id"] for page in pages for row in page.rows]


async def check(database, asked, expected):
    assert ids(await walk(database, asked)) == expected
    assert ids(await walk(database, asked, backward=True)) == expected


async def test_b1_rows_that_share_a_moment_are_all_seen(database):
    await database.fill(*(node(number, created_at=START) for number in range(12)))

    await check(database, query("created_at", "id"), list(range(12)))
    await check(database, query("-created_at", "-id"), list(range(11, -1, -1)))


async def test_b1_a_key_of_two_columns_completes_an_order(database):
    await database.fill(node(1), node(2))
    keys = [(node_id, number) for node_id in (1, 2) for number in range(4)]
    await database.fill(
        *({"node_id": one, "number": other, "severity": "info"} for one, other in keys),
        table=Alert,
    )
    columns = {name: Alert.__table__.c[name] for name in ("node_id", "number", "severity")}
    asked = replace(query("severity", "node_id", "number", limit=3), fields=tuple(columns))
    source = ListSource(select(Alert.__table__), columns)

    pages = await walk(database, asked, source=source)

    assert [(row["node_id"], row["number"]) for page in pages for row in page.rows] == keys


async def test_b2_a_page_that_is_exactly_full_is_the_last_one(database):
    await database.fill(*map(node, range(10)))

    pages = await walk(database, query("id"))

    assert [len(page.rows) for page in pages] == [5, 5]


async def test_b3_missing_values_count_as_the_largest(database):
    rows = [node(number, battery=None if number % 3 == 0 else number // 4) for number in range(16)]
    await database.fill(*rows)

    for sort in (("battery", "id"), ("-battery", "-id"), ("battery", "-id"), ("-battery", "id")):
        asked = query(*sort, limit=3)
        await check(database, asked, [row["id"] for row in sort_records(rows, asked.sort)])


SORTS = [
    ("label", "id"),
    ("-label", "-id"),
    ("status", "created_at", "id"),
    ("status", "-created_at", "id"),
    ("-status", "battery", "-label", "id"),
    ("gain", "id"),
    ("-gain", "-id"),
    ("gain", "-battery", "id"),
    ("price", "id"),
    ("-price", "label", "id"),
    ("created_at", "id"),
    ("local_at", "-id"),
    ("uid", "id"),
    ("-uid", "-id"),
    ("floors", "-total", "id"),
    ("total", "id"),
    ("org_id", "-created_at", "id"),
]


async def test_b5_to_b9_keys_of_every_type_come_back_as_they_went_out(database):
    rows = list(map(node, range(23)))
    await database.fill(*rows)

    for sort in SORTS:
        asked = query(*sort, limit=3)
        await check(database, asked, [row["id"] for row in sort_records(rows, asked.sort)])


async def test_b6_floats_come_back_to_the_last_bit(database):
    values = [0.1, 5e-324, -1e308, 1e308, 0.1 + 0.2, -0.0, 1 / 3]
    await database.fill(*(node(number, battery=value) for number, value in enumerate(values)))
    ordered = sorted(range(len(values)), key=lambda number: (values[number], number))

    await check(database, query("battery", "id", limit=1), ordered)


async def test_b6_not_a_number_does_not_break_a_walk(database):
    await database.fill(
        *(node(number, battery=float("nan")) for number in range(3)), node(3), node(4)
    )

    # PostgreSQL sorts it above all numbers, SQLite stores it as missing; node 3 has no battery.
    await check(database, query("battery", "id", limit=1), [4, 0, 1, 2, 3])


async def test_b6_whole_numbers_beyond_those_of_javascript_are_kept(database):
    await database.fill(*(node(number, total=2**63 - 5 + number) for number in range(4)))

    await check(database, query("total", "id", limit=1), [0, 1, 2, 3])


async def test_b7_moments_are_told_apart_by_microseconds(database):
    await database.fill(*map(node, range(12)))

    pages = await walk(database, query("-created_at", "-id", limit=1))

    assert ids(pages) == list(range(11, -1, -1))
    assert {row["created_at"].tzinfo for page in pages for row in page.rows} == {START.tzinfo}


async def test_b7_a_filter_by_moment_holds_in_columns_with_and_without_a_zone(database):
    await database.fill(*map(node, range(12)))

    for name, moment in (("created_at", START), ("local_at", START.replace(hour=12))):
        later = Compare(name, Comparison.GT, moment)
        assert ids(await walk(database, query("id", where=later))) == list(range(4, 12))


async def test_b8_an_order_and_its_continuation_use_the_same_collation(database):
    labels = ["a", "A", "b", "B", "a", "Z", "z"]
    await database.fill(*(node(number, label=label) for number, label in enumerate(labels)))
    # Folded in SQL, never in Python.
    folded = ListSource(
        select(Node.__table__), {**COLUMNS, "label": func.lower(Node.__table__.c.label)}
    )
    ordered = sorted(range(len(labels)), key=lambda number: (labels[number].lower(), number))

    pages = await walk(database, query("label", "id", limit=2), source=folded)

    assert ids(pages) == ordered


async def test_b8_an_enumeration_is_ordered_as_the_database_has_it(database):
    await database.fill(*map(node, range(12)))
    asked = query("mood", "id", limit=2)

    pages = await walk(database, asked)

    # PostgreSQL: as declared. SQLite: by name.
    order = (
        list(Mood) if database.kind == "postgresql" else sorted(Mood, key=lambda mood: mood.name)
    )
    moods = {number: list(Mood)[number % 3] for number in range(12)}
    assert ids(pages) == sorted(range(12), key=lambda number: (order.index(moods[number]), number))
    assert ids(await walk(database, asked, backward=True)) == ids(pages)


async def test_b8_long_text_is_carried_or_refused_in_words(database):
    await database.fill(*(node(number, label="x" * 500 + str(number)) for number in range(3)))

    await check(database, query("label", "id", limit=1), [0, 1, 2])


async def test_b13_a_row_that_was_deleted_is_still_a_place_to_go_on_from(database):
    await database.fill(*map(node, range(8)))
    first = await database.run(SOURCE.records(query("id"), CODEC))

    def forget():
        yield Query(delete(Node).where(Node.id == 4))

    await database.run(forget())
    second = await database.run(SOURCE.records(query("id", cursor=first.next), CODEC))

    assert [row["id"] for row in second.rows] == [5, 6, 7]


async def test_b15_a_column_that_an_outer_join_makes_optional_may_be_missing(database):
    rows = list(map(node, range(12)))
    await database.fill(*rows)
    names = {1: "b", 2: "a", None: None}
    joined = ListSource(
        select(Node.__table__).outerjoin(Org.__table__),
        {**COLUMNS, "org_name": Org.__table__.c.name},
    )
    told = [{**row, "org_name": names[row["org_id"]]} for row in rows]

    for sort in (("org_name", "id"), ("-org_name", "-id")):
        asked = query(*sort, limit=2)
        expected = [row["id"] for row in sort_records(told, asked.sort)]
        assert ids(await walk(database, asked, source=joined)) == expected
        assert ids(await walk(database, asked, source=joined, backward=True)) == expected


async def test_groups_are_paged_like_rows(database):
    await database.fill(*map(node, range(12)))
    columns = {"floors": Node.__table__.c.floors, "many": func.count().label("many")}
    grouped = ListSource(select(*columns.values()).group_by(Node.__table__.c.floors), columns)
    asked = replace(query("-many", "floors", limit=2), fields=("floors", "many"))

    pages = await walk(database, asked, source=grouped)

    assert [(row["floors"], row["many"]) for page in pages for row in page.rows] == [
        (0, 3),
        (1, 3),
        (2, 2),
        (3, 2),
        (4, 2),
    ]


async def test_rows_and_entities_come_in_the_same_pages_as_records(database):
    await database.fill(*map(node, range(12)))
    asked = query("-battery", "label", "id")
    narrow = ListSource(select(Node.__table__.c.id, Node.__table__.c.status), COLUMNS)
    entities = ListSource(select(Node), {name: getattr(Node, name) for name in COLUMNS})
    expected = ids(await walk(database, asked))

    cursor, seen, entity_ids, last = None, [], [], None
    while True:
        page = await database.run(narrow.rows(replace(asked, cursor=cursor), CODEC))
        again = await database.run(entities.entities(replace(asked, cursor=cursor), CODEC))
        seen += [row.id for row in page.rows]
        entity_ids += [entity.id for entity in again.rows]
        last = page
        cursor = page.next
        assert page.next == again.next
        if cursor is None:
            break

    assert seen == entity_ids == expected
    assert last.rows[0]._fields == ("id", "status")
