"""A search finds the same with and without an index, on every database."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    select,
    text,
    update,
)

from evara_core.query.ast import SortKey
from evara_core.query.cursor import CursorCodec
from evara_core.query.paging import page_of
from evara_core.query.spec import CountMode, ListQuery
from evara_core.storage.lists import ListSource
from evara_core.storage.search import SearchIndex, postgresql_search_ddl, sqlite_search_ddl
from evara_core.storage.statements import Query
from evara_core.storage.units import Unit

METADATA = MetaData()
PLACES = Table(
    "places",
    METADATA,
    Column("id", String(10), primary_key=True),
    Column("label", Text, nullable=False),
    Column("location_name", Text),
    Column("floors", Integer, nullable=False),
)
NAMES = ("label", "location_name")
INDEXED = ListSource(
    select(PLACES),
    {column.name: column for column in PLACES.c},
    search=SearchIndex(key=PLACES.c.id, name="places_search"),
)
CODEC = CursorCodec(keys=[b"k" * 32])

words = st.text('abcBCé%_"\\/-*', min_size=1, max_size=5)
texts = st.text('abcBCÉé%_"\\/-* ', max_size=12)
records = st.lists(
    st.fixed_dictionaries({"label": texts, "location_name": st.none() | texts}), max_size=8
).map(lambda rows: [{"id": str(number), "floors": 1, **row} for number, row in enumerate(rows)])


def query(*searched, **more):
    return ListQuery(
        resource="places",
        sort=(SortKey("id"),),
        fields=("id",),
        limit=100,
        search=searched,
        search_fields=NAMES,
        **more,
    )


@pytest.fixture
def sqlite():
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for statement in sqlite_search_ddl(PLACES, NAMES):
            connection.execute(text(statement))
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_url):
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for statement in postgresql_search_ddl(PLACES, NAMES):
            connection.execute(text(statement))
    yield engine
    engine.dispose()


def found(engine, asked, *changes):
    def flow():
        for change in changes:
            _ = yield change
        return (yield from INDEXED.records(asked, CODEC))

    with Unit(engine) as unit:
        page = unit.run(flow())
    assert page.total is None or page.total.count == len(page.rows)
    return [row["id"] for row in page.rows]


def filled(rows):
    yield Query(delete(PLACES))
    if rows:
        yield Query(insert(PLACES), rows)


def check(engine, rows, searched):
    asked = query(*searched, count=CountMode.EXACT)
    expected = [row["id"] for row in page_of(rows, asked, CODEC).rows]

    assert found(engine, asked, *filled(rows)) == expected


fast = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(records, st.lists(words, min_size=1, max_size=3))
@fast
def test_on_sqlite(sqlite, rows, searched):
    check(sqlite, rows, searched)


@pytest.mark.server
@given(records, st.lists(words, min_size=1, max_size=3))
@fast
def test_on_postgres(postgres, rows, searched):
    check(postgres, rows, searched)


def test_the_index_follows_what_changes(sqlite):
    rows = [
        {"id": str(number), "label": "Bakul", "location_name": None, "floors": 1}
        for number in range(4)
    ]
    found(sqlite, query(), *filled(rows))

    seen = found(
        sqlite,
        query("bakul"),
        Query(update(PLACES).where(PLACES.c.id == "1").values(label="Kadamba")),
        Query(delete(PLACES).where(PLACES.c.id == "2")),
    )

    assert seen == ["0", "3"]
    assert found(sqlite, query("kada")) == ["1"]


def test_sqlite_looks_long_words_up(sqlite):
    statements = []
    event.listen(sqlite, "before_cursor_execute", lambda *args: statements.append(args[2]))

    found(sqlite, query("bakul", "ab"))

    (statement,) = (each for each in statements if "FROM places" in each)
    assert statement.count("MATCH") == 1


@pytest.mark.server
def test_postgres_uses_its_index(postgres):
    rows = [
        {"id": str(number), "label": f"node {number}", "location_name": None, "floors": 1}
        for number in range(300)
    ]
    found(postgres, query(), *filled(rows))
    asked = "EXPLAIN SELECT id FROM places WHERE ((label) COLLATE \"C\" ILIKE '%e 297%' ESCAPE '/')"

    with postgres.begin() as connection:
        connection.execute(text("ANALYZE places"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # it is a small table
        plan = "\n".join(row[0] for row in connection.execute(text(asked)))

    assert "ix_places_label_search" in plan
