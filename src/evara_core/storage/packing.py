"""Readings as rows, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core.storage.bulk import storable_json
from evara_core.storage.tables import METRIC_COLUMNS
from evara_core.telemetry.models import Measured, Quality, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row

__all__ = ["packed", "unpacked"]

_HAS_COLUMN = frozenset(METRIC_COLUMNS)
_GOOD = Quality.GOOD
_BAD = Quality.BAD


def packed(readings: Sequence[Reading], keys: Mapping[str, int]) -> dict[str, list[Any]]:
    """Return *readings* as columns of `readings`, without those that would be empty.

    Args:
        readings: Of nodes that *keys* has.
        keys: Node id → node key.
    """
    count = len(readings)
    metrics: dict[str, list[float | None]] = {}
    extra: dict[int, dict[str, Any]] = {}
    flags: dict[int, dict[str, Any]] = {}
    for place, reading in enumerate(readings):
        for name, measured in reading.values.items():
            value = measured.value
            if measured.quality is not _GOOD or value is None or measured.raw is not None:
                flags.setdefault(place, {})[name] = _flag(measured)
                if measured.quality is _BAD or value is None:
                    continue
            # Most values are good and have a column that another reading has begun.
            column = metrics.get(name)
            if column is not None:
                column[place] = value
            elif name in _HAS_COLUMN:
                metrics[name] = [None] * count
                metrics[name][place] = value
            else:
                extra.setdefault(place, {}).setdefault("metrics", {})[name] = value
        if reading.extra:
            extra.setdefault(place, {})["fields"] = dict(reading.extra)
    columns: dict[str, list[Any]] = {
        "node_key": [keys[reading.node_id] for reading in readings],
        "measured_at": [reading.measured_at for reading in readings],
        "entry_id": [reading.entry_id for reading in readings],
        "received_at": [reading.received_at for reading in readings],
        **metrics,
    }
    if any([reading.mapping_revision != 1 for reading in readings]):
        columns["mapping_revision"] = [reading.mapping_revision for reading in readings]
    for name, documents in (("extra", extra), ("flags", flags)):
        if documents:
            columns[name] = [
                storable_json(documents[place]) if place in documents else None
                for place in range(count)
            ]
    return columns


def unpacked(row: Row[Any]) -> Reading:
    """Return the reading of a row that has `node_id` and the columns of `readings`."""
    fields = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    extra = fields["extra"] or {}
    values = {name: Measured(fields[name]) for name in METRIC_COLUMNS if fields[name] is not None}
    values |= {name: Measured(value) for name, value in extra.get("metrics", {}).items()}
    for name, (quality, check, raw, value) in (fields["flags"] or {}).items():
        known = values[name].value if name in values else value
        values[name] = Measured(known, Quality(quality), check, raw)
    return Reading(
        node_id=fields["node_id"],
        measured_at=fields["measured_at"],
        entry_id=fields["entry_id"],
        received_at=fields["received_at"],
        values=values,
        extra=extra.get("fields", {}),
        mapping_revision=fields["mapping_revision"] or 1,
    )


def _flag(measured: Measured) -> list[Any]:
    """Tell all but a value that has a place of its own."""
    kept = measured.value if measured.quality is _BAD else None
    return [measured.quality.value, measured.check, measured.raw, kept]
