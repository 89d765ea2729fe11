"""Who holds a lease works, and stops before it ends."""

from __future__ import annotations

from itertools import pairwise

import anyio
from typing_extensions import override

from evara_core.errors import StorageUnavailableError
from evara_core.monitor.leases import Lease, LeaseHolder, LeaseSettings
from evara_core.testing.leases import MemoryLeaseStore
from evara_core.testing.simulated import SimulatedTime

SETTINGS = LeaseSettings(ttl_s=10, renew_s=3, margin_s=1, retry_s=2)


class FlakyStore(MemoryLeaseStore):
    is_away = False

    @override
    async def claim(self, name: str, *, holder: str, ttl_s: float) -> Lease | None:
        self._check()
        return await super().claim(name, holder=holder, ttl_s=ttl_s)

    @override
    async def renew(self, lease: Lease, *, ttl_s: float) -> bool:
        self._check()
        return await super().renew(lease, ttl_s=ttl_s)

    def _check(self) -> None:
        if self.is_away:
            raise StorageUnavailableError("away")


class Worker:
    def __init__(self, time: SimulatedTime, store: MemoryLeaseStore, name: str) -> None:
        self.time = time
        self.holder = LeaseHolder(
            store, name="relay", holder=name, clock=time, sleep=time.sleep, settings=SETTINGS
        )
        self.scope = anyio.CancelScope()
        self.spans: list[list[float]] = []

    async def run(self) -> None:
        with self.scope:
            await self.holder.run(self.work)

    async def work(self, lease: Lease) -> None:
        span = [self.time.elapsed_s(), float("inf")]
        self.spans.append(span)
        try:
            await anyio.sleep_forever()
        finally:
            span[1] = self.time.elapsed_s()


async def test_a_holder_works_on_while_it_can_renew() -> None:
    time = SimulatedTime()
    worker = Worker(time, FlakyStore(clock=time), "a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        await time.pass_by(100)

        assert worker.spans == [[0, float("inf")]]
        assert worker.holder.is_held()
        tasks.cancel_scope.cancel()


async def test_a_holder_stops_before_a_lease_that_it_cannot_renew_ends() -> None:
    time = SimulatedTime()
    store = FlakyStore(clock=time)
    worker = Worker(time, store, "a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await time.pass_by(5)

        store.is_away = True
        await time.pass_by(20)

        assert worker.spans[0][1] <= 3 + SETTINGS.ttl_s - SETTINGS.margin_s
        assert not worker.holder.is_held()
        store.is_away = False
        await time.pass_by(20)
        assert worker.holder.is_held()
        tasks.cancel_scope.cancel()


async def test_another_takes_over_soon_from_who_leaves() -> None:
    time = SimulatedTime()
    store = MemoryLeaseStore(clock=time)
    first, second = (Worker(time, store, name) for name in "ab")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.run)
        await time.pass_by(1)
        tasks.start_soon(second.run)
        await time.pass_by(1)

        first.scope.cancel()
        await time.pass_by(3)

        assert second.spans[0][0] - first.spans[0][1] <= SETTINGS.retry_s
        tasks.cancel_scope.cancel()


async def test_another_takes_over_from_who_died_when_the_lease_ends() -> None:
    time = SimulatedTime()
    store = MemoryLeaseStore(clock=time)
    await store.claim("relay", holder="dead", ttl_s=SETTINGS.ttl_s)
    worker = Worker(time, store, "a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        await time.pass_by(SETTINGS.ttl_s + SETTINGS.retry_s)

        assert SETTINGS.ttl_s <= worker.spans[0][0] <= SETTINGS.ttl_s + SETTINGS.retry_s
        tasks.cancel_scope.cancel()


async def test_never_do_two_work_at_once() -> None:
    time = SimulatedTime()
    store = FlakyStore(clock=time)
    workers = [Worker(time, store, name) for name in "abcd"]
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        for _ in range(10):
            await time.pass_by(7)
            store.is_away = not store.is_away
        tasks.cancel_scope.cancel()

    spans = sorted(span for worker in workers for span in worker.spans)
    assert len(spans) > 2
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


async def test_work_that_is_done_gives_the_lease_back() -> None:
    time = SimulatedTime()
    store = MemoryLeaseStore(clock=time)
    holder = LeaseHolder(
        store, name="job", holder="a", clock=time, sleep=time.sleep, settings=SETTINGS
    )
    tokens: list[int] = []

    async def work(lease: Lease) -> None:
        tokens.append(lease.token)

    await holder.run(work)
    await holder.run(work)

    assert tokens == [1, 2]
