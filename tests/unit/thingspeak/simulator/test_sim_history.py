"""Rows of a device and written rows in one history, against a model that keeps them all."""

from __future__ import annotations

import io
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evara_core.thingspeak.export import ExportReader
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.channel import arrivals_of
from evara_core.thingspeak.simulator.device import PeriodicDevice, Silence, WaterClock
from evara_core.thingspeak.simulator.history import NO_VALUES, Coming, History, Row

INTERVAL_S = 7


def device_of(silence=None):
    return PeriodicDevice(
        lambda at_s, slot: (str(slot), *NO_VALUES[1:]),
        clock=WaterClock(0, 0.0),
        interval_s=INTERVAL_S,
        silence=silence,
    )


class HistoryMachine(RuleBasedStateMachine):
    """Writes, bulk rows, clears and time, in any order; the model lists every arrival."""

    reports = True

    def __init__(self):
        super().__init__()
        self.now_s = 0
        self.history = History(device_of() if self.reports else None)
        self.rows = []
        self.coming = []
        self.report(0)

    def report(self, at_s):
        if self.reports and at_s % INTERVAL_S == 0:
            self.arrive(at_s, str(at_s // INTERVAL_S))

    def arrive(self, at_s, value):
        self.rows.append((len(self.rows) + 1, at_s, value))

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds):
        for at_s in range(self.now_s + 1, self.now_s + seconds + 1):
            self.report(at_s)
            for due_s, row in list(self.coming):
                if due_s == at_s:
                    self.coming.remove((due_s, row))
                    if all(taken[1] != row.at_s for taken in self.rows):
                        self.arrive(row.at_s, row.values[0])
        self.now_s += seconds

    @rule(back_s=st.integers(-3, 100))
    def write(self, back_s):
        at_s = max(0, self.now_s - back_s)
        row = self.history.write(Row(0, at_s, ("written", *NO_VALUES[1:])), now_s=self.now_s)
        self.arrive(at_s, "written")
        assert row.entry_id == self.rows[-1][0]

    @rule(back_s=st.lists(st.integers(0, 50), max_size=4), delay_s=st.integers(1, 5))
    def bulk(self, back_s, delay_s):
        rows = [Row(0, max(0, self.now_s - s), ("bulk", *NO_VALUES[1:])) for s in back_s]
        due_s = self.now_s + delay_s
        self.history.schedule(Coming(due_s, row, unless_taken=True) for row in rows)
        self.coming += [(due_s, row) for row in rows]

    @precondition(lambda self: len(self.rows) > 3)
    @rule()
    def clear(self):
        self.history = self.history.cleared(now_s=self.now_s)
        self.rows = []

    @invariant()
    def every_row_is_there_once_and_in_order(self):
        found = self.history.between(-1, self.now_s + 10, 10_000, now_s=self.now_s)
        told = [(row.entry_id, row.at_s, row.values[0]) for row in found]
        assert told == sorted(self.rows, key=lambda row: (row[1], row[0]))
        assert self.history.last_entry_id(self.now_s) == len(self.rows)
        assert self.history.count(self.now_s) == len(self.rows)

    @invariant()
    def every_row_is_found_by_its_id(self):
        for entry_id, at_s, value in self.rows:
            row = self.history.by_id(entry_id, now_s=self.now_s)
            assert (row.at_s, row.values[0]) == (at_s, value)
        assert self.history.by_id(len(self.rows) + 1, now_s=self.now_s) is None
        assert self.history.by_id(0, now_s=self.now_s) is None

    @rule(newest=st.integers(0, 12), start=st.integers(0, 200), length=st.integers(-5, 200))
    def the_newest_of_a_span(self, newest, start, length):
        found = self.history.between(start, start + length, newest, now_s=self.now_s)
        inside = [row for row in self.rows if start <= row[1] <= start + length]
        inside.sort(key=lambda row: (row[1], row[0]))
        assert [row.entry_id for row in found] == [row[0] for row in inside[-newest:] if newest]

    @rule(newest=st.integers(0, 12), first=st.integers(-2, 40), length=st.integers(-2, 40))
    def the_newest_ids_of_a_span(self, newest, first, length):
        found = self.history.numbered(first, first + length, newest, now_s=self.now_s)
        ids = [row[0] for row in self.rows if first <= row[0] <= first + length]
        assert sorted(row.entry_id for row in found) == (ids[-newest:] if newest else [])

    @rule()
    def everything_comes_in_pieces(self):
        pieces = list(self.history.everything(now_s=self.now_s, step=5))
        assert sorted(row.entry_id for piece in pieces for row in piece) == [
            r[0] for r in self.rows
        ]
        assert all(len(piece) <= 5 for piece in pieces)


class WrittenMachine(HistoryMachine):
    reports = False


TestWithDevice = HistoryMachine.TestCase
TestWithDevice.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestWritten = WrittenMachine.TestCase
TestWritten.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@given(
    period=st.integers(2, 20), first=st.integers(0, 19), length=st.integers(1, 19),
    slots=st.integers(0, 200),
)  # fmt: skip
def test_silence_leaves_out_exactly_its_slots(period, first, length, slots):
    first = min(first, period - 1)
    silence = Silence(period=period, first=first, length=min(length, period - first, period - 1))
    sent = [slot for slot in range(slots) if not 0 <= slot % period - first < silence.length]

    assert silence.sent(slots) == len(sent)
    assert [silence.slot(number) for number in range(len(sent))] == sent


@given(st.integers(0, 5000), st.integers(1, 100))
def test_a_row_is_the_same_however_it_is_asked_for(number, more):
    device = device_of(Silence(period=10, first=3, length=4))

    alone = device.rows(number, number + 1)[0]
    among = device.rows(max(0, number - 3), number + more)

    assert alone in among
    assert device.count(alone.at_s) == number + 1
    assert device.count(alone.at_s - 1) == number


def entries_of(clock, minutes, first_id=1):
    return [
        Entry(
            entry_id=first_id + number,
            created_at=clock.now() + timedelta(minutes=minute),
            fields={1: str(minute)},
        )
        for number, minute in enumerate(minutes)
    ]


async def test_a_replayed_row_appears_when_its_time_has_come(simulator, visitor, clock):
    channel = simulator.replay(7, entries_of(clock, [0, 1, 2, 60]))

    assert await visitor.ids(channel) == [1]

    clock.advance(120)

    assert await visitor.ids(channel) == [1, 2, 3]

    clock.advance(3600)

    assert [row["field1"] for row in await visitor.feeds(channel)] == ["0", "1", "2", "60"]


async def test_a_replay_begins_with_the_ids_of_its_export(simulator, visitor, clock):
    channel = simulator.replay(7, entries_of(clock, [0, 1, 2], first_id=5000))
    clock.advance(3600)

    assert await visitor.ids(channel) == [5000, 5001, 5002]
    last = await visitor.get("/channels/7/feeds/last.json", channel.read_key)
    assert last.json()["entry_id"] == 5002
    simulator.write(7, {1: "more"})
    assert await visitor.ids(channel, start_entry_id=5002) == [5002, 5003]


async def test_a_replay_into_a_known_channel_keeps_its_labels(simulator, channel, clock):
    simulator.replay(1, entries_of(clock, [0]))

    assert channel.labels == {1: "Level", 2: "Temperature"}


async def test_a_replayed_row_that_is_out_of_order_arrives_with_the_one_before_it(
    simulator, visitor, clock
):
    channel = simulator.replay(7, entries_of(clock, [-5, 10, 3, 999_999, 20]))
    clock.advance(10 * 60)

    assert await visitor.ids(channel, start_entry_id=1) == [1, 3, 2, 4]

    clock.advance(10 * 60)

    assert await visitor.ids(channel, start_entry_id=5) == [5]
    # The row with the wrong clock is stored, and beyond what a feed shows by default.
    assert 4 not in await visitor.ids(channel)


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_arrivals_never_go_back_and_trust_what_is_in_order(times):
    arrivals = arrivals_of(times)

    assert arrivals == sorted(arrivals)
    assert arrivals_of(sorted(times)) == sorted(times)
    assert len(arrivals) == len(times)


async def test_what_was_exported_can_be_replayed(simulator, channel, visitor, clock, fill):
    fill(simulator, channel, ["3.2", "", None, "54\r\n", "a,b", 'say "hi"'])
    exported = await visitor.get("/stream/channels/1/feeds.csv", channel.read_key)
    later = Simulator(clock=clock)

    copy = later.replay(5, ExportReader(io.BytesIO(exported.content)))

    assert [row.values[0] for row in copy.history.between(0, 2**40, 99, now_s=later.now_s())] == [
        "3.2", "", None, "54\r\n", "a,b", 'say "hi"',
    ]  # fmt: skip
