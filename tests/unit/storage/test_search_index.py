"""The index that nodes are searched by, as the migration makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from evara_core.access.tenancy import Tenancy
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import NodeRecord, add_distributor, add_nodes
from evara_core.storage.nodes import node_list
from evara_core.storage.reference.nodes import NODES
from evara_core.storage.search import has_trigrams
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.models import Node
from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CODEC = CursorCodec(keys=[b"k" * 32])
AT = ManualClock().now()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    engine = engine_for(request.getfixturevalue(f"{request.param}_database_url"))
    records = [
        NodeRecord(
            node=Node(
                node_id=f"n-{label}",
                label=label,
                kind="tank",
                category="OHT",
                tenancy=Tenancy(distributor_id="d"),
            ),
            created_at=AT,
        )
        for label in ("Bakul OHT-01", "Harbour 100%")
    ]
    async with AsyncUnit(engine) as unit:
        await unit.run(add_distributor("d", "D", created_at=AT))
        await unit.run(add_nodes(records, dialect=engine.dialect.name))
    yield engine
    await engine.dispose()


async def found(engine: Any, words: str) -> list[str]:
    query = parse_list_query(NODES, [("search", words), ("sort", "label")])
    async with AsyncUnit(engine, reads_only=True) as unit:
        page = await unit.run(node_list().records(query, CODEC))
    return [row["label"] for row in page.rows]


async def test_it_follows_what_is_put_in_renamed_and_taken_away(engine: Any) -> None:
    renamed = nodes.update().where(nodes.c.node_id == "n-Bakul OHT-01").values(label="Old Town")
    before = await found(engine, "bakul")
    async with AsyncUnit(engine) as unit:
        await unit.run(_do(renamed))
    after = await found(engine, "bakul"), await found(engine, "old town")
    async with AsyncUnit(engine) as unit:
        await unit.run(_do(nodes.delete()))

    assert before == ["Bakul OHT-01"]
    assert after == ([], ["Old Town"])
    assert await found(engine, "%") == []
    assert await found(engine, "old") == []


async def test_it_finds_a_row_of_the_index_by_its_number(sqlite_database_url: str) -> None:
    engine = engine_for(sqlite_database_url)
    async with engine.connect() as connection:
        asked = text("EXPLAIN QUERY PLAN DELETE FROM nodes_search WHERE rowid = 1")
        plan = str((await connection.execute(asked)).all())
        can = await connection.run_sync(has_trigrams)
    await engine.dispose()

    assert "VIRTUAL TABLE INDEX 0:=" in plan
    assert can


def _do(statement: Any) -> Any:
    yield Query(statement)
