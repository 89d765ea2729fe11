"""Which question is answered where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator import answers, queues, reads, settings, summaries, writes
from evara_core.thingspeak.simulator.request import JSON, SCRIPT, TEXT, Reply
from evara_core.thingspeak.simulator.window import id_in

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.request import Request
    from evara_core.thingspeak.simulator.service import Service

__all__ = ["answer", "channel_of"]

_READING = frozenset({"GET", "HEAD"})


def channel_of(service: Service, request: Request) -> SimulatedChannel | None:
    """Return the channel that a request is about: by its path, or an update by its key."""
    match request.path:
        case ("channels", number, *_) | ("stream", "channels", number, *_):
            return _named(service, number)
        case ("update",):
            return service.channel_to_write(request.key)
        case _:
            return None


def answer(service: Service, request: Request) -> Reply:
    """Answer a request as the service does, in the dress that it asks for."""
    reply = _answer(service, request)
    params = request.params
    if not params:
        return reply
    if "callback" in params and reply.content_type == JSON and reply.status < 400:  # noqa: PLR2004 - errors
        body = params["callback"].encode() + b"(" + reply.body + b")"
        reply = reply._replace(content_type=SCRIPT, body=body)
    if params.get("headers") == "false":
        reply = reply._replace(content_type=b"", headers=())
    return reply


def _answer(service: Service, request: Request) -> Reply:
    match request.path:
        case ("update",):
            return writes.update(service, request)
        case ("channels",):
            return _channels(service, request)
        case ("channels", "public") if request.method in _READING:
            return settings.list_public(service, request)
        case ("channels", number, *rest):
            return _under_channel(service, request, number, tuple(rest))
        case ("users", login, "channels") if request.method in _READING:
            return settings.list_user(service, request, login)
        case ("stream", "channels", number, "feeds"):
            channel = _named(service, number)
            if channel is not None and request.extension == "csv":
                return summaries.export(channel, request, service.profile)
        case ("talkbacks", *rest):
            return queues.answer(service, request, tuple(rest))
        case _:
            pass
    return answers.no_channel(request.extension, service.profile)


def _channels(service: Service, request: Request) -> Reply:
    match request.method:
        case "GET" | "HEAD":
            return settings.list_own(service, request)
        case "POST":
            return settings.create_channel(service, request)
        case "OPTIONS":
            return Reply(200, TEXT, b"")
        case _:
            return answers.error(405, request.extension, service.profile)


def _under_channel(service: Service, request: Request, number: str, path: tuple[str, ...]) -> Reply:
    channel = _named(service, number)
    if channel is None:
        return answers.no_channel(request.extension, service.profile)
    request.now_s += channel.skew_s
    match request.method:
        case "GET" | "HEAD":
            return _read(service, channel, request, path)
        case "OPTIONS":
            return Reply(200, TEXT, b"")
        case _:
            return _change(service, channel, request, path)


def _change(
    service: Service, channel: SimulatedChannel, request: Request, path: tuple[str, ...]
) -> Reply:
    match request.method, path:
        case "POST", ("bulk_update",) if service.profile.has_bulk_update:
            return writes.bulk_update(service, channel, request)
        case "PUT", ():
            return settings.change_channel(service, channel, request)
        case "DELETE", ():
            return settings.delete_channel(service, channel, request)
        case "DELETE", ("feeds" | "feed",):
            return settings.clear_channel(service, channel, request)
        case "POST", ("bulk_update",):
            return answers.no_channel(request.extension, service.profile)
        case _:
            return answers.error(405, request.extension, service.profile)


def _read(
    service: Service, channel: SimulatedChannel, request: Request, path: tuple[str, ...]
) -> Reply:
    profile = service.profile
    match path:
        case ("feeds" | "feed",):
            return reads.feed(channel, request, profile, service.cache)
        case ("feeds" | "feed", "last"):
            return reads.last_entry(channel, request, profile)
        case ("feeds" | "feed", *rest):
            return _read_feed(service, channel, request, tuple(rest))
        case ("fields" | "field", number, *rest):
            return _read_field(service, channel, request, number, tuple(rest))
        case ("status",):
            return reads.status_feed(channel, request, profile)
        case ("status", "last"):
            return reads.status_feed(channel, request, profile, only_last=True)
        case ():
            return settings.show_channel(service, channel, request)
        case _:
            return answers.no_channel(request.extension, profile)


def _read_feed(
    service: Service, channel: SimulatedChannel, request: Request, path: tuple[str, ...]
) -> Reply:
    profile = service.profile
    match path:
        case ("last_data_age",) if profile.has_data_age:
            return reads.data_age(channel, request, profile)
        case (name,) if name in summaries.STATISTICS:
            how = summaries.STATISTICS[name]
            return summaries.last_statistic(channel, request, profile, how=how)
        case (number,) | ("entry", number) if (entry_id := id_in(number)) is not None:
            return reads.entry(channel, request, profile, entry_id=entry_id)
        case _:
            return answers.no_channel(request.extension, profile)


def _read_field(
    service: Service,
    channel: SimulatedChannel,
    request: Request,
    number: str,
    path: tuple[str, ...],
) -> Reply:
    profile, field = service.profile, reads.field_number(number)
    if field is None:
        return answers.no_channel(request.extension, profile)
    match path:
        case ():
            return reads.feed(channel, request, profile, service.cache, field=field)
        case ("last",):
            return reads.last_value(channel, request, profile, field=field)
        case ("last_data_age",) if profile.has_data_age:
            return reads.data_age(channel, request, profile, field=field)
        case (text,) if (entry_id := id_in(text)) is not None:
            return reads.entry(channel, request, profile, entry_id=entry_id, field=field)
        case _:
            return answers.no_channel(request.extension, profile)


def _named(service: Service, number: str) -> SimulatedChannel | None:
    channel_id = id_in(number)
    return None if channel_id is None else service.channels.get(channel_id)
