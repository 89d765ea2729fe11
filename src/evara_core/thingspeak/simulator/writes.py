"""Writing: one row at a time, and many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core.errors import InvalidJsonError
from evara_core.serialization import dump_json, load_json
from evara_core.thingspeak.simulator import answers
from evara_core.thingspeak.simulator.history import FIELDS, Coming, Row
from evara_core.thingspeak.simulator.markup import xml_document
from evara_core.thingspeak.simulator.moments import json_time, read_time, zone_of
from evara_core.thingspeak.simulator.request import JSON, TEXT, XML, Reply
from evara_core.thingspeak.simulator.window import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.request import Request
    from evara_core.thingspeak.simulator.service import Service

__all__ = ["MAX_MESSAGE_BYTES", "MAX_VALUE_BYTES", "bulk_update", "update"]

MAX_VALUE_BYTES = 255
"""Of a field, a status, a position."""

MAX_MESSAGE_BYTES = 3000

_MAX_S = 253_402_128_000  # 9999-12-30, the last day that can be printed in every zone
_BULK_COLUMNS = 1 + FIELDS + 4


def update(service: Service, request: Request) -> Reply:
    """Store one row; answer its id, or `0` when it was not stored."""
    channel = service.channel_to_write(request.key)
    if channel is None:
        return _unstored(service, request, 400)
    profile, now_s = service.profile, request.now_s + channel.skew_s
    talks = "talkback_key" in request.params
    too_soon = _is_within(channel.last_update_s, channel.licence.update_interval_s, now_s)
    # The open-source server lets a device that asks for a command skip the interval.
    if too_soon and not (talks and profile.talkback_skips_interval):
        early_status = profile.early_update_json_status if request.extension == "json" else 200
        return _unstored(service, request, early_status)
    if refused := _refused_message(channel, request, service):
        return refused
    row = _row_of(request.params, request.sender, now_s)
    if profile.refuses_duplicate_times and channel.history.has_time(row.at_s, now_s=now_s):
        return _unstored(service, request, profile.duplicate_status)
    row = channel.history.write(row, now_s=now_s)
    channel.last_update_s = now_s
    channel.messages += 1
    if profile.writes_touch_channel:
        channel.updated_s = now_s
    if talks:
        return _next_command(service, request)
    return _stored(channel, row, request)


def bulk_update(service: Service, channel: SimulatedChannel, request: Request) -> Reply:
    """Accept many rows at once; they are there a little later, unless their time is taken."""
    profile, now_s = service.profile, request.now_s
    told, rows = _bulk_of(request, now_s)
    key = request.key or told.get("write_api_key")
    if key != channel.write_key:
        return answers.error(401, "json", profile)
    if _is_within(channel.last_bulk_s, channel.licence.bulk_interval_s, now_s):
        return answers.error(429, "json", profile)
    if rows is None:
        return answers.error(400, "json", profile)
    if len(rows) > channel.licence.bulk_entries:
        return answers.error(413, "json", profile)
    if channel.messages + len(rows) > channel.licence.messages_per_year:
        return answers.error(402, "json", profile)
    due_s = now_s + service.bulk_delay_s
    channel.history.schedule(Coming(due_s, row, unless_taken=True) for row in rows)
    channel.last_bulk_s = now_s
    channel.messages += len(rows)
    return Reply(202, JSON, dump_json({"success": True}))


def _is_within(last_s: int | None, interval_s: int, now_s: int) -> bool:
    return last_s is not None and now_s - last_s < interval_s


def _refused_message(channel: SimulatedChannel, request: Request, service: Service) -> Reply | None:
    if any("\ufffd" in value for value in request.params.values()):
        return answers.error(422, request.extension, service.profile)
    if sum(len(v.encode()) for v in request.params.values()) > MAX_MESSAGE_BYTES:
        return answers.error(413, request.extension, service.profile)
    if channel.messages >= channel.licence.messages_per_year:
        return answers.error(402, request.extension, service.profile)
    return None


def _unstored(service: Service, request: Request, status: int) -> Reply:
    if status in {409, 429}:
        return answers.error(status, request.extension, service.profile)
    return Reply(status, answers.type_of(request.extension), b"0")


def _row_of(params: Mapping[str, str], sender: str, now_s: int) -> Row:
    def value(*names: str) -> str | None:
        for name in names:
            if name in params:
                return _cut(params[name], sender)
        return None

    at_s = None
    if "created_at" in params:
        at_s = read_time(params["created_at"], zone_of(params, now_s=now_s))
    return Row(
        entry_id=0,
        # What is no moment is replaced by the server's time, in silence.
        at_s=at_s if at_s is not None and _can_be(at_s) else now_s,
        values=tuple(value(f"field{n}", str(n)) for n in range(1, FIELDS + 1)),
        status=value("status"),
        latitude=value("latitude", "lat"),
        longitude=value("longitude", "long"),
        elevation=value("elevation"),
    )


def _can_be(at_s: int) -> bool:
    return 0 <= at_s <= _MAX_S


def _cut(value: str, sender: str) -> str:
    if value == "ip_address":
        return sender
    # A backslash and a letter, as careless devices send them; not the control characters.
    while value.endswith(("\\n", "\\r")):
        value = value[:-2]
    encoded = value.encode()
    if len(encoded) > MAX_VALUE_BYTES:
        value = encoded[:MAX_VALUE_BYTES].decode("utf-8", "ignore")
    return value


def _stored(channel: SimulatedChannel, row: Row, request: Request) -> Reply:
    if request.extension not in {"json", "xml"}:
        return Reply(200, TEXT, str(row.entry_id).encode())
    told: dict[str, Any] = {
        "channel_id": channel.channel_id,
        "created_at": json_time(row.at_s, zone_of(request.params, now_s=request.now_s)),
        "entry_id": row.entry_id,
    }
    told.update({f"field{n}": value for n, value in enumerate(row.values, 1)})
    told |= {
        "status": row.status,
        "latitude": row.latitude,
        "longitude": row.longitude,
        "elevation": row.elevation,
    }
    if request.extension == "xml":
        return Reply(200, XML, xml_document("feed", told))
    return Reply(200, JSON, dump_json(told))


def _next_command(service: Service, request: Request) -> Reply:
    key = request.params["talkback_key"]
    queue = next((t for t in service.talkbacks.values() if t.key == key), None)
    command = queue.execute(now_s=request.now_s) if queue is not None else None
    if request.extension == "json":
        return Reply(200, JSON, dump_json(command.told() if command else {}))
    return Reply(200, TEXT, command.text.encode() if command else b"")


def _bulk_of(request: Request, now_s: int) -> tuple[Mapping[str, Any], list[Row] | None]:
    """Return what the body says, and its rows; None instead of them when it makes no sense."""
    if request.extension == "csv":
        updates = request.params.get("updates", "").split("|")
        relative = request.params.get("time_format") == "relative"
        entries = [_csv_entry(text, relative=relative) for text in updates if text]
        return request.params, _bulk_rows(entries, request.sender, now_s)
    try:
        told = load_json(request.body)
    except InvalidJsonError:
        return {}, None
    if not isinstance(told, dict):
        return {}, None
    if not isinstance(told.get("updates"), list):
        return told, None
    entries = [entry if isinstance(entry, dict) else {} for entry in told["updates"]]
    return told, _bulk_rows(entries, request.sender, now_s)


def _csv_entry(text: str, *, relative: bool) -> dict[str, Any]:
    cells = [*text.split(","), *[""] * _BULK_COLUMNS][:_BULK_COLUMNS]
    names = [
        "delta_t" if relative else "created_at",
        *(f"field{n}" for n in range(1, FIELDS + 1)),
        "latitude",
        "longitude",
        "elevation",
        "status",
    ]
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell}


def _bulk_rows(entries: list[dict[str, Any]], sender: str, now_s: int) -> list[Row] | None:
    if not entries:
        return None
    # Relative times end at the moment of the call: the last row happened just now.
    at_s = now_s - sum(whole(str(entry.get("delta_t", 0))) for entry in entries[1:])
    rows: list[Row] = []
    for number, entry in enumerate(entries):
        params = {name: str(value) for name, value in entry.items() if value is not None}
        if "created_at" in params:
            moment = read_time(params["created_at"])
        elif "delta_t" in params:
            at_s += whole(params["delta_t"]) if number else 0
            moment = at_s
        else:
            moment = None
        if moment is None or not _can_be(moment):
            return None
        rows.append(_row_of(params, sender, at_s))
    return rows
