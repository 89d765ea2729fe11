"""A mapping that changes while the monitor runs applies from its moment on."""

from __future__ import annotations

from datetime import datetime, timedelta

from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.versions import MappingVersion
from evara_core.testing.samples import START, entry, mapping_for

IN_MM = ChannelMapping(channel_id=1, fields=(FieldMapping(field=1, metric="level_cm", unit="mm"),))
OTHER = ChannelMapping(channel_id=2, fields=(FieldMapping(field=1, metric="level_cm"),))


def version(revision: int, mapping: ChannelMapping, since: datetime) -> MappingVersion:
    return MappingVersion(revision=revision, mapping=mapping, since=since, saved_at=since)


def levels(world) -> dict[int, tuple[float | None, int]]:
    return {
        one.entry_id: (one.values["level_cm"].value, one.mapping_revision)
        for one in world.store.readings("tank-1")
    }


async def test_each_entry_is_read_by_the_mapping_of_its_moment_also_when_it_comes_late(
    world,
) -> None:
    world.watch("tank-1")
    first = version(1, mapping_for(1), START)
    world.store.remap("tank-1", [first])
    world.source.write(1, [entry(1, "100")])
    world.time.advance(60)

    async with world.running():
        await world.time.pass_by(60)
        world.store.remap("tank-1", [first, version(2, IN_MM, START + timedelta(minutes=3))])
        world.source.write(1, [entry(2, "101"), entry(3, "1030"), entry(4, "1040")])
        await world.time.pass_by(300)

    assert levels(world) == {1: (100, 1), 2: (101, 1), 3: (103, 2), 4: (104, 2)}


async def test_what_was_read_under_the_old_mapping_is_read_again_before_it_is_stored(
    world, monkeypatch
) -> None:
    world.watch("tank-1")
    first = version(1, mapping_for(1), START)
    second = version(2, IN_MM, START + timedelta(minutes=1))
    world.store.remap("tank-1", [first])
    world.source.write(1, [entry(1, "1000")])
    world.time.advance(60)
    ingest = world.store.ingest

    async def changed_first(updates):
        world.store.remap("tank-1", [first, second])
        monkeypatch.setattr(world.store, "ingest", ingest)
        return await ingest(updates)

    monkeypatch.setattr(world.store, "ingest", changed_first)
    async with world.running() as monitor:
        await world.time.pass_by(120)

    assert levels(world) == {1: (100, 2)}
    assert monitor.status().set_aside == 0


async def test_what_came_from_the_channel_before_is_not_taken_for_the_new_one(
    world, monkeypatch
) -> None:
    world.watch("tank-1")
    first = version(1, mapping_for(1), START)
    world.store.remap("tank-1", [first])
    world.source.write(1, [entry(n, "100") for n in range(1, 4)])
    world.source.write(2, [entry(n, "50") for n in range(1, 3)])
    world.time.advance(240)
    ingest = world.store.ingest

    async def changed_first(updates):
        world.store.remap("tank-1", [first, version(2, OTHER, START)])
        monkeypatch.setattr(world.store, "ingest", ingest)
        return await ingest(updates)

    monkeypatch.setattr(world.store, "ingest", changed_first)
    async with world.running() as monitor:
        await world.time.pass_by(120)

    assert levels(world) == {1: (50, 2), 2: (50, 2)}
    assert monitor.status().looks_dropped == 1
