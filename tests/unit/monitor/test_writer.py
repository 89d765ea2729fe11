"""The writer cuts up what the store refuses, until the guilty entry is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.alerts.engine import AlertEngine
from evara_core.errors import ConflictError, StorageUnavailableError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.counters import Counters
from evara_core.monitor.fleet import Fleet
from evara_core.monitor.ingest import Writer
from evara_core.monitor.look import Look, halves, packed
from evara_core.monitor.ports import NodeUpdate
from evara_core.monitor.replay import entry_in
from evara_core.monitor.rewritten import REWRITTEN
from evara_core.monitor.settings import MonitorSettings
from evara_core.telemetry.kinds import STANDARD_KINDS
from evara_core.testing.clock import ManualClock
from evara_core.testing.memory import MemoryStore
from evara_core.testing.samples import entry, mapping_for, tank
from evara_core.thingspeak.models import Position


class PickyStore(MemoryStore):
    """Refuses some readings, as a constraint of a database does."""

    def __init__(self, *refused: int) -> None:
        super().__init__()
        self.refused = set(refused)
        self.refuses_all = False

    async def ingest(self, updates: Sequence[NodeUpdate]) -> object:
        found = {reading.entry_id for update in updates for reading in update.readings}
        if self.refuses_all or found & self.refused:
            raise ValueError("value out of range")
        return await super().ingest(updates)


class FaultyJudge(AlertEngine):
    """Cannot stand one level."""

    def observe(self, node, readings, *, now):
        if any(reading.values["level_cm"].value == 13 for reading in readings):
            raise RuntimeError("thirteen")
        return super().observe(node, readings, now=now)


class Bench:
    def __init__(self, store: MemoryStore, *, judge: object = None, rows: int = 2_000) -> None:
        self.store = store
        self.clock = ManualClock()
        self.clock.advance(86_400)
        self.counters = Counters()
        self.pauses: list[float] = []
        for number in (1, 2, 3):
            store.add(tank(f"tank-{number}"), mapping_for(number))
        judge = judge or AlertEngine(())
        self.fleet = Fleet(judge, STANDARD_KINDS)
        self.writer = Writer(
            store=store,
            readings=store,
            judge=judge,
            fleet=self.fleet,
            ids=TimeOrderedIds(clock=self.clock),
            clock=self.clock,
            sleep=self.sleep,
            settings=MonitorSettings(batch_rows=rows),
            counters=self.counters,
            on_fleet=lambda: None,
            on_news=lambda: None,
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def stored(self, node_id: str = "tank-1") -> list[int]:
        return [reading.entry_id for reading in self.store.readings(node_id)]


def look(node_id: str = "tank-1", first: int = 1, last: int = 8, level: str = "100") -> Look:
    entries = [entry(n, level) for n in range(first, last + 1)]
    after = Position.of(entry(first - 1, level)) if first > 1 else None
    return Look(node_id=node_id, after=after, entries=entries)


@given(rows=st.integers(1, 20), sizes=st.lists(st.integers(1, 30), max_size=8))
def test_lots_hold_every_entry_once_in_order_and_no_more_than_they_may(rows, sizes) -> None:
    looks = [look(f"n{n}", 1, size) for n, size in enumerate(sizes)]

    lots = list(packed(looks, rows=rows))

    assert all(sum(len(piece.entries) for piece in lot) <= rows for lot in lots)
    assert all(len({piece.node_id for piece in lot}) == len(lot) for lot in lots)
    for whole in looks:
        pieces = [piece for lot in lots for piece in lot if piece.node_id == whole.node_id]
        assert [e for piece in pieces for e in piece.entries] == whole.entries
        ends = [Position.of(piece.entries[-1]) for piece in pieces]
        assert [piece.after for piece in pieces] == [whole.after, *ends[:-1]]


def test_halves_go_down_to_one_entry() -> None:
    lots = [[look("a", 1, 5), look("b", 1, 1)]]
    while any(halves(lot) for lot in lots):
        lots = [part for lot in lots for part in (halves(lot) or [lot])]

    assert [len(lot[0].entries) for lot in lots] == [1] * 6


async def test_one_refused_entry_costs_nobody_anything_else() -> None:
    bench = Bench(PickyStore(5))

    report = await bench.writer.take([look()])

    assert bench.stored() == [1, 2, 3, 4, 6, 7, 8]
    assert (report.stored, report.set_aside) == (7, 1)
    (aside,) = bench.store.set_aside
    assert aside.reason == "ValueError: value out of range"
    assert aside.source == "channel 1 entry 5"
    assert '"entry_id":5' in aside.body
    assert (await bench.store.watched())[0].position == Position.of(entry(8))


async def test_others_in_the_lot_are_stored() -> None:
    bench = Bench(PickyStore(5))

    await bench.writer.take([look("tank-1", 1, 3), look("tank-2", 1, 8), look("tank-3", 1, 4)])

    assert bench.stored("tank-1") == [1, 2, 3]
    assert bench.stored("tank-2") == [1, 2, 3, 4, 6, 7, 8]
    assert bench.stored("tank-3") == [1, 2, 3, 4]


async def test_a_whole_channel_of_refused_entries_is_set_aside() -> None:
    bench = Bench(PickyStore(*range(1, 9)))

    report = await bench.writer.take([look()])

    assert (report.stored, report.set_aside) == (0, 8)
    assert [aside.source.split()[-1] for aside in bench.store.set_aside] == list("12345678")


async def test_an_entry_that_the_rules_cannot_stand_is_set_aside() -> None:
    bench = Bench(MemoryStore(), judge=FaultyJudge(()))
    entries = [entry(1), entry(2, "13"), entry(3)]

    await bench.writer.take([Look(node_id="tank-1", after=None, entries=entries)])

    assert bench.stored() == [1, 3]
    assert bench.store.set_aside[0].reason == "RuntimeError: thirteen"


async def test_a_store_that_takes_nothing_at_all_is_away_and_not_fed_to_the_end() -> None:
    store = PickyStore()
    bench = Bench(store)
    store.refuses_all = True

    async def sleep(seconds: float) -> None:
        bench.pauses.append(seconds)
        if len(bench.pauses) == 6:
            store.refuses_all = False

    bench.writer._sleep = sleep
    await bench.writer.take([look()])

    assert bench.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert bench.stored() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not bench.store.set_aside


async def test_a_fault_that_stays_is_told_once_and_its_end_once(caplog) -> None:
    store = PickyStore()
    bench = Bench(store)
    store.refuses_all = True

    async def sleep(seconds: float) -> None:
        bench.pauses.append(seconds)
        store.refuses_all = len(bench.pauses) < 20

    bench.writer._sleep = sleep
    await bench.writer.take([look()])
    await bench.writer.take([look(first=9, last=9)])

    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == ["ERROR", "WARNING", "WARNING", "WARNING"]
    assert told[0] == ("ERROR", "a lot could not be stored")
    assert "ValueError: value out of range" in told[-1][1]
    assert max(bench.pauses) == 30.0


async def test_a_look_that_somebody_else_has_taken_is_dropped() -> None:
    bench = Bench(MemoryStore())
    await bench.writer.take([look("tank-1", 1, 4)])

    report = await bench.writer.take([look("tank-1", 1, 4)])

    assert (report.stored, report.duplicates) == (0, 0)
    assert bench.counters.looks_dropped == 1


async def test_what_another_writer_has_done_is_learnt_from_the_store() -> None:
    store = MemoryStore()
    bench, other = Bench(store), Bench(store)
    await bench.writer.refresh()
    await other.writer.take([look("tank-1", 1, 4)])

    await bench.writer.take([look("tank-1", 1, 3)])
    await bench.writer.take([look("tank-1", 5, 6)])

    assert bench.stored() == [1, 2, 3, 4, 5, 6]
    assert bench.counters.last_error.startswith(ConflictError.code)


async def test_a_store_that_cannot_be_read_costs_no_entry(monkeypatch) -> None:
    bench = Bench(MemoryStore())
    answer = bench.store.watched

    async def watched() -> object:
        if len(bench.pauses) < 4:
            raise KeyError("connectivity")
        return await answer()

    monkeypatch.setattr(bench.store, "watched", watched)

    await bench.writer.take([look()])

    assert bench.stored() == list(range(1, 9))
    assert bench.store.set_aside == ()


async def test_a_failed_sweep_is_made_up_for_by_the_next() -> None:
    bench = Bench(MemoryStore())
    await bench.writer.take([look("tank-1", 1, 1)])
    bench.clock.advance(7200)
    bench.store.fail_next(StorageUnavailableError("gone"))

    await bench.writer.sweep()
    failed = bench.store.state("tank-1").connectivity
    await bench.writer.sweep()

    assert failed != "unreachable"
    assert bench.store.state("tank-1").connectivity == "unreachable"


@pytest.mark.parametrize("after_commit", [False, True])
async def test_long_history_is_stored_in_several_transactions(after_commit: bool) -> None:
    bench = Bench(MemoryStore(), rows=100)
    for _ in range(3):
        bench.store.fail_next(StorageUnavailableError("gone"), after_commit=after_commit)

    await bench.writer.take([look("tank-1", 1, 950)])

    assert bench.stored() == list(range(1, 951))
    assert bench.counters.commits == (7 if after_commit else 10)


async def test_a_row_that_is_told_otherwise_than_before_is_kept_beside_the_first() -> None:
    bench = Bench(MemoryStore())
    await bench.writer.take([look("tank-1", 1, 4)])
    again = [entry(1), entry(2, "55"), entry(3)]

    report = await bench.writer.take(
        [Look(node_id="tank-1", after=None, entries=again, is_import=True)]
    )

    assert (report.stored, report.duplicates, report.set_aside) == (0, 2, 1)
    assert [r.values["level_cm"].value for r in bench.store.readings("tank-1")] == [100.0] * 4
    (aside,) = bench.store.set_aside
    assert aside.reason == REWRITTEN
    assert entry_in(aside) == entry(2, "55.0")
