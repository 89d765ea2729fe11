"""History is made anew by the mappings that now hold for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from evara_core.errors import InvalidMappingError, NotFoundError
from evara_core.monitor.ports import NodeUpdate
from evara_core.storage import rederiving
from evara_core.storage.fleet import NodeRecord, add_nodes
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.mappings import change_mapping
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.rederiving import rederive
from evara_core.storage.tables import rollup_marks
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.state import NodeState
from evara_core.telemetry.translate import EARLIEST, translator_for
from evara_core.testing.samples import START, entry, mapping_for, tank

NOON = START + timedelta(hours=12)
IN_MM = ChannelMapping(
    channel_id=1,
    fields=(
        FieldMapping(field=1, metric="level_cm", unit="mm"),
        FieldMapping(field=2, metric="battery_v"),
    ),
)


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def save(engine, mapping, at, **more):
    flow = change_mapping("tank-1", mapping, at=at, dialect=engine.dialect.name, **more)
    return await run(engine, flow)


async def stored(engine):
    found = await SqlReadingStore(engine).between(
        "tank-1", START, START + timedelta(days=9), limit=99
    )
    return [one.values["level_cm"] for one in found]


@pytest.fixture
async def history(fleet):
    """Six hourly entries of 100.5 and so on, read by the first mapping as centimetres."""
    translator = translator_for(tank(), mapping_for(1))
    readings = [
        translator.reading(entry(n, text, at_s=3600.0 * n), received_at=NOON)
        for n, text in enumerate(["100.5", "101.5", "junk", "103.5", "104.5", "105.5"])
    ]
    state = NodeState(last_reading_at=readings[-1].measured_at)
    update = NodeUpdate(node=tank(), before=NodeState(), state=state, readings=tuple(readings))
    await SqlIngestStore(fleet).ingest([update])
    return fleet


async def test_a_mapping_that_was_wrong_from_ever_is_put_right_for_ever(history):
    await save(history, IN_MM, NOON, since=EARLIEST)

    report = await rederive(history, "tank-1")

    assert (report.readings, report.changed, report.left) == (6, 5, 0)
    assert [one.value for one in await stored(history)] == pytest.approx(
        [10.05, 10.15, None, 10.35, 10.45, 10.55]
    )
    assert (await stored(history))[2] == Measured(None, Quality.BAD, "junk", "junk")


async def test_doing_it_again_changes_nothing(history):
    await save(history, IN_MM, NOON, since=EARLIEST)
    await rederive(history, "tank-1")

    assert (await rederive(history, "tank-1")).changed == 0


async def test_and_back_again_is_as_before(history):
    before = await stored(history)
    await save(history, IN_MM, NOON, since=EARLIEST)
    await rederive(history, "tank-1")
    await save(history, mapping_for(1), NOON, since=EARLIEST)

    await rederive(history, "tank-1")

    assert [one.value for one in await stored(history)] == pytest.approx(
        [one.value for one in before]
    )


async def test_what_was_measured_before_the_change_keeps_its_mapping(history):
    await save(history, IN_MM, NOON, since=START + timedelta(hours=4))

    report = await rederive(history, "tank-1")

    assert report.changed == 2
    assert [one.value for one in await stored(history)] == pytest.approx(
        [100.5, 101.5, None, 103.5, 10.45, 10.55]
    )


async def test_a_dry_run_tells_what_would_change_and_changes_nothing(history):
    before = await stored(history)
    await save(history, IN_MM, NOON, since=EARLIEST)

    report = await rederive(history, "tank-1", is_dry_run=True)

    change = report.metrics["level_cm"]
    assert (change.readings, change.first_at) == (5, START)
    assert change.before == Measured(100.5)
    assert change.after is not None
    assert change.after.value == pytest.approx(10.05)
    assert set(report.metrics) == {"level_cm", "level_percent", "volume_l"}
    assert await stored(history) == before


async def test_only_the_time_that_is_named_is_made_anew_in_lots(history, monkeypatch):
    monkeypatch.setattr(rederiving, "LOT", 2)
    await save(history, IN_MM, NOON, since=EARLIEST)
    seen = []

    report = await rederive(
        history,
        "tank-1",
        start=START + timedelta(hours=1),
        end=START + timedelta(hours=5),
        on_lot=lambda so_far, at: seen.append((so_far.readings, at)),
    )

    assert report.changed == 3
    assert [number for number, _ in seen] == [2, 4]
    assert [one.value for one in await stored(history)] == pytest.approx(
        [100.5, 10.15, None, 10.35, 10.45, 105.5]
    )


async def test_the_hours_that_change_are_rolled_up_again(history):
    async with history.begin() as connection:
        await connection.execute(rollup_marks.delete())
    await save(history, IN_MM, NOON, since=START + timedelta(hours=5))

    await rederive(history, "tank-1")

    async with history.connect() as connection:
        marks = (await connection.execute(select(rollup_marks.c.start_at))).scalars().all()
    assert sorted(set(marks)) == [START, START + timedelta(hours=5)]


async def test_what_came_from_a_channel_that_no_mapping_speaks_of_stays(history):
    before = await stored(history)
    other = ChannelMapping(channel_id=77, fields=(FieldMapping(field=3, metric="level_cm"),))
    await save(history, other, NOON, since=EARLIEST)

    report = await rederive(history, "tank-1")

    assert (report.readings, report.changed, report.left) == (6, 0, 6)
    assert await stored(history) == before


async def test_a_node_that_is_not_there_or_has_no_mapping_is_said(fleet):
    record = NodeRecord(node=tank("bare"), created_at=START)
    await run(fleet, add_nodes([record], dialect=fleet.dialect.name))

    with pytest.raises(NotFoundError):
        await rederive(fleet, "nobody")
    with pytest.raises(InvalidMappingError, match="no mapping"):
        await rederive(fleet, "bare")
