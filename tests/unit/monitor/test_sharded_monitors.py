"""Several monitors that share a fleet, in simulated time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from typing_extensions import override

from evara_core.alerts.engine import AlertEngine
from evara_core.errors import ConfigurationError, LeaseLostError, StorageUnavailableError
from evara_core.monitor.runner import Monitor
from evara_core.monitor.shard_keeper import ShardedStore, ShardKeeper
from evara_core.monitor.shards import ShardSettings, shard_of
from evara_core.testing.clock import ManualClock
from evara_core.testing.conformance.stores import update
from evara_core.testing.samples import entry
from evara_core.testing.shards import FencedMemoryStore, MemoryShardStore
from evara_core.testing.source import MemorySource

SETTINGS = ShardSettings(shards=8)
NODES = tuple(f"tank-{number}" for number in range(1, 25))


class FlakyShards(MemoryShardStore):
    """Shards whose store goes away when a test says so."""

    def __init__(self, **given) -> None:
        super().__init__(**given)
        self.is_away = False

    @override
    async def keep(self, leases, **given):
        if self.is_away:
            raise StorageUnavailableError("away")
        return await super().keep(leases, **given)

    @override
    async def claim(self, **given):
        if self.is_away:
            raise StorageUnavailableError("away")
        return await super().claim(**given)


class Frozen(ManualClock):
    """A clock that is ahead of another by what a test says: what a frozen process finds."""

    def __init__(self, base) -> None:
        super().__init__()
        self._base = base
        self.ahead_s = 0.0

    @override
    def now(self):
        return self._base.now()

    @override
    def elapsed_s(self):
        return self._base.elapsed_s() + self.ahead_s


@dataclass
class Member:
    """One monitor among others."""

    monitor: Monitor
    keeper: ShardKeeper
    source: MemorySource
    clock: Frozen
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def held(self):
        return set(self.keeper.held())


@pytest.fixture
def shared(world):
    world.watch(*NODES)
    return FlakyShards(clock=world.time)


@pytest.fixture
def join(world, shared):
    """Make a member that has channels of its own to be asked at, with the same entries."""

    def make(name: str, settings: ShardSettings = SETTINGS) -> Member:
        clock = Frozen(world.time)
        source = MemorySource(sleep=world.time.sleep)
        source._channels = world.source._channels
        keeper = ShardKeeper(
            shared, holder=name, clock=clock, sleep=world.time.sleep, settings=settings
        )
        monitor = Monitor(
            store=ShardedStore(FencedMemoryStore(world.store, shared), keeper),
            outbox=world.store,
            readings=world.store,
            source=source,
            bus=world.bus,
            judge=AlertEngine(world.rules),
            clock=world.time,
            settings=world.settings,
            sleep=world.time.sleep,
        )
        return Member(monitor, keeper, source, clock)

    return make


@asynccontextmanager
async def running(*members: Member):
    async with anyio.create_task_group() as tasks:
        for member in members:
            tasks.start_soon(run, member)
        yield tasks
        tasks.cancel_scope.cancel()


async def run(member: Member) -> None:
    with member.scope:
        await member.monitor.run()


async def test_each_node_is_read_by_one(world, join) -> None:
    first, second, third = members = [join(name) for name in "abc"]

    async with running(*members):
        await world.time.pass_by(60)
        for member in members:
            member.source.asked.clear()
        await world.time.pass_by(60)

    asked = [set(member.source.asked) for member in members]
    assert sum(map(len, asked)) == len(NODES)
    assert set().union(*asked) == set(range(1, len(NODES) + 1))
    assert all(asked)
    assert len(first.source.asked + second.source.asked + third.source.asked) == len(NODES)


async def test_shards_are_shared_fairly_as_others_come_and_leave(world, join) -> None:
    first, second, third = (join(name) for name in "abc")

    async with running(first) as tasks:
        await world.time.pass_by(20)
        alone = first.held
        tasks.start_soon(run, second)
        await world.time.pass_by(20)
        by_two = first.held, second.held
        tasks.start_soon(run, third)
        await world.time.pass_by(20)
        by_three = first.held, second.held, third.held
        second.monitor.stop()
        await world.time.pass_by(20)
        left = first.held, third.held

    assert alone == set(range(8))
    assert sorted(map(len, by_two)) == [4, 4]
    assert sorted(map(len, by_three)) == [2, 3, 3]
    assert sorted(map(len, left)) == [4, 4]
    for held in (by_two, by_three, left):
        assert set().union(*held) == set(range(8))
        assert sum(map(len, held)) == 8


async def test_handing_over_loses_nothing_and_tells_nothing_twice(world, join) -> None:
    first, second = join("a"), join("b")
    for channel in range(1, len(NODES) + 1):
        world.source.write(channel, [entry(n, "30") for n in range(1, 12)])

    async with running(first) as tasks:
        await world.time.pass_by(240)
        tasks.start_soon(run, second)
        await world.time.pass_by(240)
        first.scope.cancel()
        await world.time.pass_by(400)

    assert all(len(world.store.readings(node_id)) == 11 for node_id in NODES)
    fired = [t.node_id for t in world.store.transitions if t.kind == "fired"]
    assert sorted(fired) == sorted(NODES)
    assert first.monitor.status().commits_failed == 0
    assert second.monitor.status().duplicates == 0


async def test_who_was_frozen_does_nothing_before_it_knows_what_it_holds(
    world, shared, join
) -> None:
    first, second = join("a"), join("b")
    async with running(first, second):
        await world.time.pass_by(60)
        held = first.held
        first.source.asked.clear()
        first.clock.ahead_s = 11.0

        nodes = [node for node in NODES if shard_of(node, shards=8) in held]
        is_ours = [first.keeper.is_ours(node) for node in nodes]
        store = ShardedStore(FencedMemoryStore(world.store, shared), first.keeper)
        with pytest.raises(LeaseLostError):
            await store.ingest([update(nodes[0])])

        assert held
        assert not any(is_ours)
        assert first.held == set()


async def test_a_write_under_a_lease_that_somebody_else_has_is_refused_and_not_repeated(
    world, shared, join
) -> None:
    first = join("a")
    async with running(first):
        await world.time.pass_by(60)
        # All of it goes to another holder while our own clock sees nothing of that.
        await shared.leave("a")
        taken = await shared.claim(holder="z", ttl_s=600, most=8)
        world.source.write(1, [entry(1), entry(2)])
        await world.time.pass_by(60)
        status = first.keeper.status()
        await shared.release(taken)
        await world.time.pass_by(120)

    assert status.held == ()
    assert status.lost == 8
    assert len(world.store.readings("tank-1")) == 2
    assert first.monitor.status().duplicates == 0


async def test_without_the_store_nothing_is_read_and_later_all_of_it(world, shared, join) -> None:
    first = join("a")
    async with running(first):
        await world.time.pass_by(60)
        shared.is_away = True
        await world.time.pass_by(10)
        first.source.asked.clear()
        await world.time.pass_by(180)
        asked = list(first.source.asked)
        world.source.write(1, [entry(n) for n in range(1, 4)])
        shared.is_away = False
        await world.time.pass_by(120)

    assert asked == []
    assert len(world.store.readings("tank-1")) == 3
    assert first.keeper.status().lost == 8


async def test_what_is_lost_and_won_again_is_read_anew(world, shared, join) -> None:
    keeper = join("a").keeper
    store = ShardedStore(FencedMemoryStore(world.store, shared), keeper)
    await shared.join(shards=8)
    await keeper.look()
    everything = len(await store.watched())
    await shared.leave("a")

    await keeper.look()
    in_between = await store.watched()
    again = await store.watched()

    assert everything == len(NODES)
    assert list(in_between) == []
    assert len(again) == len(NODES)


async def test_who_counts_other_shards_does_not_start(world, join) -> None:
    first, other = join("a"), join("b", ShardSettings(shards=16))

    async with running(first):
        await world.time.pass_by(20)
        with pytest.raises(ConfigurationError):
            await other.keeper.run()


async def test_a_keeper_says_what_it_holds(join) -> None:
    assert repr(join("a").keeper) == "<ShardKeeper 'a': 0 of 8>"
