"""Whoever walks a list page by page sees exactly the list, whatever the order, on every backend."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    insert,
    select,
)

from evara_core.query.ast import (
    ALWAYS,
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Contains,
    In,
    IsNull,
    Not,
    SortKey,
)
from evara_core.query.cursor import CursorCodec
from evara_core.query.paging import last_page_cursor, page_of
from evara_core.query.predicate import compile_predicate
from evara_core.query.spec import CountMode, ListQuery
from evara_core.storage.lists import ListSource
from evara_core.storage.statements import Query
from evara_core.storage.types import UtcDateTime
from evara_core.storage.units import Unit

CODEC = CursorCodec(keys=[b"k" * 32])
START = datetime(2026, 1, 1, tzinfo=UTC)

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column(
        "status", String(20).with_variant(String(20, collation="C"), "postgresql"), nullable=False
    ),
    Column("label", String(20).with_variant(String(20, collation="C"), "postgresql")),
    Column("level", Integer),
    Column("made_at", UtcDateTime, nullable=False),
)
NAMES = ("id", "status", "label", "level", "made_at")
SOURCE = ListSource(select(THINGS), {name: THINGS.c[name] for name in NAMES})

texts = st.sampled_from(["", "a", "A", "b%", "b_", "ab", "é", "\\", "/"])
levels = st.integers(-2, 2)
moments = st.integers(0, 3).map(lambda n: START + timedelta(microseconds=n))

records = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["Online", "Offline"]),
            "label": st.none() | texts,
            "level": st.none() | levels,
            "made_at": moments,
        }
    ),
    max_size=16,
).map(lambda rows: [{"id": number, **row} for number, row in enumerate(rows)])

comparisons = st.sampled_from(Comparison)
leaves = st.one_of(
    st.builds(Compare, st.just("level"), comparisons, levels),
    st.builds(Compare, st.just("label"), comparisons, texts),
    st.builds(Compare, st.just("made_at"), comparisons, moments),
    st.builds(In, st.just("level"), st.lists(levels, max_size=3).map(tuple)),
    st.builds(In, st.just("label"), st.lists(texts, max_size=3).map(tuple)),
    st.builds(IsNull, st.sampled_from(["label", "level", "status"])),
    st.builds(
        Contains,
        st.sampled_from(["label", "status"]),
        st.sampled_from(["a", "N", "%", "_", "\\", "/", ""]),
    ),
)
conditions = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(AllOf, st.lists(parts, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=5,
)
orders = st.lists(
    st.builds(SortKey, st.sampled_from(NAMES), st.booleans()),
    max_size=4,
    unique_by=lambda key: key.field,
).map(lambda keys: (*keys, SortKey("id")) if all(k.field != "id" for k in keys) else tuple(keys))
queries = st.builds(
    ListQuery,
    resource=st.just("things"),
    where=st.just(ALWAYS) | conditions,
    sort=orders,
    fields=st.just(NAMES) | st.just(("label",)),
    limit=st.integers(1, 6),
    count=st.just(CountMode.EXACT),
)


def expected(rows, query):
    """The list as SQL defines it, without any of the code under test but the predicate."""

    def compare(one, other):
        for key in query.sort:
            a, b = one[key.field], other[key.field]
            if a == b:
                continue
            smaller = b is None or (a is not None and a < b)
            return -1 if smaller is not key.descending else 1
        return 0

    holds = compile_predicate(query.condition)
    return sorted((row for row in rows if holds(row)), key=cmp_to_key(compare))


def walk(fetch, query, *, backward):
    cursor = last_page_cursor(query, CODEC) if backward else None
    seen = []
    while True:
        page = fetch(replace(query, cursor=cursor))
        assert len(page.rows) <= query.limit
        seen = [*page.rows, *seen] if backward else [*seen, *page.rows]
        cursor = page.previous if backward else page.next
        if cursor is None:
            return seen
        assert len(page.rows) == query.limit


def shown(rows, query):
    return [{name: row[name] for name in query.fields} for row in rows]


def check_walks(fetch, rows, query):
    wanted = shown(expected(rows, query), query)

    assert shown(walk(fetch, query, backward=False), query) == wanted
    assert shown(walk(fetch, query, backward=True), query) == wanted
    assert fetch(query).total.count == len(wanted)


def check_steps_back(fetch, query):
    """From the second page, the page before is the first page again."""
    first = fetch(query)
    if first.next is None:
        return
    second = fetch(replace(query, cursor=first.next))

    again = fetch(replace(query, cursor=second.previous))

    assert list(again.rows) == list(first.rows)
    assert again.previous is None
    assert again.next is not None


@given(records, queries)
def test_on_a_list_in_memory(rows, query):
    def fetch(query):
        return page_of(rows, query, CODEC)

    check_walks(fetch, rows, query)
    check_steps_back(fetch, query)


@pytest.fixture
def sqlite():
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_url):
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def check_database(engine, rows, query):
    with Unit(engine) as unit:
        unit.run(fill(rows))

        def fetch(query):
            return unit.run(SOURCE.records(query, CODEC))

        check_walks(fetch, rows, query)
        check_steps_back(fetch, query)


def fill(rows):
    yield Query(delete(THINGS))
    if rows:
        yield Query(insert(THINGS), rows)


@given(records, queries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_on_sqlite(sqlite, rows, query):
    check_database(sqlite, rows, query)


@pytest.mark.server
@given(records, queries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_on_postgres(postgres, rows, query):
    check_database(postgres, rows, query)
