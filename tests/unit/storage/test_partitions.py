from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from sqlalchemy import text

from evara_core.storage.engine import engine_for
from evara_core.storage.migrate import difference, migrate
from evara_core.storage.partitions import (
    Month,
    detach_readings_before,
    drop_readings_before,
    make_partitions,
    partitions,
)
from evara_core.storage.readings import SqlReadingStore, append, between
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START, reading

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
MONTHS = [Month(2026, number) for number in (1, 2, 3, 4)]


@pytest.fixture
async def fleet_on_postgresql(postgres_database_url, put_fleet):
    engine = engine_for(postgres_database_url)
    async with AsyncUnit(engine) as unit:
        await unit.run(put_fleet("postgresql"))
    yield engine
    await engine.dispose()


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def lies_in(engine):
    """Where readings lie, by partition."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT tableoid::regclass::text, count(*) FROM readings GROUP BY 1 ORDER BY 1")
        )
        return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize(
    ("month", "later", "expected"),
    [((2026, 1), 0, (2026, 1)), ((2026, 11), 2, (2027, 1)), ((2026, 1), -1, (2025, 12))],
)
def test_months_are_counted_over_the_year(month, later, expected):
    assert Month(*month).later(later) == Month(*expected)


def test_a_month_is_of_utc():
    berlin = datetime(2026, 2, 1, 0, 30, tzinfo=UTC).astimezone()

    assert Month.of(berlin) == Month(2026, 2)
    assert Month(2026, 2).table == "readings_y2026m02"


@pytest.mark.server
async def test_makes_months_ahead_of_time_and_none_twice(fleet_on_postgresql):
    assert await run(fleet_on_postgresql, make_partitions(NOW)) == MONTHS
    assert await run(fleet_on_postgresql, make_partitions(NOW)) == []
    assert await run(fleet_on_postgresql, partitions()) == MONTHS


@pytest.mark.server
async def test_readings_lie_in_their_month_and_nothing_is_refused(fleet_on_postgresql):
    await run(fleet_on_postgresql, make_partitions(NOW))
    days = [0, 35, 4_000]

    await SqlReadingStore(fleet_on_postgresql).append(
        [reading(entry_id=n, at_s=86_400 * day) for n, day in enumerate(days)]
    )

    assert await lies_in(fleet_on_postgresql) == {
        "readings_y2026m01": 1,
        "readings_y2026m02": 1,
        "readings_default": 1,
    }


@pytest.mark.server
async def test_moves_out_of_the_default_what_has_a_month_of_its_own(fleet_on_postgresql):
    store = SqlReadingStore(fleet_on_postgresql)
    some = [reading(entry_id=n, at_s=86_400 * n) for n in range(70)]
    await store.append(some)

    made = await run(fleet_on_postgresql, make_partitions(NOW, ahead=0))

    assert made == MONTHS[:3]
    assert await lies_in(fleet_on_postgresql) == {
        "readings_y2026m01": 31,
        "readings_y2026m02": 28,
        "readings_y2026m03": 11,
    }
    assert await store.between("tank-1", START, START + timedelta(days=99), limit=99) == some
    assert await store.append(some) == 0


@pytest.mark.server
async def test_the_schema_is_as_before_with_partitions(postgres_url):
    engine = engine_for(postgres_url)
    await migrate(engine)

    await run(engine, make_partitions(NOW))

    async with engine.connect() as connection:
        assert await connection.run_sync(difference) == []
    await migrate(engine, "base")
    await engine.dispose()


@pytest.mark.server
async def test_several_may_make_them_while_others_write(fleet_on_postgresql):
    async def write(node):
        for n in range(40):
            await run(
                fleet_on_postgresql,
                append([reading(node, n, at_s=86_400 * n)], dialect="postgresql"),
            )

    async with anyio.create_task_group() as tasks:
        for node in ("tank-1", "tank-2"):
            tasks.start_soon(write, node)
        for _ in range(3):
            tasks.start_soon(run, fleet_on_postgresql, make_partitions(NOW))

    assert sum((await lies_in(fleet_on_postgresql)).values()) == 80


async def test_lets_go_of_old_readings(fleet):
    dialect = fleet.dialect.name
    if dialect == "postgresql":
        await run(fleet, make_partitions(NOW))
    some = [reading(entry_id=n, at_s=86_400 * n) for n in range(70)]
    await run(fleet, append(some, dialect=dialect))
    march = Month(2026, 3).start_at

    while await run(fleet, drop_readings_before(march, dialect=dialect)):
        pass

    left = await run(fleet, between("tank-1", START, march + timedelta(days=99), limit=99))
    assert left == [one for one in some if one.measured_at >= march]
    if dialect == "postgresql":
        assert await run(fleet, partitions()) == MONTHS[2:]


async def test_old_months_may_be_kept_as_tables_of_their_own(fleet_on_postgresql):
    engine = fleet_on_postgresql
    await run(engine, make_partitions(NOW))
    some = [reading(entry_id=n, at_s=86_400 * n) for n in range(70)]
    await run(engine, append(some, dialect="postgresql"))
    march = Month(2026, 3).start_at

    made = await run(engine, detach_readings_before(march))
    await run(engine, append([reading(entry_id=900, at_s=3_600)], dialect="postgresql"))
    await run(engine, make_partitions(NOW))
    late = await run(engine, detach_readings_before(march))

    assert made == ["archived_readings_y2026m01", "archived_readings_y2026m02"]
    assert late[0] == "archived_readings_y2026m01_2"
    left = await run(engine, between("tank-1", START, march + timedelta(days=99), limit=99))
    assert left == [one for one in some if one.measured_at >= march]
    async with engine.connect() as connection:
        kept = [
            (await connection.execute(text(f'SELECT count(*) FROM "{name}"'))).scalar()
            for name in (*made, late[0])
        ]
    assert sum(kept) == len(some) - len(left) + 1
