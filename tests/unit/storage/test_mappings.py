"""Mappings are saved one after the other, and none that held is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from evara_core.errors import ConflictError, InvalidMappingError, NotFoundError
from evara_core.monitor.ports import NodeUpdate
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.mappings import change_mapping, mapping_versions
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.state import NodeState
from evara_core.testing.samples import START, mapping_for, reading, tank
from evara_core.thingspeak.models import Position

DAY = timedelta(days=1)
IN_MM = ChannelMapping(channel_id=1, fields=(FieldMapping(field=1, metric="level_cm", unit="mm"),))
OTHER = ChannelMapping(channel_id=77, fields=(FieldMapping(field=3, metric="level_cm"),))


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def save(engine, mapping, at, **more):
    flow = change_mapping("tank-1", mapping, at=at, dialect=engine.dialect.name, **more)
    return await run(engine, flow)


async def watched(engine):
    return (await SqlIngestStore(engine).watched())[0]


def update(*, revision=1, entry_id=1, before=NodeState()):
    moment = START + timedelta(minutes=entry_id)
    return NodeUpdate(
        node=tank("tank-1"),
        before=before,
        state=NodeState(last_reading_at=moment),
        readings=(reading("tank-1", entry_id),),
        position=Position(entry_id=entry_id, created_at=moment),
        mapping_revision=revision,
    )


async def test_a_node_begins_with_its_first_mapping(fleet):
    (version,) = await run(fleet, mapping_versions("tank-1"))

    found = await watched(fleet)
    assert (version.revision, version.mapping, version.since) == (1, mapping_for(1), START)
    assert (found.mapping_revision, found.versions) == (1, ())


async def test_a_mapping_holds_from_its_moment_on_and_those_before_it_stay(fleet):
    version = await save(fleet, IN_MM, START + 2 * DAY, since=START + DAY, by="ann")

    assert (version.revision, version.since, version.saved_by) == (2, START + DAY, "ann")
    found = await watched(fleet)
    assert (found.mapping, found.mapping_revision) == (IN_MM, 2)
    assert [one.mapping for one in found.versions] == [mapping_for(1), IN_MM]


async def test_what_held_from_that_moment_or_later_holds_no_more_and_is_kept(fleet):
    await save(fleet, IN_MM, START + 2 * DAY)

    await save(fleet, mapping_for(1), START + 3 * DAY, since=START + DAY)

    versions = await run(fleet, mapping_versions("tank-1"))
    assert [one.withdrawn_at for one in versions] == [None, START + 3 * DAY, None]
    assert [one.revision for one in (await watched(fleet)).versions] == [1, 3]


async def test_another_channel_is_read_from_the_start(fleet):
    await SqlIngestStore(fleet).ingest([update()])

    await save(fleet, OTHER, START + DAY, read_key="KEY")

    found = await watched(fleet)
    assert (found.mapping, found.read_key, found.position) == (OTHER, "KEY", None)
    assert [one.revision for one in found.versions] == [2]


async def test_another_meaning_of_the_same_channel_keeps_the_place(fleet):
    await SqlIngestStore(fleet).ingest([update()])

    await save(fleet, IN_MM, START + DAY)

    found = await watched(fleet)
    assert found.mapping == IN_MM
    assert found.position == Position(entry_id=1, created_at=START + timedelta(minutes=1))


async def test_what_was_read_under_the_mapping_before_is_refused_once_there_is_another(fleet):
    store = SqlIngestStore(fleet)
    await save(fleet, OTHER, START + DAY)

    with pytest.raises(ConflictError):
        await store.ingest([update(revision=1)])

    assert (await watched(fleet)).position is None


async def test_a_reading_tells_which_mapping_made_it(fleet):
    store, readings = SqlIngestStore(fleet), SqlReadingStore(fleet)
    await store.ingest([update()])
    await save(fleet, IN_MM, START + DAY)
    second = reading("tank-1", 2)
    later = update(revision=2, entry_id=2, before=NodeState(last_reading_at=START + DAY / 1440))

    await store.ingest([replace_reading(later, second)])

    found = await readings.between("tank-1", START, START + DAY, limit=9)
    assert [one.mapping_revision for one in found] == [1, 2]


def replace_reading(found, new):
    return replace(found, readings=(replace(new, mapping_revision=2),))


@pytest.mark.parametrize(
    ("mapping", "more", "problem"),
    [
        (IN_MM, {"since": START + 2 * DAY}, "in the future"),
        (IN_MM, {"labels": {2: "Battery"}}, "no label on field 1"),
        (
            ChannelMapping(channel_id=1, fields=(FieldMapping(field=1, metric="flow"),)),
            {},
            "flow",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_changes(fleet, mapping, more, problem):
    with pytest.raises(InvalidMappingError, match=problem):
        await save(fleet, mapping, START + DAY, **more)

    assert len(await run(fleet, mapping_versions("tank-1"))) == 1


async def test_labels_that_are_there_are_no_hindrance(fleet):
    assert (await save(fleet, IN_MM, START + DAY, labels={1: "Level"})).revision == 2


async def test_a_node_that_is_not_there_is_not_found(fleet):
    flow = change_mapping("nobody", IN_MM, at=START, dialect=fleet.dialect.name)

    with pytest.raises(NotFoundError):
        await run(fleet, flow)

    assert await run(fleet, mapping_versions("nobody")) == []
