"""The suite of the `Bus` port."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest

from evara_core.errors import ClosedError
from evara_core.realtime.ports import Message

if TYPE_CHECKING:
    from evara_core.realtime.ports import Bus

__all__ = ["BusContract", "message"]


def message(number: int, *, topics: tuple[str, ...] = ("platform",)) -> Message:
    """Return a message that is told from others by *number*."""
    return Message(
        message_id=f"m{number}",
        kind="alert",
        key=f"node {number} é \n \0",
        topics=topics,
        body=b'{"number":%d}' % number,
    )


class BusContract:
    """The behaviour of a `Bus`, as tests.

    A subclass provides `bus`, empty, and `small_bus`, empty, which keeps few enough of
    1,000 messages that the first are gone.
    """

    @pytest.fixture
    def bus(self) -> Bus:
        raise NotImplementedError

    @pytest.fixture
    def small_bus(self) -> Bus:
        raise NotImplementedError

    async def test_reads_what_was_published_as_it_was_and_in_order(self, bus: Bus) -> None:
        start = await bus.end()
        sent = [message(1, topics=("platform", "distributor:ä b")), message(2), message(3)]

        await bus.publish(sent[:2])
        await bus.publish(sent[2:])
        batch = await bus.read(start, wait_s=0)

        assert [d.message for d in batch.deliveries] == sent
        assert not batch.has_gap

    async def test_publishing_nothing_is_no_news(self, bus: Bus) -> None:
        start = await bus.end()

        await bus.publish([])

        assert await bus.end() == start

    async def test_reads_nothing_behind_the_end(self, bus: Bus) -> None:
        await bus.publish([message(1)])
        end = await bus.end()

        batch = await bus.read(end, wait_s=0)

        assert batch.deliveries == ()
        assert batch.position == end
        assert not batch.has_gap

    async def test_reads_on_from_the_position_of_a_batch(self, bus: Bus) -> None:
        position = await bus.end()
        await bus.publish([message(number) for number in range(7)])

        seen = []
        for _ in range(4):
            batch = await bus.read(position, wait_s=0, limit=2)
            seen += [d.message.message_id for d in batch.deliveries]
            position = batch.position

        assert seen == [f"m{number}" for number in range(7)]
        assert position == await bus.end()

    async def test_reads_on_from_the_position_of_any_delivery(self, bus: Bus) -> None:
        start = await bus.end()
        await bus.publish([message(number) for number in range(5)])
        first = await bus.read(start, wait_s=0)

        again = await bus.read(first.deliveries[2].position, wait_s=0)

        assert again.deliveries == first.deliveries[3:]
        assert not again.has_gap

    async def test_two_readers_get_the_same(self, bus: Bus) -> None:
        start = await bus.end()
        await bus.publish([message(1), message(2)])

        assert await bus.read(start, wait_s=0) == await bus.read(start, wait_s=0)

    async def test_a_waiting_reader_gets_what_is_published_meanwhile(self, bus: Bus) -> None:
        start = await bus.end()
        seen: list[str] = []

        async def read() -> None:
            batch = await bus.read(start, wait_s=10)
            seen.extend(d.message.message_id for d in batch.deliveries)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.sleep(0.01)
                await bus.publish([message(1)])

        assert seen == ["m1"]

    async def test_waiting_in_vain_ends(self, bus: Bus) -> None:
        start = await bus.end()

        with anyio.fail_after(10):
            batch = await bus.read(start, wait_s=0.02)

        assert batch.deliveries == ()
        assert batch.position == start

    async def test_an_unknown_position_reads_from_the_oldest_with_a_gap(self, bus: Bus) -> None:
        await bus.publish([message(1), message(2)])

        for nonsense in ("", "x", "-", "0", "1-x", "99999999999999-0", "9" * 30 + "-1", "é-\u0661"):
            batch = await bus.read(nonsense, wait_s=0)

            assert batch.has_gap, nonsense
            assert [d.message.message_id for d in batch.deliveries] == ["m1", "m2"]

    async def test_an_unknown_position_is_told_of_the_gap_without_waiting(self, bus: Bus) -> None:
        with anyio.fail_after(5):
            batch = await bus.read("99999999999999-0", wait_s=60)

        assert batch.has_gap
        assert batch.deliveries == ()
        assert batch.position == await bus.end()

    async def test_after_a_gap_one_reads_on_without_another(self, bus: Bus) -> None:
        await bus.publish([message(1)])
        batch = await bus.read("nonsense", wait_s=0)

        await bus.publish([message(2)])
        following = await bus.read(batch.position, wait_s=0)

        assert [d.message.message_id for d in following.deliveries] == ["m2"]
        assert not following.has_gap

    async def test_history_is_bounded_and_says_so(self, small_bus: Bus) -> None:
        start = await small_bus.end()
        for hundred in range(10):
            await small_bus.publish([message(100 * hundred + n) for n in range(100)])

        batch = await small_bus.read(start, wait_s=0)

        assert batch.has_gap
        assert 0 < len(batch.deliveries) < 1_000
        assert batch.deliveries[-1].message.message_id == "m999"

    async def test_a_reader_within_the_history_has_no_gap(self, small_bus: Bus) -> None:
        for hundred in range(10):
            await small_bus.publish([message(100 * hundred + n) for n in range(100)])
        near_the_end = await small_bus.end()
        await small_bus.publish([message(1_000)])

        batch = await small_bus.read(near_the_end, wait_s=0)

        assert [d.message.message_id for d in batch.deliveries] == ["m1000"]
        assert not batch.has_gap

    async def test_positions_are_ordered(self, bus: Bus) -> None:
        start = await bus.end()
        await bus.publish([message(number) for number in range(12)])
        batch = await bus.read(start, wait_s=0)
        places = [start, *(d.position for d in batch.deliveries)]

        for earlier, later in pairwise(places):
            assert bus.is_after(later, earlier)
            assert not bus.is_after(earlier, later)
        assert bus.is_after(places[-1], places[0])
        assert not bus.is_after(start, start)
        assert not bus.is_after("nonsense", start)
        assert not bus.is_after(start, "nonsense")

    async def test_closing_ends_the_waiting(self, bus: Bus) -> None:
        start = await bus.end()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: bus.read(start, wait_s=60))
                await anyio.sleep(0.01)
                await bus.aclose()

    async def test_is_of_no_use_after_closing(self, bus: Bus) -> None:
        start = await bus.end()

        await bus.aclose()
        await bus.aclose()

        with pytest.raises(ClosedError):
            await bus.publish([message(1)])
        with pytest.raises(ClosedError):
            await bus.end()
        with pytest.raises(ClosedError):
            await bus.read(start, wait_s=0)
