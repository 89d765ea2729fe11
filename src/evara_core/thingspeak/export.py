"""Reading ThingSpeak's CSV: the website's export in both its forms, and the API's answer.

Files come through spreadsheets and mail programs, so damage is expected: what can be put
right without a guess is, row by row; what cannot is set aside with its line and reason; a
file that is not an export at all is refused.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from evara_core.errors import InvalidExportError, InvalidInputError
from evara_core.thingspeak.csv_rows import RawRow, rows_of, split_row
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.rows import FIELDS
from evara_core.thingspeak.times import parse_time

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from datetime import datetime

    from evara_core.thingspeak.csv_rows import Cells

__all__ = ["ExportReader", "ExportReport", "UnreadableRow", "read_export"]

MAX_TEXT: Final = 1_000
"""How much of an unreadable row is kept."""

HOPELESS_ROWS: Final = 20
"""When this many rows at the beginning are all unreadable, it is the file, not the rows."""

REMEMBERED_ROWS: Final = 10_000
"""How far back a row is recognised as one that was there before."""

MAX_NOTED: Final = 100
"""How many lines the report lists of each kind of oddity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRow:
    """A row that was set aside."""

    line: int
    """Where it begins, counted from 1."""

    reason: str
    text: str
    """As it stands in the file, cut to a bounded length."""


@dataclass(slots=True, kw_only=True)
class ExportReport:
    """What a file held. It is complete when the reader has come to the end."""

    entries: int = 0
    set_aside: int = 0
    repaired: int = 0
    """Entries that could be read only after something was put right."""

    repairs: set[str] = field(default_factory=set)
    """What was put right."""

    restarts: list[int] = field(default_factory=list)
    """Lines at which ids start again: the channel was cleared there. At most 100."""

    reused_ids: int = 0
    """Entries whose id an entry of another time has, or had."""

    out_of_order: int = 0
    """Entries that are older than the one before them."""

    first_at: datetime | None = None
    last_at: datetime | None = None


class ExportReader:
    """The rows of one file, as they come; and a report of them.

    Args:
        file: Read from where it stands, and left open.

    Iterating raises `InvalidExportError` if the file is no export: without a header that
    can be read, or with nothing but unreadable rows at its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.report = ExportReport()
        self._rows = rows_of(file)
        self._known: OrderedDict[tuple[int, datetime], tuple[int, Entry]] = OrderedDict()
        self._highest = 0
        self._previous: Entry | None = None

    def __iter__(self) -> Iterator[Entry | UnreadableRow]:
        header = _header_of(self._rows)
        held: list[UnreadableRow] | None = []
        for raw in self._rows:
            if not raw.text.strip(header.delimiter + ' \t\r\n"'):
                continue
            row = self._read(raw, header)
            if held is None:
                yield row
            elif isinstance(row, UnreadableRow):
                held.append(row)
                if len(held) == HOPELESS_ROWS:
                    raise _hopeless(held)
            else:
                yield from held
                held = None
                yield row
        if held:
            raise _hopeless(held)

    def _read(self, raw: RawRow, header: _Header) -> Entry | UnreadableRow:
        try:
            entry, repairs = _entry(raw, header)
            self._refuse_repeated(entry, raw.line)
        except InvalidInputError as error:
            self.report.set_aside += 1
            return UnreadableRow(line=raw.line, reason=str(error), text=raw.text[:MAX_TEXT])
        self._note(entry, raw.line)
        if repairs:
            self.report.repaired += 1
            self.report.repairs |= repairs
        return entry

    def _refuse_repeated(self, entry: Entry, line: int) -> None:
        identity = (entry.entry_id, entry.created_at)
        if identity in self._known:
            first_line, first = self._known[identity]
            what = "the same as" if first == entry else "other values for the entry of"
            problem = f"{what} line {first_line}"
            raise InvalidInputError(problem)
        self._known[identity] = (line, entry)
        if len(self._known) > REMEMBERED_ROWS:
            self._known.popitem(last=False)

    def _note(self, entry: Entry, line: int) -> None:
        report, previous = self.report, self._previous
        report.entries += 1
        report.first_at = min(report.first_at or entry.created_at, entry.created_at)
        report.last_at = max(report.last_at or entry.created_at, entry.created_at)
        if previous is not None:
            report.out_of_order += entry.created_at < previous.created_at
            if entry.entry_id <= self._highest:
                report.reused_ids += 1
            if entry.entry_id < previous.entry_id and entry.created_at >= previous.created_at:
                report.restarts.append(line)
                del report.restarts[MAX_NOTED:]
        self._highest = max(self._highest, entry.entry_id)
        self._previous = entry


def read_export(path: str | os.PathLike[str]) -> Iterator[Entry | UnreadableRow]:
    """Yield what the file at *path* holds, row by row, in constant memory.

    `ExportReader` does the same for an open file and keeps a report.

    Raises:
        InvalidExportError: It is not an export.
        OSError: It cannot be opened.
    """
    with Path(path).open("rb") as file:
        yield from ExportReader(file)


_NAMES = {"created_at", "entry_id", "latitude", "longitude", "elevation", "status"} | {
    name for _, name in FIELDS
}

WRAPPED: Final = "each row was one quoted cell"
SEPARATED: Final = "cells were separated by other marks than commas"
PADDED: Final = "empty cells were appended"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    delimiter: str
    names: tuple[str, ...]
    repairs: frozenset[str]


def _header_of(rows: Iterator[RawRow]) -> _Header:
    for raw in rows:
        text = raw.text.strip().lower()
        if not text.strip('",;\t') or re.fullmatch(r"sep=.", text):
            continue
        return _parse_header(raw, text)
    raise InvalidExportError(0, "the file is empty")


def _parse_header(raw: RawRow, text: str) -> _Header:
    if text in {"-1", '"-1"'}:
        problem = "ThingSpeak answered -1: the channel is private and was asked without its key"
        raise InvalidExportError(raw.line, problem)
    if text.startswith(("<", "{", "[")):
        problem = "this is a web page or JSON, not CSV"
        raise InvalidExportError(raw.line, problem)
    repairs = set()
    if text.startswith('"') and text.count('"') == 2:  # noqa: PLR2004 - one pair around it all
        text = text.strip('"')
        repairs.add(WRAPPED)
    delimiter = max(",;\t", key=text.count)
    if delimiter != ",":
        repairs.add(SEPARATED)
    names = [(cell or "").strip() for cell in split_row(text, delimiter)]
    while names and not names[-1]:
        names.pop()
    _check_names(names, raw.line)
    return _Header(delimiter=delimiter, names=tuple(names), repairs=frozenset(repairs))


def _check_names(names: list[str], line: int) -> None:
    unknown = [name for name in names if name not in _NAMES]
    if unknown:
        problem = (
            f"the header has columns that no export has: {', '.join(unknown)[:100]!r}; "
            f"known are {', '.join(sorted(_NAMES))}"
        )
        raise InvalidExportError(line, problem)
    if "entry_id" not in names and "created_at" in names:
        problem = "there is no entry_id: these are averages or sums, not entries"
        raise InvalidExportError(line, problem)
    missing = {"created_at", "entry_id"} - set(names)
    if missing or len(set(names)) != len(names):
        problem = f"the header lacks {', '.join(sorted(missing)) or 'distinct names'}"
        raise InvalidExportError(line, problem)


def _entry(raw: RawRow, header: _Header) -> tuple[Entry, set[str]]:
    """Read one row; tell what was put right in it.

    Raises:
        InvalidInputError: It cannot be read.
    """
    if raw.problem:
        raise InvalidInputError(raw.problem)
    repairs = set(header.repairs)
    cells = split_row(raw.text, header.delimiter)
    if len(cells) == 1 and cells[0] and len(header.names) > 1:
        cells = split_row(cells[0], header.delimiter)
        repairs.add(WRAPPED)
    width = len(header.names)
    if len(cells) > width:
        if any(cells[width:]):
            problem = f"{len(cells)} cells, and the header has {width}"
            raise InvalidInputError(problem)
        del cells[width:]
        repairs.add(PADDED)
    if len(cells) < width:
        problem = f"{len(cells)} cells, and the header has {width}"
        raise InvalidInputError(problem)
    return _from_cells(cells, header), repairs


def _from_cells(cells: Cells, header: _Header) -> Entry:
    row = dict(zip(header.names, cells, strict=True))
    entry_id = (row["entry_id"] or "").strip()
    if not re.fullmatch(r"[0-9]{1,18}", entry_id):
        problem = f"not an entry id: {entry_id[:40]!r}"
        raise InvalidInputError(problem)
    return Entry(
        entry_id=int(entry_id),
        created_at=parse_time(row["created_at"] or ""),
        fields={number: row[name] for number, name in FIELDS if name in row},
        status=row.get("status"),
        latitude=row.get("latitude"),
        longitude=row.get("longitude"),
        elevation=row.get("elevation"),
    )


def _hopeless(held: list[UnreadableRow]) -> InvalidExportError:
    first = held[0]
    return InvalidExportError(
        first.line, f"none of the first {len(held)} rows can be read: {first.reason}"
    )
