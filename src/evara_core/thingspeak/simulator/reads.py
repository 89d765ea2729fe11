"""The read endpoints of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core.serialization import dump_json
from evara_core.thingspeak.simulator import answers
from evara_core.thingspeak.simulator.bins import aggregated, binning_of, filtered
from evara_core.thingspeak.simulator.history import FIELDS
from evara_core.thingspeak.simulator.markup import xml_document
from evara_core.thingspeak.simulator.moments import zone_of
from evara_core.thingspeak.simulator.render import (
    Columns,
    channel_object,
    entry_object,
    feed_csv,
    feed_objects,
    location_object,
)
from evara_core.thingspeak.simulator.request import CSV, JSON, TEXT, XML, Reply
from evara_core.thingspeak.simulator.window import (
    MAX_ROWS,
    is_cached,
    window_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.thingspeak.simulator.cache import ReplyCache
    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.history import Row
    from evara_core.thingspeak.simulator.profile import Profile
    from evara_core.thingspeak.simulator.request import Request

__all__ = [
    "data_age",
    "entry",
    "feed",
    "field_number",
    "last_entry",
    "last_value",
    "status_feed",
    "told_as",
]


def feed(
    channel: SimulatedChannel,
    request: Request,
    profile: Profile,
    cache: ReplyCache,
    *,
    field: int | None = None,
) -> Reply:
    """Answer a feed: all fields, or one."""
    if refused := answers.refused_feed(channel, request, profile):
        return refused
    params, now_s = request.params, request.now_s
    columns = _columns(channel, request, field)
    window = window_of(params, columns.zone, now_s=now_s)
    last_entry_id = channel.history.last_entry_id(now_s)
    keeps = request.extension != "csv" and is_cached(params, window, last_entry_id)
    if keeps and (kept := cache.get(request.cache_key, now_s=now_s)) is not None:
        return kept
    rows = channel.rows_in(window, now_s=now_s)
    numbered = True
    if params:
        if binning := binning_of(params):
            numbered = False
            freezes = profile.freezes_days and columns.zone is None and "daily" in params.values()
            kept_days = channel.kept_days if freezes else None
            rows = aggregated(rows, *binning, kept_days=kept_days, now_s=now_s)
        rows = filtered(rows, params, columns.fields)
    if request.extension == "csv":
        body = feed_csv(rows, columns, iso=profile.csv_times_are_iso, numbered=numbered)
        return Reply(200, CSV, body)
    told = channel_object(
        channel,
        profile,
        last_entry_id=last_entry_id,
        zone=columns.zone,
        with_metadata=params.get("metadata") == "true",
    )
    reply = _feed_reply(told, rows, columns, request)
    if keeps:
        cache.put(request.cache_key, reply, now_s=now_s)
    return reply


def status_feed(
    channel: SimulatedChannel, request: Request, profile: Profile, *, only_last: bool = False
) -> Reply:
    """Answer the status texts of the rows; null where a row has none."""
    if refused := answers.refused_entry(channel, request, profile):
        return refused
    columns = _columns(channel, request, None)._replace(fields=(), location=False, status=True)
    if only_last:
        last_id = channel.history.last_entry_id(request.now_s)
        row = channel.history.by_id(last_id, now_s=request.now_s)
        if row is None:
            return answers.nothing(request.extension, profile)
        return _entry_reply(row, columns, request, profile)
    window = window_of(request.params, columns.zone, now_s=request.now_s)
    rows = channel.rows_in(window, now_s=request.now_s)
    if request.extension == "csv":
        return Reply(200, CSV, feed_csv(rows, columns, iso=profile.csv_times_are_iso))
    told: dict[str, Any] = {"name": channel.name, **location_object(channel, profile)}
    if channel.elevation:
        told["elevation"] = channel.elevation
    return _feed_reply(told, rows, columns, request)


def last_entry(channel: SimulatedChannel, request: Request, profile: Profile) -> Reply:
    """Answer the row that arrived last, which need not be the newest in time."""
    last_id = channel.history.last_entry_id(request.now_s)
    return entry(channel, request, profile, entry_id=last_id)


def entry(
    channel: SimulatedChannel,
    request: Request,
    profile: Profile,
    *,
    entry_id: int,
    field: int | None = None,
) -> Reply:
    """Answer one row by its id."""
    if refused := answers.refused_entry(channel, request, profile):
        return refused
    row = channel.history.by_id(entry_id, now_s=request.now_s)
    if row is None:
        return answers.nothing(request.extension, profile)
    return _entry_reply(row, _columns(channel, request, field), request, profile)


def last_value(
    channel: SimulatedChannel, request: Request, profile: Profile, *, field: int
) -> Reply:
    """Answer the newest row in which *field* is not null."""
    if refused := answers.refused_entry(channel, request, profile):
        return refused
    row = _newest_with(channel, field, request.now_s)
    if row is None:
        return answers.nothing(request.extension, profile)
    return _entry_reply(row, _columns(channel, request, field), request, profile)


def data_age(
    channel: SimulatedChannel, request: Request, profile: Profile, *, field: int | None = None
) -> Reply:
    """Answer how long ago the last row came; the age is text, even in JSON."""
    if refused := answers.refused_entry(channel, request, profile):
        return refused
    if field is None:
        last_id = channel.history.last_entry_id(request.now_s)
        row = channel.history.by_id(last_id, now_s=request.now_s)
    else:
        row = _newest_with(channel, field, request.now_s)
    if row is None:
        return answers.nothing(request.extension, profile)
    age = str(max(0, request.now_s - row.at_s))
    told = {"last_data_age": age, "last_data_age_units": "s"}
    match request.extension:
        case "json" | "xml":
            return told_as(request.extension, "feed", told)
        case "csv":
            return Reply(200, CSV, f"last_data_age,last_data_age_units\n{age},s\n".encode())
        case _:
            return Reply(200, TEXT, age.encode())


def told_as(extension: str, root: str, told: dict[str, Any] | list[Any]) -> Reply:
    """Return *told* as XML if that is asked for, else as JSON."""
    if extension == "xml":
        return Reply(200, XML, xml_document(root, told))
    return Reply(200, JSON, dump_json(told))


def field_number(text: str) -> int | None:
    """Return the number of a field in a path, or None when there is no such field."""
    return int(text) if len(text) == 1 and "1" <= text <= str(FIELDS) else None


def _newest_with(channel: SimulatedChannel, field: int, now_s: int) -> Row | None:
    # The service gives up after 5 seconds of searching; we after as many rows as it returns.
    if field not in channel.labels:
        return None
    wanted = 8
    while True:
        rows = channel.history.between(0, now_s, wanted, now_s=now_s)
        for row in reversed(rows):
            if row.values[field - 1] is not None:
                return row
        if len(rows) < wanted or wanted >= MAX_ROWS:
            return None
        wanted *= 10


def _columns(channel: SimulatedChannel, request: Request, field: int | None) -> Columns:
    params = request.params
    fields = channel.visible_fields()
    if field is not None:
        fields = (field,) if field in fields else ()
    if not params:
        return Columns(fields)
    return Columns(
        fields,
        location=params.get("location", "").lower() == "true",
        status=params.get("status", "").lower() == "true",
        zone=zone_of(params, now_s=request.now_s),
    )


def _feed_reply(
    told: dict[str, Any], rows: Sequence[Row], columns: Columns, request: Request
) -> Reply:
    feeds = feed_objects(rows, columns)
    if request.extension == "xml":
        return told_as("xml", "channel", {**told, "feeds": feeds})
    return told_as("json", "", {"channel": told, "feeds": feeds})


def _entry_reply(row: Row, columns: Columns, request: Request, profile: Profile) -> Reply:
    match request.extension:
        case "json" | "xml":
            return told_as(request.extension, "feed", entry_object(row, columns))
        case "csv":
            return Reply(200, CSV, feed_csv([row], columns, iso=profile.csv_times_are_iso))
        case _ if len(columns.fields) == 1 and request.path[-3] in {"fields", "field"}:
            value = row.values[columns.fields[0] - 1] or ""
            params = request.params
            text = f"{params.get('prepend', '')}{value}{params.get('append', '')}"
            return Reply(200, TEXT, text.encode())
        case _:
            return Reply(200, TEXT, dump_json(entry_object(row, columns)))
