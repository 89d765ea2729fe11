"""From the bytes of a CSV file to cells, one row at a time, whatever the file went through.

The standard library's reader would do for a healthy file. It cannot tell an empty cell from
`""`, which here are "nothing was sent" and "empty text was sent", and one lost quote makes
it swallow the rest of the file as a single cell.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_ROW_CHARS", "Cells", "RawRow", "rows_of", "split_row"]

MAX_ROW_CHARS = 32_768
"""A row holds at most eight fields and a status of 255 bytes each; quoting doubles that."""

MAX_ROW_LINES = 64
"""A value with more line breaks than this is a lost quote."""

_CHUNK_BYTES = 65_536

Cells: TypeAlias = list[str | None]
"""None is an empty cell, `""` one that holds empty text."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file."""

    line: int
    """Where it begins, counted from 1."""

    text: str
    """Without its line ending."""

    problem: str | None = None
    """Why it cannot be read; None: it may be."""


def rows_of(file: BinaryIO) -> Iterator[RawRow]:
    """Yield the rows of *file*. Takes no more memory than the longest row allowed."""
    pending: list[str] = []
    begin, size, is_open = 1, 0, False
    for number, line, is_cut in _lines(file):
        if pending and (
            _ROW_START.match(line)
            or len(pending) >= MAX_ROW_LINES
            or size + len(line) > MAX_ROW_CHARS
        ):
            # What looks like the next row is the next row: the quote was lost.
            yield RawRow(begin, _bare("".join(pending)), _UNCLOSED)
            pending, size, is_open = [], 0, False
        if is_cut:
            yield RawRow(number, line, _TOO_LONG)
            continue
        if not pending:
            begin = number
        pending.append(line)
        size += len(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            yield RawRow(begin, _bare("".join(pending)))
            pending, size = [], 0
    if pending:
        yield RawRow(begin, _bare("".join(pending)), _UNCLOSED)


def split_row(text: str, delimiter: str) -> Cells:
    """Return the cells of one row."""
    if '"' not in text:
        return [cell or None for cell in text.split(delimiter)]
    cells: Cells = []
    position = 0
    quoted = re.compile(rf' ?"((?:[^"]|"")*)"?([^{re.escape(delimiter)}]*)')
    while True:
        found = quoted.match(text, position)
        if found:
            cells.append(found[1].replace('""', '"') + found[2])
            position = found.end()
        else:
            end = text.find(delimiter, position)
            end = len(text) if end < 0 else end
            cells.append(text[position:end] or None)
            position = end
        if position >= len(text):
            return cells
        position += 1


_UNCLOSED = "a quote is opened and never closed"
_TOO_LONG = f"longer than {MAX_ROW_CHARS} characters"

# A time and a number, in whatever way a row of an export may begin.
_ROW_START = re.compile(
    r'"?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,}[^,;\t"]*"?[,;\t]"?[0-9]+"?[,;\t\r\n]'
)


def _bare(text: str) -> str:
    text = text.removesuffix("\n")
    return text.removesuffix("\r")


def _lines(file: BinaryIO) -> Iterator[tuple[int, str, bool]]:
    """Yield (number, line with its ending, whether it was cut for its length)."""
    number, rest, is_skipping = 1, "", False
    ending = ""
    for text in _texts(file):
        ending = ending or _ending_of(text)
        *lines, rest = (rest + text).split(ending or "\n")
        for line in lines:
            if not is_skipping:
                is_long = len(line) > MAX_ROW_CHARS
                yield number, line[:MAX_ROW_CHARS] + ("" if is_long else "\n"), is_long
            is_skipping = False
            number += 1
        if len(rest) > MAX_ROW_CHARS:
            if not is_skipping:
                yield number, rest[:MAX_ROW_CHARS], True
            rest, is_skipping = "", True
    if rest and not is_skipping:
        yield number, rest, False


def _ending_of(text: str) -> str:
    # Very old spreadsheets end lines with a carriage return alone.
    if "\n" in text:
        return "\n"
    return "\r" if "\r" in text.rstrip("\r") else ""


def _texts(file: BinaryIO) -> Iterator[str]:
    start = file.read(_CHUNK_BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    # A byte that is not of the encoding is kept visible, and costs nobody the row.
    decoder = codecs.getincrementaldecoder(encoding)(errors="backslashreplace")
    chunk = start
    while chunk:
        yield decoder.decode(chunk)
        chunk = file.read(_CHUNK_BYTES)
    yield decoder.decode(b"", final=True)
