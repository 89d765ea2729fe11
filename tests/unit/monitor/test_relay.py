"""From the outbox to the bus."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from evara_core.errors import StorageUnavailableError, UpstreamError
from evara_core.monitor.counters import Counters
from evara_core.monitor.ports import NodeUpdate
from evara_core.monitor.relay import Relay
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.telemetry.state import NodeState
from evara_core.testing.memory import MemoryStore
from evara_core.testing.samples import mapping_for, tank
from evara_core.testing.simulated import SimulatedTime


class FlakyBus(MemoryBus):
    """Fails when told so, before or after it has taken the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[bool] = []
        self.taken: list[str] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        is_taken = not self.failures or self.failures[0]
        if is_taken:
            self.taken += [message.message_id for message in messages]
        if self.failures:
            self.failures.pop(0)
            raise UpstreamError("bus away")


class Bench:
    def __init__(self, **settings: float) -> None:
        self.time = SimulatedTime()
        self.store = MemoryStore()
        self.store.add(tank(), mapping_for())
        self.bus = FlakyBus()
        self.counters = Counters()
        self.relay = Relay(
            outbox=self.store,
            bus=self.bus,
            clock=self.time,
            sleep=self.time.sleep,
            settings=MonitorSettings(**settings),
            counters=self.counters,
        )

    async def put(self, *message_ids: str) -> None:
        messages = tuple(
            Message(message_id=i, kind="reading", key="tank-1", topics=("platform",), body=b"{}")
            for i in message_ids
        )
        state = NodeState()
        update = NodeUpdate(node=tank(), before=state, state=state, messages=messages)
        await self.store.ingest([update])

    async def run_for(self, seconds: float) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.relay.run)
            await self.time.pass_by(seconds)
            tasks.cancel_scope.cancel()


async def test_publishes_in_order_in_bounded_lots() -> None:
    bench = Bench(relay_batch=2)
    await bench.put("c", "a", "d", "b", "e")

    await bench.run_for(0)

    assert bench.bus.taken == ["c", "a", "d", "b", "e"]
    assert bench.counters.published == 5
    assert await bench.store.unpublished(limit=9) == []


async def test_wakes_at_once_and_looks_by_itself_now_and_then() -> None:
    bench = Bench(relay_interval_s=5.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.relay.run)
        await bench.time.pass_by(1)
        await bench.put("a")
        bench.relay.wake()
        await bench.time.pass_by(0)
        at_once = list(bench.bus.taken)
        await bench.put("b")
        await bench.time.pass_by(6)
        later = list(bench.bus.taken)
        tasks.cancel_scope.cancel()

    assert at_once == ["a"]
    assert later == ["a", "b"]


async def test_a_bus_that_is_away_is_asked_ever_less_often_and_gets_everything() -> None:
    bench = Bench()
    bench.bus.failures = [False] * 8
    await bench.put("a", "b")

    await bench.run_for(60)
    assert bench.counters.is_bus_away
    assert bench.bus.taken == []
    await bench.run_for(120)

    assert bench.bus.taken == ["a", "b"]
    assert not bench.counters.is_bus_away
    assert bench.counters.publishing_failed == 8


async def test_what_may_have_gone_out_goes_out_again() -> None:
    bench = Bench()
    bench.bus.failures = [True]
    await bench.put("a")

    await bench.run_for(5)

    assert bench.bus.taken == ["a", "a"]


async def test_what_could_not_be_marked_goes_out_again() -> None:
    bench = Bench()
    await bench.put("a")
    bench.store.fail_next(StorageUnavailableError("gone"))

    await bench.run_for(5)

    assert bench.bus.taken == ["a", "a"]
    assert await bench.store.unpublished(limit=9) == []


async def test_deletes_what_went_out_long_ago() -> None:
    bench = Bench(outbox_keep=2, prune_interval_s=60.0)
    await bench.put(*"abcde")

    await bench.run_for(59)
    before = len(bench.store.messages)
    await bench.run_for(10)

    assert before == 5
    assert [m.message_id for m in bench.store.messages] == ["d", "e"]


async def test_flushing_a_bus_that_is_away_ends() -> None:
    bench = Bench()
    bench.bus.failures = [False]
    await bench.put("a")

    await bench.relay.flush()
    await bench.relay.flush()

    assert bench.bus.taken == ["a"]
