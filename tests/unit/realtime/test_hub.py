"""Who hears what, in what order, and who is let go."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from typing_extensions import override

from evara_core.errors import ClosedError, LimitExceededError, UpstreamError
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Batch, Delivery, Message
from evara_core.realtime.subscription import Bye, Event, Item, Resync, Subscription
from evara_core.realtime.wire import event_frame
from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from evara_core.realtime.ports import BusPosition

QUICK = HubLimits(window_s=0, read_wait_s=0.05, pause_after_failure_s=0.01)
ALL = ("platform",)


def alert(number: int, *topics: str) -> Message:
    return Message(
        message_id=f"a{number}", kind="alert", key="n1", topics=topics or ALL, body=b"{}"
    )


def reading(number: int, node: str = "n1", *topics: str) -> Message:
    return Message(
        message_id=f"r{number}",
        kind="reading",
        key=node,
        topics=topics or ALL,
        body=b'{"n":%d}' % number,
    )


@asynccontextmanager
async def running(
    bus: MemoryBus, *, clock: ManualClock | None = None, limits: HubLimits = QUICK
) -> AsyncIterator[Hub]:
    hub = Hub(bus, clock=clock or ManualClock(), limits=limits)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            yield hub
            await hub.aclose()


async def caught_up(hub: Hub, bus: MemoryBus) -> None:
    end = await bus.end()
    while hub.position != end:
        await anyio.lowlevel.checkpoint()


async def listen(
    hub: Hub, *topics: str, who: str = "u1", after: BusPosition | None = None
) -> Subscription:
    return await hub.subscribe(principal_id=who, topics=topics or ALL, after=after)


def ids(items: Sequence[Item]) -> list[str]:
    return [i.delivery.message.message_id if isinstance(i, Event) else repr(i) for i in items]


async def test_each_hears_what_it_may_and_nothing_else() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        everything = await listen(hub)
        mine = await listen(hub, "distributor:d1", "community:c1", who="u2")
        nothing = await listen(hub, "customer:nobody", who="u3")

        await bus.publish(
            [
                alert(1, "platform", "distributor:d1"),
                alert(2, "platform", "distributor:d2"),
                alert(3, "platform", "distributor:d1", "community:c1"),
                alert(4),
            ]
        )

        await caught_up(hub, bus)
        assert ids(await everything.receive()) == ["a1", "a2", "a3", "a4"]
        assert ids(await mine.receive()) == ["a1", "a3"]
        assert await nothing.receive(wait_s=0) == []


async def test_nothing_came_is_an_empty_list() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub)

        assert await client.receive(wait_s=0.01) == []


async def test_one_reader_serves_all() -> None:
    class Counting(MemoryBus):
        reads = 0

        @override
        async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
            self.reads += 1
            return await super().read(after, wait_s=wait_s, limit=limit)

    bus = Counting()
    async with running(bus, limits=HubLimits(window_s=0)) as hub:
        clients = [await listen(hub, who=f"u{n}") for n in range(50)]
        await bus.publish([alert(1)])
        await caught_up(hub, bus)
        for client in clients:
            assert ids(await client.receive()) == ["a1"]

    assert bus.reads <= 3


async def test_a_message_is_encoded_once_for_all_clients() -> None:
    encoded = []

    def encode(delivery: Delivery) -> bytes:
        encoded.append(delivery.message.message_id)
        return event_frame(delivery)

    bus = MemoryBus()
    async with running(bus) as hub:
        clients = [await listen(hub, who=f"u{n}") for n in range(20)]
        await bus.publish([alert(1), alert(2)])
        await caught_up(hub, bus)
        for client in clients:
            for item in await client.receive():
                assert isinstance(item, Event)
                item.encoded(encode)

    assert encoded == ["a1", "a2"]


async def test_newer_values_replace_older_and_alerts_stay() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub)

        await bus.publish(
            [reading(1), reading(2, "n2"), alert(1), reading(3), alert(2), reading(4, "n3")]
        )

        await caught_up(hub, bus)
        assert ids(await client.receive()) == ["r2", "a1", "r3", "a2", "r4"]
        assert hub.stats().coalesced == 1


async def test_a_repetition_does_not_take_the_place_of_what_is_newer() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub)
        await bus.publish([reading(1)])
        assert ids(await client.receive()) == ["r1"]

        await bus.publish([reading(2), reading(1), reading(2)])
        await caught_up(hub, bus)

        assert ids(await client.receive()) == ["r2"]


async def test_newer_values_for_others_replace_nothing() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        before = await listen(hub, "community:1")

        await bus.publish([reading(1, "n1", "community:1"), reading(2, "n1", "community:2")])
        await caught_up(hub, bus)

        assert ids(await before.receive()) == ["r1"]


async def test_a_write_that_is_stuck_is_noticed_by_the_hub() -> None:
    bus = MemoryBus()
    async with running(bus, limits=HubLimits(sweep_interval_s=0.005, window_s=0)) as hub:
        client = await listen(hub)
        left = anyio.Event()
        client.when_stuck(left.set, after_s=0.01)
        await bus.publish([alert(1)])
        assert ids(await client.receive()) == ["a1"]

        await left.wait()


async def test_a_long_wait_is_ended_by_the_hub() -> None:
    async with running(MemoryBus(), limits=HubLimits(sweep_interval_s=0.005)) as hub:
        client = await listen(hub)

        assert await client.receive(wait_s=1.0) == []


async def test_resuming_from_any_event_loses_nothing_of_what_was_coalesced() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        first = await listen(hub)
        await bus.publish([reading(1), reading(2, "n2"), reading(3)])
        await caught_up(hub, bus)
        cut_after = (await first.receive())[0]
        assert isinstance(cut_after, Event)

        resumed = await listen(hub, after=cut_after.delivery.position)

        assert ids([cut_after]) == ["r2"]
        assert ids(await resumed.receive()) == ["r3"]


async def test_a_client_that_never_fetches_is_let_go_and_delays_nobody() -> None:
    bus = MemoryBus()
    async with running(bus, limits=HubLimits(window_s=0, events_per_client=5)) as hub:
        stuck = await listen(hub, who="stuck")
        lively = await listen(hub, who="lively")
        heard = []
        for number in range(20):
            await bus.publish([alert(number)])
            heard += ids(await lively.receive())

        assert heard == [f"a{number}" for number in range(20)]
        assert await stuck.receive() == [Bye(ByeCode.SLOW_CONSUMER)]
        assert ByeCode.SLOW_CONSUMER.is_resumable
        assert hub.stats().slow == 1
        with pytest.raises(ClosedError):
            await stuck.receive()


async def test_a_client_that_was_let_go_resumes_and_has_every_alert_once() -> None:
    bus = MemoryBus()
    async with running(bus, limits=HubLimits(window_s=0, events_per_client=5, batch=2)) as hub:
        slow = await listen(hub)
        await bus.publish([alert(number) for number in range(3)])
        await caught_up(hub, bus)
        seen = await slow.receive()
        await bus.publish([alert(number) for number in range(3, 60)])
        await caught_up(hub, bus)
        assert await slow.receive() == [Bye(ByeCode.SLOW_CONSUMER)]
        slow.close()
        last = seen[-1]
        assert isinstance(last, Event)

        resumed = await listen(hub, after=last.delivery.position)
        heard = ids(seen)
        while len(heard) < 60:
            heard += ids(await resumed.receive())
        await bus.publish([alert(60)])
        heard += ids(await resumed.receive())

        assert heard == [f"a{number}" for number in range(61)]
        assert resumed.behind is None


async def test_waiting_too_long_is_slow_too() -> None:
    clock = ManualClock()
    bus = MemoryBus()
    async with running(bus, clock=clock) as hub:
        client = await listen(hub)
        await bus.publish([reading(1)])
        await caught_up(hub, bus)

        clock.advance(31)
        await bus.publish([reading(2)])
        await caught_up(hub, bus)

        assert await client.receive() == [Bye(ByeCode.SLOW_CONSUMER)]


async def test_fetching_in_pieces_keeps_the_order() -> None:
    bus = MemoryBus()
    async with running(bus, limits=HubLimits(window_s=0, batch=3)) as hub:
        client = await listen(hub)
        await bus.publish([alert(number) for number in range(8)])
        await caught_up(hub, bus)

        pieces = [ids(await client.receive()) for _ in range(3)]

        assert pieces == [["a0", "a1", "a2"], ["a3", "a4", "a5"], ["a6", "a7"]]


async def test_repetitions_by_the_relay_are_heard_once() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        start = hub.position
        client = await listen(hub)

        await bus.publish([alert(1), alert(2)])
        await bus.publish([alert(1), alert(2), alert(3)])
        await caught_up(hub, bus)

        assert ids(await client.receive()) == ["a1", "a2", "a3"]
        assert ids(await (await listen(hub, after=start)).receive()) == ["a1", "a2", "a3"]


async def test_resumes_out_of_the_bus_where_memory_does_not_reach_back() -> None:
    bus = MemoryBus(history=2_000)
    await bus.publish([alert(0)])
    old = await bus.end()
    await bus.publish([alert(n, *(["other"] if n % 2 else ["platform"])) for n in range(1, 2_500)])
    async with running(bus) as hub:
        await bus.publish([alert(2_500)])
        await caught_up(hub, bus)

        client = await hub.subscribe(
            principal_id="u1", topics=["platform", "no such"], after=await position_of(bus, 1_000)
        )
        await bus.publish([alert(2_501)])
        await caught_up(hub, bus)

        heard = []
        while "a2501" not in heard:
            heard += ids(await client.receive())
        assert heard == [f"a{n}" for n in range(1_502, 2_500, 2)] + ["a2500", "a2501"]
        assert await (await listen(hub, after=old)).receive() == [Resync()]


async def position_of(bus: MemoryBus, number: int) -> BusPosition:
    batch = await bus.read("", wait_s=0, limit=number + 1)
    return batch.deliveries[number].position


async def test_a_position_that_nobody_knows_means_resync_and_then_live() -> None:
    bus = MemoryBus()
    await bus.publish([alert(1)])
    async with running(bus) as hub:
        for nonsense in ("", "x", "deadbeef-3"):
            client = await listen(hub, after=nonsense)
            assert await client.receive() == [Resync()]

        await bus.publish([alert(2)])

        assert ids(await client.receive()) == ["a2"]
        assert hub.stats().gaps == 3


async def test_a_position_ahead_of_this_process_is_waited_for() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        await bus.publish([alert(1), alert(2)])
        ahead = await bus.end()
        assert hub.position != ahead

        client = await listen(hub, after=ahead)
        await bus.publish([alert(3)])
        await caught_up(hub, bus)

        assert ids(await client.receive()) == ["a3"]


async def test_a_bus_that_lost_history_makes_everybody_resync() -> None:
    class Losing(MemoryBus):
        loses = False

        @override
        async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
            if self.loses:
                self.loses = False
                await self.publish([alert(2)])
                return await super().read("", wait_s=0)
            return await super().read(after, wait_s=wait_s, limit=limit)

    bus = Losing(history=1)
    async with running(bus) as hub:
        client = await listen(hub)
        await bus.publish([alert(1)])
        await caught_up(hub, bus)
        assert ids(await client.receive()) == ["a1"]

        bus.loses = True

        assert ids(await client.receive()) == ["Resync()", "a2"]
        assert hub.stats().gaps == 1


async def test_an_expired_token_ends_the_stream() -> None:
    clock = ManualClock()
    bus = MemoryBus()
    async with running(bus, clock=clock) as hub:
        client = await hub.subscribe(
            principal_id="u1", topics=ALL, expires_at=clock.now() + timedelta(seconds=60)
        )
        await bus.publish([alert(1)])
        assert ids(await client.receive()) == ["a1"]

        await bus.publish([alert(2)])
        await caught_up(hub, bus)
        clock.advance(60)

        assert await client.receive() == [Bye(ByeCode.TOKEN_EXPIRED)]
        assert not ByeCode.TOKEN_EXPIRED.is_resumable


async def test_a_token_that_expires_while_waiting_ends_the_stream() -> None:
    class Running(ManualClock):
        @override
        def now(self):
            return super().now() + timedelta(seconds=anyio.current_time())

    clock = Running()
    bus = MemoryBus()
    async with running(bus, clock=clock) as hub:
        client = await hub.subscribe(
            principal_id="u1", topics=ALL, expires_at=clock.now() + timedelta(seconds=0.05)
        )

        assert await client.receive(wait_s=60) == [Bye(ByeCode.TOKEN_EXPIRED)]


async def test_losing_the_right_ends_the_stream_and_what_waits_is_not_heard() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub)
        other = await listen(hub, who="u2")
        await bus.publish([alert(1)])
        await caught_up(hub, bus)

        hub.revise("u1", [])
        await bus.publish([alert(2)])
        await caught_up(hub, bus)

        assert await client.receive() == [Bye(ByeCode.FORBIDDEN)]
        assert ids(await other.receive()) == ["a1", "a2"]


async def test_losing_a_part_narrows_what_waits_and_what_comes() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub, "community:c1", "community:c2")
        await bus.publish([alert(1, "community:c1"), alert(2, "community:c2")])
        await caught_up(hub, bus)

        hub.revise("u1", ["community:c2"])
        await bus.publish([alert(3, "community:c1"), alert(4, "community:c2")])
        await caught_up(hub, bus)

        assert ids(await client.receive()) == ["a2", "a4"]


async def test_gaining_a_right_needs_a_snapshot() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub, "community:c1")

        hub.revise("u1", ["community:c1", "community:c2"])
        await bus.publish([alert(1, "community:c2")])
        await caught_up(hub, bus)

        assert ids(await client.receive()) == ["Resync()", "a1"]


async def test_streams_are_limited_in_all_and_for_each() -> None:
    limits = HubLimits(clients=3, clients_per_principal=2)
    async with running(MemoryBus(), limits=limits) as hub:
        mine = [await listen(hub), await listen(hub)]
        with pytest.raises(LimitExceededError, match="streams_per_user") as refusal:
            await listen(hub)
        await listen(hub, who="u2")
        with pytest.raises(LimitExceededError, match="'streams'"):
            await listen(hub, who="u3")

        mine[0].close()
        mine[0].close()
        await listen(hub)

        assert refusal.value.retry_after_s == 10
        assert hub.stats().refused == 2
        assert hub.principals == {"u1", "u2"}


async def test_draining_delivers_what_waits_then_says_goodbye_and_admits_nobody() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub)
        await bus.publish([alert(1)])
        await caught_up(hub, bus)
        heard: list[Item] = []

        async def fetch() -> None:
            with client:
                while not any(isinstance(item, Bye) for item in heard):
                    heard.extend(await client.receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await hub.drain(grace_s=10)

        assert ids(heard[:1]) == ["a1"]
        assert heard[1:] == [Bye(ByeCode.SHUTTING_DOWN)]
        with pytest.raises(ClosedError):
            await listen(hub)


async def test_draining_does_not_wait_for_ever() -> None:
    async with running(MemoryBus()) as hub:
        await listen(hub)

        with anyio.fail_after(5):
            await hub.drain(grace_s=0.01)

        assert hub.stats().clients == 1


async def test_a_bus_that_is_away_is_tried_again() -> None:
    class Away(MemoryBus):
        failures = 3

        def fail(self) -> None:
            if self.failures:
                self.failures -= 1
                problem = "away"
                raise UpstreamError(problem)

        @override
        async def end(self) -> BusPosition:
            self.fail()
            return await super().end()

        @override
        async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
            self.fail()
            return await super().read(after, wait_s=wait_s, limit=limit)

    bus = Away()
    async with running(bus) as hub:
        client = await listen(hub)
        bus.failures = 2
        while bus.failures:  # noqa: ASYNC110 - the hub tells nobody what it tries
            await anyio.sleep(0.001)
        await bus.publish([alert(1)])

        assert ids(await client.receive()) == ["a1"]
        assert hub.stats().bus_failures == 5


async def test_before_the_bus_was_reached_there_is_no_position() -> None:
    hub = Hub(MemoryBus(), clock=ManualClock())

    with pytest.raises(UpstreamError):
        _ = hub.position


async def test_the_hub_ends_with_its_bus() -> None:
    bus = MemoryBus()
    hub = Hub(bus, clock=ManualClock(), limits=QUICK)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            await bus.aclose()


async def test_tells_its_state() -> None:
    bus = MemoryBus(new_epoch=lambda: "e")
    async with running(bus) as hub:
        client = await listen(hub)
        await bus.publish([alert(1)])
        await caught_up(hub, bus)

        assert repr(hub) == "<Hub at e-1: 1 clients>"
        assert repr(client) == "<Subscription of u1: 1 pending>"
        assert repr(bus) == "<MemoryBus e: 1 kept, 1 in all>"


async def test_who_lost_what_waited_is_still_told_of_what_comes() -> None:
    bus = MemoryBus()
    async with running(bus) as hub:
        client = await listen(hub, "community:1", "community:2")
        heard: list[Item] = []

        async def hear() -> None:
            heard.extend(await client.receive(wait_s=60))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hear)
            await anyio.lowlevel.checkpoint()
            # Queued, but not yet woken: as in the middle of a burst.
            client.offer(Event(Delivery(position="p", message=alert(1, "community:2"))))
            hub.revise("u1", ["community:1"])
            await bus.publish([alert(2, "community:1")])

        assert ids(heard) == ["a2"]


def test_with_many_clients_the_window_grows_up_to_a_limit() -> None:
    limits = HubLimits()

    windows = [limits.window_for(clients) for clients in (1, 100, 400, 100_000)]

    assert windows == pytest.approx([limits.window_s, limits.window_s, 0.05, 2.0])
    assert QUICK.window_for(1_000) == 0


def test_where_writing_takes_long_the_window_grows_likewise() -> None:
    limits = HubLimits()

    assert limits.window_for(100, last_took_s=0.04) == pytest.approx(0.1)
    assert limits.window_for(100, last_took_s=60) == limits.longest_window_s
