"""Whatever happens to a channel, its readers see each surviving row once, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from evara_core.errors import ChannelReset
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.breaker import BreakerPolicy, Breakers
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.models import Entry, Position
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.channel import SimulatedChannel
from evara_core.thingspeak.simulator.faults import HangUp, Instead, Truncate
from evara_core.thingspeak.simulator.profile import HOSTED, RAILS
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport

CHANNEL = 9

FAULTS = st.sampled_from([
    Instead(status=500),
    Instead(status=503, body=b""),
    Instead(status=200),
    Instead(status=429, body=b"", retry_after_s=1),
    Truncate(share=0.5),
    HangUp(),
    HangUp(after_bytes=20),
])  # fmt: skip

# Devices report now, late, or with a clock that is ahead; and sometimes many rows at once.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from([0, 0, 0, 0, -3, -20, -400, 2, 30, 100_000])),
        st.tuples(st.just("burst"), st.integers(1, 9)),
        st.tuples(st.just("pass"), st.integers(1, 500)),
        st.tuples(st.just("fail"), FAULTS),
        st.tuples(st.just("read"), st.integers(1, 15)),
    ),
    max_size=25,
)
CLEARS = st.just(("clear", 0))
PAGES = st.integers(1, 7)
NEVER_OPEN = BreakerPolicy(failures=10**9, first_pause_s=1, longest_pause_s=1)


@asynccontextmanager
async def reading(
    simulator: Simulator, clock: ManualClock, rows: int
) -> AsyncIterator[AsyncClient]:
    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async with (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=simulator), base_url="https://api.thingspeak.com"
        ) as raw,
        AsyncClient(
            transport=AsyncHttpxTransport(raw),
            clock=clock,
            sleep=sleep,
            policy=RetryPolicy(attempts=50, total_s=1e9),
            breakers=Breakers(host=NEVER_OPEN, channel=NEVER_OPEN),
            page_rows=rows,
        ) as client,
    ):
        yield client


class Story:
    """A channel, what happens to it, and what a reader has got of it."""

    def __init__(self, profile: Any) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.simulator = Simulator(clock=self.clock, profile=profile)
        self.channel: SimulatedChannel = self.simulator.create_channel(
            channel_id=CHANNEL, public=True, labels={1: "level"}
        )
        self.written: list[tuple[int, int]] = []
        self.taken: list[Entry] = []
        self.position: Position | None = None

    def happen(self, what: str, how: Any) -> None:
        now_s = self.simulator.now_s()
        match what:
            case "write":
                self.write(now_s + how)
            case "burst":
                for second in range(how):
                    self.write(now_s - second * 7)
            case "pass":
                self.clock.advance(how)
            case "fail":
                self.simulator.faults.add(how, times=1)
            case "clear":
                self.channel.clear(now_s=now_s)
                self.written.clear()
        self.clock.advance(1)

    def write(self, at_s: int) -> None:
        if self.simulator.service.profile.refuses_duplicate_times and self.channel.history.has_time(
            at_s, now_s=self.simulator.now_s()
        ):
            return
        row = self.channel.write({1: str(at_s)}, now_s=self.simulator.now_s(), at_s=at_s)
        self.written.append((row.entry_id, row.at_s))

    async def take(self, client: AsyncClient, most: int) -> None:
        """Read on from the position, and stop after *most* entries."""
        try:
            async with aclosing(client.entries_since(CHANNEL, self.position)) as entries:
                async for entry in entries:
                    self.taken.append(entry)
                    self.position = Position.of(entry)
                    most -= 1
                    if not most:
                        return
        except ChannelReset:
            event("reset")
            self.taken.clear()
            self.position = None

    def got(self) -> list[tuple[int, int]]:
        return [(e.entry_id, int(e.created_at.timestamp())) for e in self.taken]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, rows=PAGES, profile=st.sampled_from([HOSTED, RAILS]))
async def test_entries_yields_every_row_once_oldest_first(
    steps: list[tuple[str, Any]], rows: int, profile: Any
) -> None:
    story = Story(profile)
    for what, how in steps:
        story.happen(what, how)

    async with reading(story.simulator, story.clock, rows) as client:
        got = [(e.entry_id, int(e.created_at.timestamp())) async for e in client.entries(CHANNEL)]

    assert got == sorted(story.written, key=lambda row: (row[1], row[0]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, rows=PAGES, profile=st.sampled_from([HOSTED, RAILS]))
async def test_a_resumed_reader_ends_with_what_one_that_never_stopped_has(
    steps: list[tuple[str, Any]], rows: int, profile: Any
) -> None:
    story = Story(profile)

    async with reading(story.simulator, story.clock, rows) as client:
        for what, how in steps:
            if what == "read":
                await story.take(client, how)
            else:
                story.happen(what, how)
        await story.take(client, -1)
        at_once = [
            (e.entry_id, int(e.created_at.timestamp()))
            async for e in client.entries_since(CHANNEL, None)
        ]

    assert story.got() == at_once == story.written


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.one_of(STEPS, STEPS, STEPS, CLEARS.map(lambda step: [step])), max_size=6),
    rows=PAGES,
)
async def test_a_reader_follows_a_channel_through_clears(
    steps: list[list[tuple[str, Any]]], rows: int
) -> None:
    story = Story(HOSTED)

    async with reading(story.simulator, story.clock, rows) as client:
        for what, how in (step for part in steps for step in part):
            if what == "read":
                await story.take(client, how)
            else:
                story.happen(what, how)
        await story.take(client, -1)
        await story.take(client, -1)

    assert story.got() == story.written


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.one_of(STEPS, CLEARS.map(lambda step: [step])), max_size=6),
    most=st.integers(1, 9),
)
async def test_a_polling_source_brings_every_row_to_who_stores_rows_once(
    steps: list[list[tuple[str, Any]]], most: int
) -> None:
    story = Story(HOSTED)
    stored: dict[tuple[int, int], Entry] = {}
    position: Position | None = None
    ever: set[tuple[int, int]] = set()

    async with reading(story.simulator, story.clock, 5) as client:
        source = ChannelSource(client, batch_entries=most)
        for what, how in (step for part in steps for step in part):
            if what == "read":
                for entry in await source.entries_since(CHANNEL, position, read_key=None):
                    stored[entry.entry_id, int(entry.created_at.timestamp())] = entry
                    position = Position.of(entry)
            else:
                story.happen(what, how)
                ever |= set(story.written)
        while batch := await source.entries_since(CHANNEL, position, read_key=None):
            for entry in batch:
                stored[entry.entry_id, int(entry.created_at.timestamp())] = entry
                position = Position.of(entry)

    assert set(story.written) <= set(stored) <= ever
