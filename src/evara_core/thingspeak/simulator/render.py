"""Rows and channels as JSON and CSV, the way the service prints them."""

from __future__ import annotations

import csv
import io
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from evara_core.thingspeak.simulator.moments import csv_time, json_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.history import Row
    from evara_core.thingspeak.simulator.profile import Profile

__all__ = [
    "Columns",
    "channel_object",
    "entry_object",
    "feed_csv",
    "feed_objects",
    "location_object",
]


class Columns(NamedTuple):
    """What is told of each row."""

    fields: tuple[int, ...]
    location: bool = False
    status: bool = False
    zone: tzinfo | None = None

    def names(self) -> list[str]:
        """Return the columns after created_at and entry_id."""
        names = [f"field{number}" for number in self.fields]
        if self.location:
            names += ["latitude", "longitude", "elevation"]
        if self.status:
            names.append("status")
        return names

    def of(self) -> Callable[[Row], Sequence[str | None]]:
        """Return what picks those columns out of a row."""
        indices = [number - 1 for number in self.fields]
        location, status = self.location, self.status
        if not location and not status:
            if len(indices) > 1:
                several = itemgetter(*indices)
                return lambda row: several(row.values)
            return lambda row: [row.values[index] for index in indices]

        def pick(row: Row) -> Sequence[str | None]:
            picked: list[str | None] = [row.values[index] for index in indices]
            if location:
                picked += (row.latitude, row.longitude, row.elevation)
            if status:
                picked.append(row.status)
            return picked

        return pick


def location_object(channel: SimulatedChannel, profile: Profile) -> dict[str, Any]:
    """Return the position as the channel object has it; what is unset is absent."""
    latitude = channel.latitude if channel.latitude is not None else profile.unset_location
    longitude = channel.longitude if channel.longitude is not None else profile.unset_location
    told = {"latitude": latitude, "longitude": longitude}
    return {name: value for name, value in told.items() if value is not None}


def channel_object(
    channel: SimulatedChannel,
    profile: Profile,
    *,
    last_entry_id: int,
    zone: tzinfo | None = None,
    with_metadata: bool = False,
) -> dict[str, Any]:
    """Return the `channel` object of a feed, with its keys in the service's order."""
    told: dict[str, Any] = {"id": channel.channel_id, "name": channel.name}
    if channel.description:
        told["description"] = channel.description
    if with_metadata and channel.metadata:
        told["metadata"] = channel.metadata
    told.update(location_object(channel, profile))
    for number in channel.visible_fields():
        told[f"field{number}"] = channel.labels[number]
    told["created_at"] = json_time(channel.created_s, zone)
    told["updated_at"] = json_time(channel.updated_s, zone)
    if channel.elevation:
        told["elevation"] = channel.elevation
    told["last_entry_id"] = last_entry_id or None
    return told


def entry_object(row: Row, columns: Columns) -> dict[str, Any]:
    """Return one row as an object. Bins of an aggregation have no entry_id."""
    return feed_objects((row,), columns)[0]


def feed_objects(rows: Sequence[Row], columns: Columns) -> list[dict[str, Any]]:
    """Return rows as objects."""
    pick, zone = columns.of(), columns.zone
    names = ("created_at", "entry_id", *columns.names())
    objects: list[dict[str, Any]] = [
        dict(zip(names, (json_time(row.at_s, zone), row.entry_id, *pick(row)), strict=True))
        for row in rows
    ]
    if rows and not rows[0].entry_id:
        for told in objects:
            del told["entry_id"]
    return objects


def feed_csv(
    rows: Sequence[Row], columns: Columns, *, iso: bool, numbered: bool = True, headed: bool = True
) -> bytes:
    """Return rows as CSV: null is nothing between commas, the empty string is `""`."""
    pick, zone = columns.of(), columns.zone
    lead = ["created_at", "entry_id"] if numbered else ["created_at"]
    lines = [",".join([*lead, *columns.names()])] if headed else []
    for row in rows:
        cells = [csv_time(row.at_s, zone, iso=iso)]
        if numbered:
            cells.append(str(row.entry_id))
        cells += ["" if value is None else _cell(value) for value in pick(row)]
        lines.append(",".join(cells))
    return "".join(f"{line}\n" for line in lines).encode()


def _cell(value: str) -> str:
    if value and not any(sign in value for sign in ',"\r\n'):
        return value
    quoted = io.StringIO()
    csv.writer(quoted, quoting=csv.QUOTE_ALL, lineterminator="").writerow([value])
    return quoted.getvalue()
