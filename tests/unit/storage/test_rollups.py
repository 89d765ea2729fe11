from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import func, select

from evara_core.monitor.ports import NodeUpdate
from evara_core.storage.buckets import Bucket, Period, bucket_of, buckets_of
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.rollups import roll_up
from evara_core.storage.tables import readings, rollup_marks, rollups
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.state import NodeState
from evara_core.testing.samples import START, reading, tank

INDIA = ZoneInfo("Asia/Kolkata")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        (UTC, datetime(2026, 3, 29, tzinfo=UTC), 24),
        (INDIA, datetime(2026, 3, 28, 18, 30, tzinfo=UTC), 24),
        (BERLIN, datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
    ],
)
def test_a_day_begins_at_midnight_where_the_people_are(zone, start, hours):
    found = bucket_of(datetime(2026, 3, 29, 12, tzinfo=UTC), Period.DAY, zone)

    assert found == Bucket(Period.DAY, start, start + timedelta(hours=hours))


def test_a_day_on_which_the_clocks_go_back_has_25_hours():
    found = bucket_of(datetime(2026, 10, 25, 12, tzinfo=UTC), Period.DAY, BERLIN)

    assert found.end_at - found.start_at == timedelta(hours=25)


@pytest.mark.parametrize("zone", [UTC, INDIA, BERLIN])
def test_hours_are_the_same_everywhere(zone):
    moment = datetime(2026, 3, 29, 12, 59, 59, 999_999, tzinfo=UTC)

    assert bucket_of(moment, Period.HOUR, zone).start_at == moment.replace(
        minute=0, second=0, microsecond=0
    )


def test_moments_of_one_hour_fall_into_one_bucket():
    moments = [START + timedelta(minutes=m) for m in (10, 70, 75, 20)]

    found = buckets_of(moments, Period.HOUR)

    assert sorted(b.start_at for b in found) == [START, START + timedelta(hours=1)]


async def ingest(engine, node_id, entry_ids, before):
    some = tuple(reading(node_id, n) for n in entry_ids)
    after = NodeState(last_reading_at=some[-1].measured_at, last_entry_id=some[-1].entry_id)
    await SqlIngestStore(engine).ingest(
        [NodeUpdate(node=tank(node_id), before=before, state=after, readings=some)]
    )
    return after


async def count(engine, statement):
    async with engine.connect() as connection:
        return await connection.scalar(statement)


async def test_a_node_that_reports_in_order_costs_one_mark_an_hour(fleet):
    state = NodeState()
    for hour in range(3):
        for minute in range(0, 60, 10):
            n = 60 * hour + minute
            state = await ingest(fleet, "tank-1", [n], state)

    assert await count(fleet, select(func.count()).select_from(rollup_marks)) == 2


async def test_several_roll_up_while_others_write(fleet):
    dialect = fleet.dialect.name
    is_done = anyio.Event()

    async def write(node_id):
        state = NodeState()
        for first in range(0, 600, 20):
            state = await ingest(fleet, node_id, range(first, first + 20), state)

    async def roll():
        while not is_done.is_set():
            async with AsyncUnit(fleet) as unit:
                await unit.run(roll_up(dialect=dialect, limit=2))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as rollers:
        for _ in range(2):
            rollers.start_soon(roll)
        async with anyio.create_task_group() as writers:
            for number in range(1, 5):
                writers.start_soon(write, f"tank-{number}")
        is_done.set()
    async with AsyncUnit(fleet) as unit:
        while await unit.run(roll_up(dialect=dialect)):
            pass

    rolled = select(func.sum(rollups.c.readings)).where(
        rollups.c.period == "hour", rollups.c.start_at < START + timedelta(hours=9)
    )
    stored = select(func.count()).where(readings.c.measured_at < START + timedelta(hours=9))
    assert await count(fleet, rolled) == await count(fleet, stored) == 4 * 540
