"""Readings in a table of metrics, as people keep them: a column of moments, and one for each."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evara_core.errors import InvalidExportError
from evara_core.telemetry.models import Measured, Quality, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    class _Rows(Protocol):
        """What `csv.reader` gives."""

        line_num: int

        def __iter__(self) -> Iterator[list[str]]: ...

        def __next__(self) -> list[str]: ...


__all__ = ["TIME_COLUMNS", "readings_in"]

TIME_COLUMNS = ("measured_at", "created_at", "time", "timestamp")
"""What the column of moments may be called."""

_ABSENT = Measured(None, Quality.MISSING)


def readings_in(lines: Iterable[str], *, node_id: str) -> Iterator[Reading]:
    """Yield one reading for each row of *lines*, a CSV whose first row names its columns.

    An empty cell is a value that was not sent, and one that is no number is a bad one. A moment
    without an offset is of UTC.

    Raises:
        InvalidExportError: It is no CSV, there is no column of moments, or a row without one;
            with its line.
    """
    rows = csv.reader(lines)
    try:
        yield from _readings(rows, node_id)
    except csv.Error as error:
        raise InvalidExportError(rows.line_num, str(error)) from error


def _readings(rows: _Rows, node_id: str) -> Iterator[Reading]:
    header = [name.strip() for name in next(rows, [])]
    found = [place for place, name in enumerate(header) if name in TIME_COLUMNS]
    if not found:
        problem = f"no column of moments (one of: {', '.join(TIME_COLUMNS)})"
        raise InvalidExportError(1, problem)
    metrics = [(n, name) for n, name in enumerate(header) if name and n != found[0]]
    for number, row in enumerate(rows, start=1):
        if not any(row):
            continue
        at = _moment(row, found[0], rows.line_num)
        values = {name: _measured(row[n] if n < len(row) else "") for n, name in metrics}
        yield Reading(
            node_id=node_id, measured_at=at, entry_id=number, received_at=at, values=values
        )


def _moment(row: list[str], place: int, line: int) -> datetime:
    try:
        at = datetime.fromisoformat(row[place].strip())
    except (IndexError, ValueError) as error:
        raise InvalidExportError(line, "no date of ISO 8601") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _measured(cell: str) -> Measured:
    text = cell.strip()
    if not text:
        return _ABSENT
    try:
        value = float(text)
    except ValueError:
        return Measured(None, Quality.BAD, "number", text[:64])
    if not math.isfinite(value):
        return Measured(None, Quality.BAD, "number", text[:64])
    return Measured(value)
