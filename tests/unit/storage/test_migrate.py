from __future__ import annotations

import anyio
import pytest
from sqlalchemy import inspect, text

from evara_core.errors import ConflictError
from evara_core.storage.engine import engine_for
from evara_core.storage.migrate import current_revision, difference, migrate
from evara_core.storage.statements import Query
from evara_core.storage.tables import metadata
from evara_core.storage.units import AsyncUnit

FIRING_WITHOUT_AN_EPISODE = """
INSERT INTO alert_states (node_key, rule_id, rule_hash, phase, document)
SELECT node_key, 'r', 'h', 'firing', '{}' FROM nodes
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
async def empty(request, tmp_path):
    url = f"sqlite:///{tmp_path}/empty.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    engine = engine_for(url)
    yield engine
    await engine.dispose()


async def tables(engine):
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))


async def ask(engine, question):
    async with engine.connect() as connection:
        return await connection.run_sync(question)


async def test_makes_the_tables_that_the_code_has(empty):
    await migrate(empty)

    assert set(metadata.tables) <= await tables(empty)
    assert await ask(empty, difference) == []


async def test_goes_back_to_nothing_and_forward_again(empty):
    await migrate(empty)
    await migrate(empty, "base")

    assert await tables(empty) <= {"evara_schema_version"}
    assert await ask(empty, current_revision) is None

    await migrate(empty)
    assert await ask(empty, difference) == []


async def test_goes_step_by_step(empty):
    for revision in ("0001", "0002", "0003", "0004", "0005", "0006", "0007"):
        await migrate(empty, revision)

        assert await ask(empty, current_revision) == revision


async def test_several_processes_may_migrate_at_once(empty):
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(migrate, empty)

    assert await ask(empty, difference) == []


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE nodes SET community_id = 'c-2' WHERE node_id = 'tank-1'",
        "UPDATE nodes SET customer_id = 'u-2' WHERE node_id = 'tank-1'",
        "UPDATE nodes SET distributor_id = 'nobody' WHERE node_id = 'tank-3'",
        "UPDATE nodes SET latitude = 91",
        "UPDATE nodes SET longitude = -181",
        "UPDATE nodes SET capacity_l = -1",
        "UPDATE nodes SET expected_interval_s = 0",
        "UPDATE field_mappings SET field = 9 WHERE field = 1",
        "UPDATE field_mappings SET minimum = 2, maximum = 1",
        "UPDATE thingspeak_mappings SET channel_id = 0",
        "UPDATE node_operational_state SET health_score = 101",
        "UPDATE node_operational_state SET active_alerts = -1",
        FIRING_WITHOUT_AN_EPISODE,
    ],
)
async def test_what_must_never_be_cannot_be_stored(fleet, forbidden):
    def store():
        yield Query(text(forbidden))

    with pytest.raises(ConflictError):
        async with AsyncUnit(fleet) as unit:
            await unit.run(store())


async def test_a_node_takes_all_that_hangs_on_it_along(fleet):
    async with fleet.begin() as connection:
        await connection.execute(text("DELETE FROM nodes WHERE node_id = 'tank-1'"))

    async with fleet.connect() as connection:
        for table in ("node_operational_state", "thingspeak_mappings"):
            left = await connection.scalar(text(f"SELECT count(*) FROM {table}"))
            assert left == 3
