"""Genuine exports through the monitor's own way: every row is stored or set aside."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.monitor.imports import ImportReport, items_of
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Reading
from evara_core.telemetry.state import NodeStatus
from evara_core.testing.clock import ManualClock
from evara_core.testing.memory import MemoryStore
from evara_core.testing.samples import tank
from evara_core.thingspeak.export import read_export

TANK_FILE = "water-tank-level.MOCmaniac.csv"
RIVER_FILE = "river-node-with-status-location.more4water.csv"
MANGLED_FILE = "river-node-excel-mangled.more4water-villaverla.csv"

TANK = tank(config={"height_cm": 140.0, "capacity_l": 4_850.0}, expected_interval_s=75 * 60)
TANK_MAPPING = ChannelMapping(
    channel_id=1,
    fields=(
        FieldMapping(field=1, metric="level_cm", unit="mm"),
        FieldMapping(field=2, metric="volume_l"),
        FieldMapping(field=3, metric="battery_v"),
        FieldMapping(field=4, metric="total_volume_l"),
    ),
)
RIVER_MAPPING = ChannelMapping(
    channel_id=1, fields=(FieldMapping(field=7, metric="temperature_c"),)
)
LOW = AlertRule(id="low", kind="tank", when=expr("mean_over(level_cm, '6h') < 20"))


async def import_file(
    path: Path, mapping: ChannelMapping, *, batch_rows: int = 2_000
) -> tuple[MemoryStore, ImportReport]:
    store = MemoryStore()
    store.add(TANK, mapping)
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    monitor = Monitor(
        store=store,
        outbox=store,
        source=None,
        bus=MemoryBus(),
        judge=AlertEngine([LOW]),
        clock=clock,
        settings=MonitorSettings(batch_rows=batch_rows),
    )
    items = items_of(read_export(path), node_id=TANK.node_id, name=path.name, now=clock.now())
    return store, await monitor.backfill(TANK.node_id, items)


def checks(readings: list[Reading], metric: str) -> Counter[str | None]:
    return Counter(reading.values[metric].check for reading in readings)


@pytest.mark.parametrize(
    ("name", "mapping", "rows"),
    [(TANK_FILE, TANK_MAPPING, 2_132), (RIVER_FILE, RIVER_MAPPING, 975),
     (MANGLED_FILE, RIVER_MAPPING, 913)],
)  # fmt: skip
async def test_every_row_is_stored_or_set_aside(exports, name, mapping, rows) -> None:
    store, report = await import_file(exports / name, mapping)

    assert (report.rows, report.stored + report.set_aside, report.duplicates) == (rows, rows, 0)
    assert len(store.readings(TANK.node_id)) == report.stored
    assert len(store.set_aside) == report.set_aside


async def test_a_second_import_changes_nothing(exports) -> None:
    path = exports / TANK_FILE
    store, _ = await import_file(path, TANK_MAPPING)
    before = store.readings(TANK.node_id)
    monitor = Monitor(
        store=store, outbox=store, source=None, bus=MemoryBus(), judge=AlertEngine([LOW]),
        clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)),
    )  # fmt: skip

    report = await monitor.backfill(TANK.node_id, read_export(path))

    assert (report.stored, report.duplicates) == (0, 2_132)
    assert store.readings(TANK.node_id) == before


async def test_what_the_tank_cannot_have_held_is_flagged_and_kept(exports) -> None:
    store, _ = await import_file(exports / TANK_FILE, TANK_MAPPING)
    readings = store.readings(TANK.node_id)

    negative = [r for r in readings if r.values["level_cm"].check == "range"]
    assert sorted(r.values["level_cm"].value for r in negative) == [-4.9, -1.2, -0.5, -0.5, -0.4]
    assert {r.values["volume_l"].check for r in negative} == {"range"}
    assert checks(readings, "level_cm")["spike"] > 10
    assert checks(readings, "level_cm")[None] > 2_000
    assert all(r.values["level_cm"].value is not None for r in readings)


async def test_what_no_metric_is_mapped_to_is_kept(exports) -> None:
    store, _ = await import_file(exports / TANK_FILE, TANK_MAPPING)

    last = store.readings(TANK.node_id)[-1]

    assert last.extra == {"status": "118,118,118,118,118"}


async def test_history_tells_its_alerts_and_leaves_the_node_offline(exports) -> None:
    store, _ = await import_file(exports / TANK_FILE, TANK_MAPPING)

    assert {t.kind for t in store.transitions} >= {"fired", "resolved"}
    assert all(t.at.year in {2023, 2024} for t in store.transitions)
    assert store.active_episodes() == frozenset()
    assert store.state(TANK.node_id).status is NodeStatus.OFFLINE
    assert store.messages == ()


@pytest.mark.parametrize("batch_rows", [1, 17, 500])
async def test_lots_of_any_size_tell_the_same_story(exports, batch_rows) -> None:
    whole, _ = await import_file(exports / TANK_FILE, TANK_MAPPING)
    pieces, _ = await import_file(exports / TANK_FILE, TANK_MAPPING, batch_rows=batch_rows)

    assert pieces.readings(TANK.node_id) == whole.readings(TANK.node_id)
    assert [(t.kind, t.at) for t in pieces.transitions] == [
        (t.kind, t.at) for t in whole.transitions
    ]
    assert pieces.state(TANK.node_id).values == whole.state(TANK.node_id).values
