"""The three genuine exports, each with its oddities."""

from __future__ import annotations

from pathlib import Path

import pytest

from evara_core.thingspeak.export import WRAPPED, ExportReader, ExportReport
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.values import ValueKind, number, parse_value


def read(path: Path) -> tuple[list[Entry], ExportReport]:
    with path.open("rb") as file:
        reader = ExportReader(file)
        rows = list(reader)
    entries = [row for row in rows if isinstance(row, Entry)]
    assert len(entries) == len(rows) == reader.report.entries
    return entries, reader.report


def test_the_water_tank_is_read_whole(exports: Path) -> None:
    entries, report = read(exports / "water-tank-level.MOCmaniac.csv")

    assert [entry.entry_id for entry in entries] == list(range(1, 2133))
    assert report.repaired == report.out_of_order == report.reused_ids == 0
    assert entries[0].fields == {1: "1060", 2: "3672", 3: "4.12300", 4: "0"}


def test_the_water_tank_never_goes_back_in_time_though_its_clock_does(exports: Path) -> None:
    entries, _ = read(exports / "water-tank-level.MOCmaniac.csv")

    times = [entry.created_at for entry in entries]

    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {times[0].utcoffset()}


def test_the_water_tank_has_five_negative_levels(exports: Path) -> None:
    entries, _ = read(exports / "water-tank-level.MOCmaniac.csv")

    levels = [number(entry.fields[1]) for entry in entries]

    assert sum(level is not None and level < 0 for level in levels) == 5


def test_the_river_node_keeps_status_and_place(exports: Path) -> None:
    entries, report = read(exports / "river-node-with-status-location.more4water.csv")

    assert len(entries) == 975
    assert report.repaired == 0
    assert sum(entry.latitude is None for entry in entries) == 147
    assert entries[0].status == "[06-06-2025 12:07:37] GPS OK, uSD OK, "
    assert entries[0].fields[7] == "23.450000000000003"


def test_the_mangled_river_node_is_unwrapped_row_by_row(exports: Path) -> None:
    entries, report = read(exports / "river-node-excel-mangled.more4water-villaverla.csv")

    assert len(entries) == report.repaired == 913
    assert report.repairs == {WRAPPED}
    assert entries[0].latitude == "45.613811"
    assert set(entries[1].fields.values()) == {None}
    assert entries[1].status == "[11-07-2025 10:36:33] GPS OK, uSD OK, CFG RCV OK, "


@pytest.mark.parametrize(
    "name",
    [
        "water-tank-level.MOCmaniac.csv",
        "river-node-with-status-location.more4water.csv",
        "river-node-excel-mangled.more4water-villaverla.csv",
    ],
)
def test_every_value_is_a_number_or_was_not_sent(exports: Path, name: str) -> None:
    entries, _ = read(exports / name)

    kinds = {parse_value(text).kind for entry in entries for text in entry.fields.values()}

    assert kinds <= {ValueKind.NUMBER, ValueKind.NULL}
