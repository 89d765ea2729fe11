"""The read endpoints of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.serialization import dump_json
from evara_core.thingspeak.simulator import answers
from evara_core.thingspeak.simulator.history import FIELDS
from evara_core.thingspeak.simulator.moments import zone_of
from evara_core.thingspeak.simulator.render import (
    Columns,
    channel_object,
    entry_object,
    feed_csv,
    feed_json,
)
from evara_core.thingspeak.simulator.request import CSV, JSON, TEXT, Reply
from evara_core.thingspeak.simulator.window import is_cached, rows_in, whole, window_of

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.cache import ReplyCache
    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.history import Row
    from evara_core.thingspeak.simulator.profile import Profile
    from evara_core.thingspeak.simulator.request import Request

__all__ = ["data_age", "entry", "feed", "last_entry", "last_value"]

_VALUE_SEARCH_ROWS = 8000
"""How far back the newest value of a field is looked for; the service stops after 5 seconds."""


def feed(
    channel: SimulatedChannel,
    request: Request,
    profile: Profile,
    cache: ReplyCache,
    *,
    field: int | None = None,
) -> Reply:
    """Answer a feed: all fields, or one."""
    if not channel.opens(request.key):
        return answers.denied_feed(request.extension, profile)
    params, now_s = request.params, request.now_s
    zone = zone_of(params, now_s=now_s)
    window = window_of(params, zone, now_s=now_s)
    last_entry_id = channel.history.last_entry_id(now_s)
    keeps = request.extension != "csv" and is_cached(params, window, last_entry_id)
    if keeps and (kept := cache.get(request.cache_key, now_s=now_s)) is not None:
        return kept
    rows = rows_in(channel.history, window, now_s=now_s)
    columns = _columns(channel, request, field)._replace(zone=zone)
    if request.extension == "csv":
        return Reply(200, CSV, feed_csv(rows, columns, iso=profile.csv_times_are_iso))
    told = channel_object(
        channel,
        profile,
        last_entry_id=last_entry_id,
        zone=zone,
        with_metadata=params.get("metadata") == "true",
    )
    reply = Reply(200, JSON, feed_json(told, rows, columns))
    if keeps:
        cache.put(request.cache_key, reply, now_s=now_s)
    return reply


def last_entry(channel: SimulatedChannel, request: Request, profile: Profile) -> Reply:
    """Answer the row that arrived last, which need not be the newest in time."""
    return entry(channel, request, profile, entry_id=channel.history.last_entry_id(request.now_s))


def entry(
    channel: SimulatedChannel,
    request: Request,
    profile: Profile,
    *,
    entry_id: int,
    field: int | None = None,
) -> Reply:
    """Answer one row by its id."""
    if not channel.opens(request.key):
        return answers.denied_entry(request.extension, profile)
    row = channel.history.by_id(entry_id, now_s=request.now_s)
    if row is None:
        return answers.nothing(request.extension, profile)
    return _entry_reply(row, _columns(channel, request, field), request, profile)


def last_value(
    channel: SimulatedChannel, request: Request, profile: Profile, *, field: int
) -> Reply:
    """Answer the newest row in which *field* is not null."""
    if not channel.opens(request.key):
        return answers.denied_entry(request.extension, profile)
    row = _newest_with(channel, field, request.now_s)
    if row is None:
        return answers.nothing(request.extension, profile)
    return _entry_reply(row, _columns(channel, request, field), request, profile)


def data_age(
    channel: SimulatedChannel, request: Request, profile: Profile, *, field: int | None = None
) -> Reply:
    """Answer how long ago the last row came; the age is text, even in JSON."""
    if not channel.opens(request.key):
        return answers.denied_entry(request.extension, profile)
    if field is None:
        row = channel.history.by_id(
            channel.history.last_entry_id(request.now_s), now_s=request.now_s
        )
    else:
        row = _newest_with(channel, field, request.now_s)
    if row is None:
        return answers.nothing(request.extension, profile)
    age = str(max(0, request.now_s - row.at_s))
    match request.extension:
        case "json":
            told = {"last_data_age": age, "last_data_age_units": "s"}
            return Reply(200, JSON, dump_json(told))
        case "csv":
            return Reply(200, CSV, f"last_data_age,last_data_age_units\n{age},s\n".encode())
        case _:
            return Reply(200, TEXT, age.encode())


def _newest_with(channel: SimulatedChannel, field: int, now_s: int) -> Row | None:
    if field not in channel.labels:
        return None
    wanted = 8
    while True:
        rows = channel.history.between(0, now_s, wanted, now_s=now_s)
        for row in reversed(rows):
            if row.values[field - 1] is not None:
                return row
        if len(rows) < wanted or wanted >= _VALUE_SEARCH_ROWS:
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


def _entry_reply(row: Row, columns: Columns, request: Request, profile: Profile) -> Reply:
    match request.extension:
        case "json":
            return Reply(200, JSON, dump_json(entry_object(row, columns)))
        case "csv":
            return Reply(200, CSV, feed_csv([row], columns, iso=profile.csv_times_are_iso))
        case _ if len(columns.fields) == 1:
            value = row.values[columns.fields[0] - 1] or ""
            params = request.params
            text = f"{params.get('prepend', '')}{value}{params.get('append', '')}"
            return Reply(200, TEXT, text.encode())
        case _:
            return Reply(200, TEXT, dump_json(entry_object(row, columns)))


def field_number(text: str) -> int | None:
    """Return the number of a field in a path, or None when there is no such field."""
    number = whole(text)
    return number if 1 <= number <= FIELDS and text.isdigit() else None
