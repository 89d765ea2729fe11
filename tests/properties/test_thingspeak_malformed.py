"""Rows that are no entries cost no other row, and come once themselves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from evara_core.errors import UpstreamGarbageError
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.models import Entry, MalformedEntry, Position
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport

CHANNEL = 9

DAMAGES: dict[str, Any] = {
    "whole": lambda row: row,
    "field": lambda row: row | {"field1": {"level": row["field1"]}},
    "number": lambda row: row | {"entry_id": None},
    "time": lambda row: row | {"created_at": "yesterday"},
    "no time": lambda row: {name: row[name] for name in row if name != "created_at"},
    "neither": lambda row: {"field1": row["field1"]},
    "text": lambda row: row["field1"],
}
KNOWN_NUMBER = ("field", "time", "no time")

PAGES = st.sampled_from([5, 8, 40])
MOST_IN_A_ROW = 2
"""A page must hold a time. Genuine ones have a hundred rows."""


def _bearable(damages: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for damage in damages:
        recent = found[-MOST_IN_A_ROW:]
        is_too_much = len(recent) == MOST_IN_A_ROW and "whole" not in recent
        found.append("whole" if is_too_much else damage)
    return tuple(found)


ROWS = st.lists(
    st.sampled_from([*DAMAGES, *["whole"] * len(DAMAGES)]), min_size=1, max_size=30
).map(_bearable)


class Damaging(httpx.AsyncBaseTransport):
    """Hands over what a simulator answers, with some rows of feeds damaged."""

    def __init__(self, simulator: Simulator) -> None:
        self._inner = httpx.ASGITransport(app=simulator)
        self.damages: dict[int, str] = {}

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        body = json.loads(await response.aread())
        body["feeds"] = [
            DAMAGES[self.damages.get(row["entry_id"], "whole")](row) for row in body["feeds"]
        ]
        return httpx.Response(response.status_code, json=body)


class World:
    """A channel whose rows are written one a minute, each with its damage."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.simulator = Simulator(clock=self.clock)
        self.channel = self.simulator.create_channel(
            channel_id=CHANNEL, public=True, labels={1: "level"}
        )
        self.transport = Damaging(self.simulator)
        self.count = 0

    def write(self, damages: tuple[str, ...]) -> None:
        for damage in damages:
            self.count += 1
            now_s = self.simulator.now_s()
            self.channel.write({1: str(self.count)}, now_s=now_s, at_s=now_s)
            self.transport.damages[self.count] = damage
            self.clock.advance(60)

    def numbers(self, *, whole: bool) -> list[int]:
        damages = self.transport.damages.items()
        return [number for number, damage in damages if (damage == "whole") == whole]

    @asynccontextmanager
    async def client(self, page_rows: int) -> AsyncIterator[AsyncClient]:
        async def sleep(seconds: float) -> None:
            self.clock.advance(seconds)

        base = "https://api.thingspeak.com"
        async with (
            httpx.AsyncClient(transport=self.transport, base_url=base) as raw,
            AsyncClient(
                transport=AsyncHttpxTransport(raw),
                clock=self.clock,
                sleep=sleep,
                page_rows=page_rows,
            ) as client,
        ):
            yield client


def number_in(rejected: MalformedEntry) -> int:
    """Return what the row's body says, since each holds its number as its value."""
    body = json.loads(rejected.body)
    value = body["field1"] if isinstance(body, dict) else body
    return int(value["level"] if isinstance(value, dict) else value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lots=st.lists(ROWS, min_size=1, max_size=5), page_rows=PAGES)
async def test_who_polls_gets_every_row_once_good_or_not(
    lots: list[tuple[str, ...]], page_rows: int
) -> None:
    world = World()
    world.write(("whole",))
    position: Position | None = None
    got: list[Entry] = []

    async with world.client(page_rows) as client:
        source = ChannelSource(client, on_reset=lambda reset: pytest.fail(str(reset)))
        for lot in [*lots, ("whole",)]:
            world.write(lot)
            for _ in range(2):
                found = await source.entries_since(CHANNEL, position, read_key=None)
                got += found
                position = Position.of(found[-1]) if found else position

    rejected = [entry for entry in got if isinstance(entry, MalformedEntry)]
    good = [entry.entry_id for entry in got if not isinstance(entry, MalformedEntry)]
    event(f"{min(len(rejected), 5)} rejected")
    assert good == world.numbers(whole=True)
    assert [number_in(entry) for entry in rejected] == world.numbers(whole=False)
    assert [entry.entry_id for entry in rejected] == world.numbers(whole=False)
    assert all(entry.reason for entry in rejected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, page_rows=PAGES)
async def test_who_reads_a_channel_is_told_of_each_row_that_is_no_entry(
    rows: tuple[str, ...], page_rows: int
) -> None:
    world = World()
    world.write(("whole", *rows))
    rejected: list[MalformedEntry] = []

    async with world.client(page_rows) as client:
        entries = client.entries(CHANNEL, on_rejected=rejected.append)
        got = [entry.entry_id async for entry in entries]

    assert got == world.numbers(whole=True)
    assert sorted(number_in(row) for row in rejected) == world.numbers(whole=False)


async def test_who_wants_to_be_told_of_nothing_gets_an_error_where_the_row_is() -> None:
    world = World()
    world.write(("whole", "whole", "field", "whole"))
    got: list[int] = []

    async def read(client: AsyncClient) -> None:
        async for entry in client.entries(CHANNEL):
            got.append(entry.entry_id)  # noqa: PERF401 - what came before the error counts

    async with world.client(40) as client:
        with pytest.raises(UpstreamGarbageError, match=r"row 3 .*field1 is no text"):
            await read(client)
        with pytest.raises(UpstreamGarbageError, match="row 3"):
            await client.batch_since(CHANNEL, None)

    assert got == [1, 2]


@pytest.mark.parametrize("damage", KNOWN_NUMBER)
async def test_a_position_moves_past_the_newest_row_if_that_has_a_number(damage: str) -> None:
    world = World()
    world.write(("whole", damage))

    async with world.client(40) as client:
        source = ChannelSource(client)
        first = await source.entries_since(CHANNEL, None, read_key=None)
        second = await source.entries_since(CHANNEL, Position.of(first[-1]), read_key=None)

    assert [entry.entry_id for entry in first] == [1, 2]
    assert not second


@pytest.mark.parametrize("damage", sorted(set(DAMAGES) - {"whole", *KNOWN_NUMBER}))
async def test_a_newest_row_without_a_number_is_taken_when_another_follows(damage: str) -> None:
    world = World()
    world.write(("whole", damage))

    async with world.client(40) as client:
        source = ChannelSource(client)
        first = await source.entries_since(CHANNEL, None, read_key=None)
        nothing = await source.entries_since(CHANNEL, Position.of(first[-1]), read_key=None)
        world.write(("whole",))
        later = await source.entries_since(CHANNEL, Position.of(first[-1]), read_key=None)

    assert [entry.entry_id for entry in first] == [1]
    assert not nothing
    assert [(entry.entry_id, type(entry)) for entry in later] == [(2, MalformedEntry), (3, Entry)]


async def test_a_row_that_is_put_right_is_read_as_one_that_was_rewritten() -> None:
    world = World()
    world.write(("whole", "time"))
    resets: list[object] = []

    async with world.client(40) as client:
        source = ChannelSource(client, on_reset=resets.append)
        first = await source.entries_since(CHANNEL, None, read_key=None)
        world.transport.damages[2] = "whole"
        again = await source.entries_since(CHANNEL, Position.of(first[-1]), read_key=None)

    assert len(resets) == 1
    assert [type(entry) for entry in again] == [Entry, Entry]
    assert again[1].created_at - again[0].created_at == timedelta(minutes=1)
