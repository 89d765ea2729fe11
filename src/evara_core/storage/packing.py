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
    extra: dict[int, dict[str, Any]] = {
        place: {"fields": dict(reading.extra)}
        for place, reading in enumerate(readings)
        if reading.extra
    }
    flags: dict[int, dict[str, Any]] = {}
    columns: dict[str, list[Any]] = {
        "node_key": [keys[reading.node_id] for reading in readings],
        "measured_at": [reading.measured_at for reading in readings],
        "entry_id": [reading.entry_id for reading in readings],
        "received_at": [reading.received_at for reading in readings],
        **_metrics(readings, extra, flags),
    }
    revisions = [reading.mapping_revision for reading in readings]
    if revisions.count(1) < len(revisions):
        columns["mapping_revision"] = revisions
    for name, documents in (("extra", extra), ("flags", flags)):
        if documents:
            columns[name] = [
                storable_json(documents[place]) if place in documents else None
                for place in range(len(readings))
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


def _metrics(
    readings: Sequence[Reading],
    extra: dict[int, dict[str, Any]],
    flags: dict[int, dict[str, Any]],
) -> dict[str, list[float | None]]:
    """Return the columns of the metrics that have one; put the others, and what is odd, apart."""
    columns: dict[str, list[float | None]] = {}
    for names, places in _alike(readings).items():
        values = _values(readings, names, places, flags)
        for offset, name in enumerate(names):
            column = values[offset :: len(names)]
            if name not in _HAS_COLUMN:
                for place, value in zip(places, column, strict=True):
                    if value is not None:
                        extra.setdefault(place, {}).setdefault("metrics", {})[name] = value
            elif len(places) == len(readings):
                columns[name] = column
            else:
                whole = columns.setdefault(name, [None] * len(readings))
                for place, value in zip(places, column, strict=True):
                    whole[place] = value
    # In one order, whatever the readings': each order is another statement to prepare.
    return {name: columns[name] for name in METRIC_COLUMNS if name in columns}


def _alike(readings: Sequence[Reading]) -> dict[tuple[str, ...], list[int]]:
    """Return the places of the readings that tell of the same metrics, by these metrics.

    There are a few such groups, one or two for each kind of node, so that what is done for a
    metric is done for a whole column of values at once.
    """
    found: dict[tuple[str, ...], list[int]] = {}
    for place, reading in enumerate(readings):
        names = tuple(reading.values)
        if names in found:
            found[names].append(place)
        else:
            found[names] = [place]
    return found


def _values(
    readings: Sequence[Reading],
    names: Sequence[str],
    places: Sequence[int],
    flags: dict[int, dict[str, Any]],
) -> list[float | None]:
    """Return what is known of *names*, reading by reading; tell in *flags* of what is odd."""
    # Nearly all values are good: the others are looked for by the hole that they leave.
    values = [
        one.value if one.quality is _GOOD and one.raw is None else None
        for place in places
        for one in readings[place].values.values()
    ]
    if None in values:
        for number, value in enumerate(values):
            if value is None:
                place, name = places[number // len(names)], names[number % len(names)]
                measured = readings[place].values[name]
                flags.setdefault(place, {})[name] = _flag(measured)
                if measured.quality is not _BAD:
                    values[number] = measured.value
    return values


def _flag(measured: Measured) -> list[Any]:
    """Tell all but a value that has a place of its own."""
    kept = measured.value if measured.quality is _BAD else None
    return [measured.quality.value, measured.check, measured.raw, kept]
