"""The materialised view refreshes concurrently: not in its definition, but in fact."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from evara_core.query.ast import ALWAYS
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.migrate import difference, migrate
from evara_core.storage.statements import Query
from evara_core.storage.stats_view import (
    STATS_VIEW,
    drop_stats_view,
    make_stats_view,
    refresh_stats_view,
)
from evara_core.storage.units import AsyncUnit
from evara_core.storage.upkeep import remove_node
from evara_core.testing.samples import START, tank

pytestmark = pytest.mark.server


def fleet():
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    records = [NodeRecord(node=tank(f"tank-{n}"), created_at=START) for n in range(3)]
    yield from add_nodes(records, dialect="postgresql")


def read():
    answer = yield Query(text(f"SELECT sum(value) FROM {STATS_VIEW}"))
    return int(answer.rows[0][0])


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


@pytest.fixture
async def viewed(postgres_url):
    engine = engine_for(postgres_url)
    await migrate(engine)
    await run(engine, fleet())
    await run(engine, make_stats_view())
    yield engine
    await engine.dispose()


async def counts(engine):
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(f"SELECT name, sum(value) FROM {STATS_VIEW} GROUP BY 1")
        )
        return {row[0]: int(row[1]) for row in rows}


async def test_counts_what_the_counters_count(viewed):
    stats = await run(viewed, dashboard_stats(ALWAYS))

    assert await counts(viewed) == {
        f"status:{status}": number for status, number in stats.nodes_by_status.items()
    }


async def test_refreshes_while_somebody_reads(viewed):
    async with AsyncUnit(viewed, reads_only=True) as reader:
        assert await reader.run(read()) == 3
        await run(viewed, remove_node("tank-0", dialect="postgresql"))

        await run(viewed, refresh_stats_view())

        assert await reader.run(read()) == 3
    assert await counts(viewed) == {"status:provisioning": 2}


async def test_making_it_twice_is_no_error_and_migrations_do_not_mind_it(viewed):
    await run(viewed, make_stats_view())

    async with viewed.connect() as connection:
        assert await connection.run_sync(difference) == []
    await run(viewed, drop_stats_view())
    await run(viewed, drop_stats_view())
