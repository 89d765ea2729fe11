"""What every store of readings must pass. Subclass, and provide the fixtures."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from evara_core.errors import NotFoundError
from evara_core.telemetry.models import Measured, Quality
from evara_core.testing.samples import START, mapping_for, reading, tank

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node
    from evara_core.telemetry.ports import ReadingStore

__all__ = ["ReadingStoreContract"]


class ReadingStoreContract:
    """The behaviour of a `ReadingStore`, as tests."""

    @pytest.fixture
    def readings(self) -> ReadingStore:
        """Return the store, empty."""
        raise NotImplementedError

    @pytest.fixture
    def add_node(self) -> Callable[[Node, ChannelMapping], Awaitable[None]]:
        """Return what puts a node into the store that the fixture `readings` returns."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    async def nodes(self, add_node: Callable[[Node, ChannelMapping], Awaitable[None]]) -> None:
        """Put in the two nodes that the tests speak of."""
        await add_node(tank("tank-1"), mapping_for(1))
        await add_node(tank("tank-2"), mapping_for(2))

    async def test_counts_what_was_not_there_yet(self, readings: ReadingStore) -> None:
        first = await readings.append([reading(entry_id=1), reading(entry_id=2)])
        second = await readings.append([reading(entry_id=2), reading(entry_id=3)])

        assert (first, second) == (2, 1)

    async def test_leaves_what_is_there_as_it_was(self, readings: ReadingStore) -> None:
        await readings.append([reading(entry_id=1, level_percent=50.0)])

        await readings.append([reading(entry_id=1, level_percent=99.0)])

        found = await readings.latest(["tank-1"])
        assert found["tank-1"].values["level_percent"].value == 50.0

    async def test_takes_a_reading_once_that_is_twice_in_a_batch(
        self, readings: ReadingStore
    ) -> None:
        assert await readings.append([reading(entry_id=1), reading(entry_id=1)]) == 1

    async def test_keeps_an_entry_id_apart_that_began_again(self, readings: ReadingStore) -> None:
        before = reading(entry_id=1, at_s=60)
        after_a_clear = reading(entry_id=1, at_s=9_000)

        assert await readings.append([before, after_a_clear]) == 2

    async def test_keeps_two_entries_of_one_moment(self, readings: ReadingStore) -> None:
        assert (
            await readings.append([reading(entry_id=1, at_s=0), reading(entry_id=2, at_s=0)]) == 2
        )

    async def test_an_empty_batch_is_no_error(self, readings: ReadingStore) -> None:
        assert await readings.append([]) == 0

    async def test_refuses_a_batch_with_an_unknown_node_whole(self, readings: ReadingStore) -> None:
        with pytest.raises(NotFoundError):
            await readings.append([reading("tank-1"), reading("nobody")])

        assert await readings.latest(["tank-1", "nobody"]) == {}

    async def test_returns_a_reading_as_it_was_put(self, readings: ReadingStore) -> None:
        put = reading(
            values={
                "level_cm": Measured(-4.9, Quality.BAD, "range"),
                "level_percent": Measured(None, Quality.BAD, "range"),
                "volume_l": Measured(0.1 + 0.2, Quality.SUSPECT, "spike"),
                "battery_v": Measured(None, Quality.BAD, "junk", raw="Clouds\r\n"),
                "temperature_c": Measured(None, Quality.MISSING),
                "rssi_dbm": Measured(-71.0),
            },
            extra={"field7": "18:1:39", "status": "[06-06-2025] GPS OK, "},
            at_s=0.123456,
        )

        await readings.append([put])

        assert await readings.latest(["tank-1"]) == {"tank-1": put}

    async def test_keeps_values_that_no_kind_knows(self, readings: ReadingStore) -> None:
        put = reading(values={"turbidity_ntu": Measured(4.2)})

        await readings.append([put])

        assert (await readings.latest(["tank-1"]))["tank-1"].values == put.values

    async def test_latest_is_the_newest_by_measurement_not_by_arrival(
        self, readings: ReadingStore
    ) -> None:
        await readings.append([reading(entry_id=9, at_s=900)])

        await readings.append([reading(entry_id=10, at_s=600)])

        assert (await readings.latest(["tank-1"]))["tank-1"].entry_id == 9

    async def test_latest_answers_for_many_and_leaves_out_who_has_none(
        self, readings: ReadingStore
    ) -> None:
        await readings.append([reading("tank-1", 1), reading("tank-1", 2)])

        found = await readings.latest(["tank-1", "tank-2", "nobody"])

        assert {node_id: r.entry_id for node_id, r in found.items()} == {"tank-1": 2}

    async def test_latest_of_nobody_is_nothing(self, readings: ReadingStore) -> None:
        assert await readings.latest([]) == {}

    async def test_between_is_oldest_first_with_the_start_and_without_the_end(
        self, readings: ReadingStore
    ) -> None:
        await readings.append([reading(entry_id=n) for n in (4, 2, 3, 1)])

        found = await readings.between(
            "tank-1", START + timedelta(minutes=2), START + timedelta(minutes=4), limit=10
        )

        assert [r.entry_id for r in found] == [2, 3]

    async def test_between_stops_at_the_limit(self, readings: ReadingStore) -> None:
        await readings.append([reading(entry_id=n) for n in range(1, 6)])

        found = await readings.between("tank-1", START, START + timedelta(hours=1), limit=2)

        assert [r.entry_id for r in found] == [1, 2]

    async def test_between_is_of_one_node(self, readings: ReadingStore) -> None:
        await readings.append([reading("tank-1", 1), reading("tank-2", 2)])

        found = await readings.between("tank-2", START, START + timedelta(hours=1), limit=10)

        assert [r.entry_id for r in found] == [2]
