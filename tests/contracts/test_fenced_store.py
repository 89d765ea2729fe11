"""What SQL makes of a fence: who does not hold a shard's lease stores nothing of its nodes."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from evara_core.clock import SystemClock
from evara_core.errors import LeaseLostError
from evara_core.monitor.shards import shard_number, shard_of
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.shards import SqlShardStore
from evara_core.storage.tables import outbox, readings
from evara_core.storage.units import AsyncUnit
from evara_core.testing.conformance.stores import ONLINE, message, update
from evara_core.testing.samples import START, mapping_for, reading, tank

SHARDS = 4
NODES = ("tank-1", "tank-2", "größe-3", "tank-4", "back\\slash")


def put_fleet(dialect):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    yield from add_nodes(
        [
            NodeRecord(node=tank(node_id), created_at=START, mapping=mapping_for(channel))
            for channel, node_id in enumerate(NODES, 1)
        ],
        dialect=dialect,
    )


@pytest.fixture
async def store(engine):
    async with AsyncUnit(engine) as unit:
        await unit.run(put_fleet(engine.dialect.name))
    return SqlIngestStore(engine)


@pytest.fixture
async def shards(engine):
    shards = SqlShardStore(engine, clock=SystemClock())
    await shards.join(shards=SHARDS)
    return shards


def found():
    return update(readings=(reading(),), state=ONLINE, messages=(message("m-1"),))


async def stored(engine):
    async with engine.connect() as connection:
        return [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (readings, outbox)
        ]


async def leases_of(shards, holder, ttl_s=600):
    claimed = await shards.claim(holder=holder, ttl_s=ttl_s, most=SHARDS)
    return {shard_number(lease): lease for lease in claimed}


async def test_the_holder_stores(engine, store, shards) -> None:
    shard = shard_of("tank-1", shards=SHARDS)
    leases = await leases_of(shards, "a")

    report = await store.ingest_under([found()], {shard: leases[shard]})

    assert report.stored == 1
    assert await stored(engine) == [1, 1]


async def test_nothing_is_stored_under_a_lease_that_another_has(engine, store, shards) -> None:
    shard = shard_of("tank-1", shards=SHARDS)
    old = await leases_of(shards, "a")
    await shards.leave("a")
    await leases_of(shards, "b")

    with pytest.raises(LeaseLostError) as refused:
        await store.ingest_under([found()], {shard: old[shard]})

    assert refused.value.name == old[shard].name
    assert await stored(engine) == [0, 0]


async def test_nothing_is_stored_under_a_lease_that_was_given_back(engine, store, shards) -> None:
    shard = shard_of("tank-1", shards=SHARDS)
    old = await leases_of(shards, "a")
    await shards.release([old[shard]])

    with pytest.raises(LeaseLostError):
        await store.ingest_under([found()], {shard: old[shard]})

    assert await stored(engine) == [0, 0]


async def test_one_lost_lease_refuses_all_that_is_stored_with_it(engine, store, shards) -> None:
    old = await leases_of(shards, "a")
    lost = next(n for n in range(SHARDS) if n != shard_of("tank-1", shards=SHARDS))
    await shards.release([old[lost]])

    with pytest.raises(LeaseLostError):
        await store.ingest_under([found()], old)

    assert await stored(engine) == [0, 0]


async def test_the_database_counts_shards_as_we_do(store) -> None:
    by_shard = {
        shard: {one.node.node_id for one in await store.watched_in([shard], of=SHARDS)}
        for shard in range(SHARDS)
    }

    assert by_shard == {
        shard: {node_id for node_id in NODES if shard_of(node_id, shards=SHARDS) == shard}
        for shard in range(SHARDS)
    }
    assert await store.watched_in((), of=SHARDS) == ()
