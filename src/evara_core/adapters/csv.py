"""Readings as CSV (RFC 4180), a lot at a time."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.telemetry.models import Measured, Reading

__all__ = ["csv_head", "csv_rows"]


def csv_head(metrics: Sequence[str]) -> bytes:
    """Return the line of names: each metric has a column, and one for its quality."""
    names = [f"{metric}{ending}" for metric in metrics for ending in ("", "_quality")]
    return _written([["measured_at", "received_at", "entry_id", *names]])


def csv_rows(readings: Iterable[Reading], metrics: Sequence[str]) -> bytes:
    """Return a line for each reading. A missing value is empty."""
    return _written(
        [
            reading.measured_at.isoformat().replace("+00:00", "Z"),
            reading.received_at.isoformat().replace("+00:00", "Z"),
            reading.entry_id,
            *(cell for metric in metrics for cell in _cells(reading.values.get(metric))),
        ]
        for reading in readings
    )


def _cells(measured: Measured | None) -> tuple[float | None, str]:
    return (None, Quality.MISSING) if measured is None else (measured.value, measured.quality)


def _written(lines: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()
