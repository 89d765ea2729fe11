"""Batches, written on SQLite and PostgreSQL, blocking and awaited."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, UniqueConstraint, select

from evara_core.api.batch import BatchSpec, Operation, batch_reply, parse_batch
from evara_core.api.bodies import Writable
from evara_core.api.conditional import version_etag
from evara_core.errors import InvalidItemsError
from evara_core.flow import run
from evara_core.query.ast import Compare, Comparison
from evara_core.query.spec import Field, FieldType
from evara_core.storage.batch import BatchWriter
from evara_core.storage.engine import blocking_engine_for, engine_for
from evara_core.storage.statements import Query
from evara_core.storage.units import AsyncUnit, Unit

METADATA = MetaData()
NODES = Table(
    "batch_nodes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("height", Integer),
    Column("owner", String(10), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    UniqueConstraint("label"),
)
COLUMNS = {
    "id": NODES.c.id,
    "label": NODES.c.label,
    "height_cm": NODES.c.height,
    "owner": NODES.c.owner,
}
SPEC = BatchSpec(
    name="node",
    writables=(
        Writable(field=Field(name="label"), is_required=True),
        Writable(field=Field(name="height_cm", type=FieldType.INTEGER), is_nullable=True),
        Writable(field=Field(name="owner")),
    ),
    key=Writable(field=Field(name="id", type=FieldType.INTEGER)),
)
MINE = Compare("owner", Comparison.EQ, "asha")


def etag(record):
    return version_etag(record["id"], record["label"])


WRITER = BatchWriter(SPEC, NODES, COLUMNS, shown=("id", "label", "height_cm"), etag=etag)


class Blocking:
    def __init__(self, url):
        self.engine = blocking_engine_for(url)

    async def run(self, flow):
        with Unit(self.engine) as unit:
            return unit.run(flow)

    async def close(self):
        self.engine.dispose()


class Awaited:
    def __init__(self, url):
        self.engine = engine_for(url)

    async def run(self, flow):
        async with AsyncUnit(self.engine) as unit:
            return await unit.run(flow)

    async def close(self):
        await self.engine.dispose()


@pytest.fixture(
    params=[
        "sqlite-blocking",
        "sqlite-awaited",
        pytest.param("postgres-blocking", marks=pytest.mark.server),
        pytest.param("postgres-awaited", marks=pytest.mark.server),
    ]
)
async def database(request, tmp_path):
    kind, way = request.param.split("-")
    url = f"sqlite:///{tmp_path}/b.db"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    made = blocking_engine_for(url)
    METADATA.create_all(made)
    made.dispose()
    opened = Blocking(url) if way == "blocking" else Awaited(url)
    yield opened
    await opened.close()


async def send(database, operation, *items, scope=MINE, statements=None, **more):
    batch = parse_batch(SPEC, operation, {"items": list(items), **more})
    flow = WRITER.write(batch, scope=scope, complete=lambda item: {"owner": "asha", **item})
    if statements is not None:
        flow = counted(flow, statements)
    return batch_reply(batch, await database.run(flow))


def counted(flow, statements):
    """Let *flow* through, noting what it asks."""
    answer = None
    try:
        question = next(flow)
        while True:
            statements.append(str(question.statement).split()[0])
            try:
                answer = yield question
            except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                question = flow.throw(error)
            else:
                question = flow.send(answer)
    except StopIteration as end:
        return end.value


async def stored(database):
    def read():
        answer = yield Query(select(NODES.c.id, NODES.c.label, NODES.c.height).order_by(NODES.c.id))
        return [tuple(row) for row in answer.rows]

    return await database.run(read())


async def refused(call):
    with pytest.raises(InvalidItemsError) as caught:
        await call
    return [(index, error.code) for index, error in caught.value.items]


async def test_creates_in_one_statement_and_answers_in_order(database):
    statements = []

    reply = await send(
        database,
        Operation.CREATE,
        {"label": "b", "height_cm": 3},
        {"label": "a", "height_cm": None},
        {"label": "c", "height_cm": 1},
        statements=statements,
    )

    assert [each["label"] for each in reply.data] == ["b", "a", "c"]
    assert await stored(database) == [(1, "b", 3), (2, "a", None), (3, "c", 1)]
    assert statements == ["SAVEPOINT", "INSERT", "RELEASE"]


async def test_items_with_other_members_need_one_more_statement(database):
    statements = []

    reply = await send(
        database,
        Operation.CREATE,
        {"label": "a"},
        {"label": "b", "height_cm": 3},
        {"label": "c"},
        statements=statements,
    )

    assert [each["label"] for each in reply.data] == ["a", "b", "c"]
    assert statements.count("INSERT") == 2


async def test_one_bad_item_refuses_an_atomic_batch(database):
    await send(database, Operation.CREATE, {"label": "taken"})

    found = await refused(
        send(database, Operation.CREATE, {"label": "a"}, {"label": "taken"}, {"label": "a"})
    )

    assert found == [(1, "CONFLICT"), (2, "CONFLICT")]
    assert [label for _, label, _ in await stored(database)] == ["taken"]


async def test_a_partial_batch_stores_what_is_good(database):
    await send(database, Operation.CREATE, {"label": "taken"})

    reply = await send(
        database,
        Operation.CREATE,
        *({"label": label} for label in ("a", "taken", "b", "a", "c")),
        mode="partial",
    )

    assert [each["status"] for each in reply.data] == [201, 409, 201, 409, 201]
    assert {label for _, label, _ in await stored(database)} == {"taken", "a", "b", "c"}


async def test_what_the_database_says_is_not_shown(database):
    await send(database, Operation.CREATE, {"label": "taken"})

    reply = await send(database, Operation.CREATE, {"label": "taken"}, mode="partial")

    assert "batch_nodes" not in str(reply.data)


async def test_updates_in_a_fixed_number_of_statements(database):
    await send(database, Operation.CREATE, *({"label": label} for label in "abcdef"))
    statements = []

    reply = await send(
        database,
        Operation.UPDATE,
        *({"id": number, "height_cm": number} for number in (5, 1, 3)),
        statements=statements,
    )

    assert reply.data == [
        {"id": 5, "label": "e", "height_cm": 5},
        {"id": 1, "label": "a", "height_cm": 1},
        {"id": 3, "label": "c", "height_cm": 3},
    ]
    assert statements == ["SELECT", "SAVEPOINT", "UPDATE", "RELEASE", "SELECT"]


async def test_a_missing_record_is_reported(database):
    await send(database, Operation.CREATE, {"label": "a"})

    assert await refused(
        send(database, Operation.UPDATE, {"id": 1, "label": "b"}, {"id": 9, "label": "c"})
    ) == [(1, "NOT_FOUND")]
    assert await refused(send(database, Operation.DELETE, {"id": 9}, {"id": 1})) == [
        (0, "NOT_FOUND")
    ]
    assert await stored(database) == [(1, "a", None)]


async def test_deleting_what_is_not_there_may_be_no_error(database):
    await send(database, Operation.CREATE, {"label": "a"}, {"label": "b"})

    reply = await send(database, Operation.DELETE, {"id": 9}, {"id": 1}, missing="ignore")

    assert reply.data == [None, None]
    assert await stored(database) == [(2, "b", None)]


async def test_a_conflict_in_an_update_is_found(database):
    await send(database, Operation.CREATE, *({"label": label} for label in "abc"))

    assert await refused(
        send(database, Operation.UPDATE, {"id": 1, "label": "x"}, {"id": 2, "label": "c"})
    ) == [(1, "CONFLICT")]
    reply = await send(
        database,
        Operation.UPDATE,
        {"id": 1, "label": "x"},
        {"id": 2, "label": "c"},
        mode="partial",
    )

    assert [each["status"] for each in reply.data] == [200, 409]
    assert [label for _, label, _ in await stored(database)] == ["x", "b", "c"]


async def test_an_update_of_another_state_is_refused(database):
    await send(database, Operation.CREATE, {"label": "a"}, {"label": "b"})
    known = etag({"id": 1, "label": "a"})

    assert await refused(
        send(
            database,
            Operation.UPDATE,
            {"id": 1, "height_cm": 1, "etag": known},
            {"id": 2, "height_cm": 1, "etag": known},
        )
    ) == [(1, "PRECONDITION_FAILED")]


async def test_nothing_is_made_seen_or_moved_outside_the_scope(database):
    theirs = Compare("owner", Comparison.EQ, "ravi")
    await send(database, Operation.CREATE, {"label": "a"})

    assert await refused(send(database, Operation.CREATE, {"label": "b", "owner": "ravi"})) == [
        (0, "FORBIDDEN")
    ]
    assert await refused(send(database, Operation.UPDATE, {"id": 1, "owner": "ravi"})) == [
        (0, "FORBIDDEN")
    ]
    for operation, item in (
        (Operation.UPDATE, {"id": 1, "label": "x"}),
        (Operation.DELETE, {"id": 1}),
    ):
        assert await refused(send(database, operation, item, scope=theirs)) == [(0, "NOT_FOUND")]
    assert await stored(database) == [(1, "a", None)]


async def test_a_value_beyond_the_column_is_the_items_own_fault(database):
    reply = await send(
        database,
        Operation.CREATE,
        {"label": "a", "height_cm": 1},
        {"label": "b", "height_cm": 2**62},
        mode="partial",
    )

    # SQLite has no integers of 32 bits.
    assert [each["status"] for each in reply.data] in ([201, 400], [201, 201])


def test_a_batch_of_nothing_good_asks_nothing():
    batch = parse_batch(SPEC, Operation.CREATE, {"items": [{}], "mode": "partial"})

    assert run(WRITER.write(batch), pytest.fail) == []


async def test_a_failure_that_was_undone_does_not_fail_the_unit(database):
    reply = await send(database, Operation.CREATE, {"label": "a"}, {"label": "a"}, mode="partial")

    assert [each["status"] for each in reply.data] == [201, 409]
    assert [label for _, label, _ in await stored(database)] == ["a"]
