"""What a channel sends that is no entry is kept, and costs nothing else."""

from __future__ import annotations

from evara_core.monitor.replay import entry_in
from evara_core.testing.samples import START, entry
from evara_core.thingspeak.models import MalformedEntry

BODY = '{"created_at":"2026-01-01T00:02:00Z","entry_id":2,"field1":"12"}'


def malformed(number: int, **fields: object) -> MalformedEntry:
    at = entry(number).created_at
    return MalformedEntry(
        entry_id=number, created_at=at, body=BODY, reason="field1 is no text", **fields
    )


async def test_the_others_are_stored_and_the_position_moves_past_it(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1), malformed(2), entry(3), malformed(4, is_numbered=False)])
    world.time.advance(400)

    async with world.running():
        await world.time.pass_by(200)

    assert [reading.entry_id for reading in world.store.readings("tank-1")] == [1, 3]
    assert [(aside.source, aside.reason, aside.body) for aside in world.store.set_aside] == [
        ("channel 1 entry 2", "no entry: field1 is no text", BODY),
        ("channel 1 a row without a number", "no entry: field1 is no text", BODY),
    ]
    (watched,) = await world.store.watched()
    assert watched.position is not None
    assert watched.position.entry_id == 4


async def test_a_channel_of_nothing_else_goes_on_as_well(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [malformed(1)])
    world.time.advance(400)

    async with world.running():
        await world.time.pass_by(200)
        world.source.write(1, [entry(2)])
        await world.time.pass_by(200)

    assert [reading.entry_id for reading in world.store.readings("tank-1")] == [2]
    assert len(world.store.set_aside) == 1


async def test_what_was_set_aside_is_replayed_once_it_can_be_read(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [malformed(2)])
    world.time.advance(400)

    async with world.running():
        await world.time.pass_by(200)
    found = entry_in(world.store.set_aside[0])

    assert found is not None
    assert (found.entry_id, found.fields) == (2, {1: "12"})
    assert found.created_at > START
