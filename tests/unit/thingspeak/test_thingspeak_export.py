"""Exports, whole and damaged."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidExportError
from evara_core.thingspeak.csv_rows import MAX_ROW_CHARS, split_row
from evara_core.thingspeak.export import (
    PADDED,
    SEPARATED,
    WRAPPED,
    ExportReader,
    ExportReport,
    UnreadableRow,
    read_export,
)
from evara_core.thingspeak.models import Entry

HEADER = "created_at,entry_id,field1,field2,latitude,longitude,elevation,status\n"
FIRST = datetime(2018, 12, 18, 12, 13, 41, tzinfo=UTC)


def read(text: str | bytes) -> tuple[list[Entry], list[UnreadableRow], ExportReport]:
    data = text.encode() if isinstance(text, str) else text
    reader = ExportReader(io.BytesIO(data))
    rows = list(reader)
    entries = [row for row in rows if isinstance(row, Entry)]
    aside = [row for row in rows if isinstance(row, UnreadableRow)]
    assert (len(entries), len(aside)) == (reader.report.entries, reader.report.set_aside)
    return entries, aside, reader.report


@pytest.mark.parametrize(
    "text",
    [
        "created_at,entry_id,field1\n2018-12-18 12:13:41 UTC,7,3.2\n",
        "created_at,entry_id,field1\n2018-12-18T13:13:41+01:00,7,3.2\n",
        "created_at,entry_id,field1\r\n2018-12-18T12:13:41+00:00,7,3.2\r\n",
        "created_at,entry_id,field1\r2018-12-18T12:13:41Z,7,3.2\r",
        "\ufeffcreated_at,entry_id,field1\n2018-12-18T12:13:41Z,7,3.2",
        "created_at;entry_id;field1\n2018-12-18T12:13:41Z;7;3.2\n",
        "sep=;\ncreated_at;entry_id;field1\n2018-12-18T12:13:41Z;7;3.2\n",
        "created_at\tentry_id\tfield1\n2018-12-18T12:13:41Z\t7\t3.2\n",
        "\n\nCreated_At,Entry_ID,Field1\n\n2018-12-18T12:13:41Z,7,3.2\n\n",
        '"created_at","entry_id","field1"\n"2018-12-18T12:13:41Z","7","3.2"\n',
        '"created_at,entry_id,field1"\n"2018-12-18T12:13:41Z,7,3.2"\n',
        "created_at,entry_id,field1,,\n2018-12-18T12:13:41Z,7,3.2,,\n",
        "field1,entry_id,created_at\n3.2,7,2018-12-18T12:13:41Z\n",
    ],
)
def test_every_form_of_the_same_export(text: str) -> None:
    entries, aside, _ = read(text)

    assert entries == [Entry(entry_id=7, created_at=FIRST, fields={1: "3.2"})]
    assert not aside


def test_utf_16_is_read() -> None:
    text = "created_at,entry_id,field1\n2018-12-18T12:13:41Z,7,ä\n"

    entries, _, _ = read(text.encode("utf-16"))

    assert entries[0].fields == {1: "ä"}


def test_a_byte_that_is_not_utf_8_is_kept_visible() -> None:
    entries, _, _ = read(b"created_at,entry_id,field1\n2018-12-18T12:13:41Z,7,caf\xe9\n")

    assert entries[0].fields == {1: "caf\\xe9"}


def test_nothing_and_empty_text_are_kept_apart() -> None:
    entries, _, _ = read(HEADER + '2018-12-18T12:13:41Z,7,,"",,,,""\n')

    assert entries[0].fields == {1: None, 2: ""}
    assert (entries[0].status, entries[0].latitude) == ("", None)


def test_line_breaks_and_quotes_inside_a_value() -> None:
    entries, _, _ = read(HEADER + '2018-12-18T12:13:41Z,7,"812.26\n\n","54\r\n",,,,"a ""b"", c"\n')

    assert entries[0].fields == {1: "812.26\n\n", 2: "54\r\n"}
    assert entries[0].status == 'a "b", c'


def test_a_row_wrapped_into_one_cell_is_unwrapped() -> None:
    row = '"2018-12-18T12:13:41Z,7,1,2,45.6,11.4,2,""GPS OK, uSD OK, """\n'

    entries, _, report = read(HEADER + row)

    assert entries[0].status == "GPS OK, uSD OK, "
    assert (report.repaired, report.repairs) == (1, {WRAPPED})


def test_repairs_are_told() -> None:
    _, _, separated = read("created_at;entry_id\n2018-12-18T12:13:41Z;7\n")
    _, _, padded = read("created_at,entry_id\n2018-12-18T12:13:41Z,7,,\n")

    assert separated.repairs == {SEPARATED}
    assert padded.repairs == {PADDED}


GOOD = "2018-12-18T12:13:41Z,1,1,2,,,,\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("18/12/2018 12:13,2,1,2,,,,", "not a time"),
        ("2018-12-18 12:14,2,1,2,,,,", "no seconds or no offset"),
        ("2018-12-18T12:14:41,2,1,2,,,,", "no seconds or no offset"),
        ("2018-12-18T12:14:41Z,2,1", "3 cells"),
        ("2018-12-18T12:14:41Z,2,1,2,,,,,more", "9 cells"),
        ("2018-12-18T12:14:41Z,1E+05,1,2,,,,", "not an entry id"),
        ("2018-12-18T12:14:41Z,,1,2,,,,", "not an entry id"),
        ("2018-12-18T12:14:41Z,-2,1,2,,,,", "not an entry id"),
        (",2,1,2,,,,", "not a time"),
        ("x" * (MAX_ROW_CHARS + 5), "longer than"),
        (GOOD.strip(), "the same as line 2"),
        ("2018-12-18T12:13:41Z,1,9,9,,,,", "other values for the entry of line 2"),
    ],
)
def test_a_row_that_cannot_be_read_is_set_aside(row: str, reason: str) -> None:
    after = "2018-12-18T12:15:41Z,3,1,2,,,,\n"

    entries, aside, _ = read(HEADER + GOOD + row + "\n" + after)

    assert [entry.entry_id for entry in entries] == [1, 3]
    assert [(bad.line, bad.text) for bad in aside] == [(3, row[:1000])]
    assert reason in aside[0].reason


def test_a_lost_quote_costs_one_row_and_not_the_file() -> None:
    rows = [f"2018-12-18T12:13:{n:02}Z,{n},1,2,,,,\n" for n in range(10, 50)]
    rows[5] = '2018-12-18T12:13:15Z,15,"1,2,,,,\n'

    entries, aside, _ = read(HEADER + "".join(rows))

    assert len(entries) == 39
    assert [(bad.line, bad.reason) for bad in aside] == [(7, "a quote is opened and never closed")]


def test_a_lost_quote_at_the_end_is_set_aside() -> None:
    _, aside, _ = read(HEADER + GOOD + '2018-12-18T12:14:41Z,2,"1,2')

    assert [bad.line for bad in aside] == [3]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 0, "empty"),
        ("\n\n", 0, "empty"),
        ("-1", 1, "without its key"),
        ("<html></html>", 1, "web page"),
        ('{"channel":{}}', 1, "web page or JSON"),
        ("Time,Level\n1,2\n", 1, "no export has: 'time, level'"),
        ("created_at,entry_id,Water level\n", 1, "water level"),
        ("created_at,field1\n2018-12-18T12:13:41Z,1\n", 1, "averages or sums"),
        ("entry_id,field1\n1,1\n", 1, "lacks created_at"),
        ("created_at,entry_id,field1,field1\n", 1, "distinct names"),
        ("created_at,entry_id\n2018-12-18 12:13,7\n", 2, "no seconds or no offset"),
        ("created_at,entry_id\n" + "nonsense,1\n" * 30, 2, "none of the first 20 rows"),
    ],
)
def test_what_is_no_export_is_refused(text: str, line: int, problem: str) -> None:
    with pytest.raises(InvalidExportError, match=problem) as caught:
        read(text)

    assert caught.value.line == line


def test_a_header_alone_is_an_export_of_nothing() -> None:
    assert read(HEADER)[0] == []


def test_a_restart_of_ids_is_noted_and_nothing_lost() -> None:
    rows = [f"2018-12-18T12:13:{n:02}Z,{n},1,2,,,,\n" for n in range(1, 6)]
    again = [f"2018-12-18T12:14:{n:02}Z,{n},1,2,,,,\n" for n in range(1, 4)]

    entries, aside, report = read(HEADER + "".join(rows + again))

    assert [entry.entry_id for entry in entries] == [1, 2, 3, 4, 5, 1, 2, 3]
    assert not aside
    assert (report.restarts, report.reused_ids, report.out_of_order) == ([7], 3, 0)


def test_the_report_tells_when_it_began_and_ended() -> None:
    late = "2018-12-18T11:00:00Z,2,1,2,,,,\n"

    _, _, report = read(HEADER + GOOD + late)

    assert (report.first_at, report.last_at) == (datetime(2018, 12, 18, 11, tzinfo=UTC), FIRST)
    assert report.out_of_order == 1


def test_reads_a_path(tmp_path: Path) -> None:
    path = tmp_path / "feeds.csv"
    path.write_text(HEADER + GOOD)

    assert [type(row) for row in read_export(path)] == [Entry]


class Endless(io.RawIOBase):
    """A file that goes on and on."""

    def __init__(self, piece: bytes, times: int) -> None:
        self._start = HEADER.encode() + GOOD.encode()
        self._piece, self._times = piece, times

    def read(self, size: int = -1) -> bytes:
        if self._start:
            start, self._start = self._start, b""
            return start
        self._times -= 1
        return self._piece if self._times >= 0 else b""


@pytest.mark.parametrize(
    ("piece", "times"),
    [
        (b"x" * 65_536, 400),
        (b'"' + b"x" * 65_535, 400),
        (b"\n" * 65_536, 5),
        (b'a,"b\n' * 13_000, 6),
        (b",\n" * 30_000, 10),
    ],
    ids=["one line", "one quote", "empty lines", "open quotes", "empty cells"],
)
def test_memory_stays_where_it_is(piece: bytes, times: int) -> None:
    tracemalloc.start()
    try:
        for _ in ExportReader(Endless(piece, times)):  # type: ignore[arg-type]
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3_000_000


CELLS = st.lists(
    st.none() | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r")),
    min_size=1,
    max_size=5,
)


@given(cells=CELLS, delimiter=st.sampled_from([",", ";", "\t"]))
def test_a_row_is_split_into_what_it_was_joined_of(cells: list[str | None], delimiter: str) -> None:
    row = delimiter.join(
        "" if cell is None else '"{}"'.format(cell.replace('"', '""')) for cell in cells
    )

    assert split_row(row, delimiter) == cells


VALUES = st.none() | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=12
)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=20))
def test_what_an_export_says_is_what_is_read(rows: list[tuple[str | None, ...]]) -> None:
    def cell(value: str | None) -> str:
        return "" if value is None else '"{}"'.format(value.replace('"', '""'))

    lines = [HEADER]
    wanted = []
    for number, (one, two, status) in enumerate(rows, start=1):
        at = FIRST + timedelta(minutes=number)
        lines.append(
            f"{at:%Y-%m-%d %H:%M:%S} UTC,{number},{cell(one)},{cell(two)},,,,{cell(status)}\n"
        )
        wanted.append(Entry(entry_id=number, created_at=at, fields={1: one, 2: two}, status=status))

    entries, aside, _ = read("".join(lines))

    assert entries == wanted
    assert not aside


@given(
    st.binary(max_size=600)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    lines = (HEADER + GOOD).encode() + data

    entries, _, _ = read(lines)

    assert entries[0].entry_id == 1
    try:
        read(data)
    except InvalidExportError as error:
        assert len(str(error)) < 400  # noqa: PT017 - either outcome is right
