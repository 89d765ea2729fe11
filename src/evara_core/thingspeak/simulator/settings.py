"""Administration: what a channel is, who owns which, making, changing, clearing, deleting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evara_core.thingspeak.simulator import answers
from evara_core.thingspeak.simulator.history import FIELDS
from evara_core.thingspeak.simulator.moments import json_time
from evara_core.thingspeak.simulator.numerals import number
from evara_core.thingspeak.simulator.reads import told_as
from evara_core.thingspeak.simulator.render import location_object
from evara_core.thingspeak.simulator.request import JSON, Reply
from evara_core.thingspeak.simulator.window import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.request import Request
    from evara_core.thingspeak.simulator.service import Service

__all__ = [
    "change_channel",
    "clear_channel",
    "create_channel",
    "delete_channel",
    "list_own",
    "list_public",
    "list_user",
    "show_channel",
]

_PER_PAGE = 15
_ACTIVE_S = 7 * 86_400
_EARTH_KM = 6371.0


def show_channel(service: Service, channel: SimulatedChannel, request: Request) -> Reply:
    """Answer the settings of one channel. A read key opens a feed, not these."""
    if _owns(service, channel, request):
        return told_as(request.extension, "channel", _told(service, channel, request, owner=True))
    if not channel.public:
        return answers.error(400 if request.key else 401, request.extension, service.profile)
    return told_as(request.extension, "channel", _told(service, channel, request))


def list_own(service: Service, request: Request) -> Reply:
    """Answer the caller's channels; the User key is needed."""
    account = service.account_of(request.key)
    if account is None:
        return answers.error(401, request.extension, service.profile)
    tag = request.params.get("tag")
    owned = [
        _told(service, channel, request, owner=True)
        for channel in service.channels.values()
        if channel.owner == account.login and (tag is None or tag in channel.tags)
    ]
    return told_as(request.extension, "channels", owned)


def list_user(service: Service, request: Request, login: str) -> Reply:
    """Answer somebody's channels: the public ones, or all with that user's key."""
    account = service.accounts.get(login)
    if account is None:
        return answers.no_channel(request.extension, service.profile)
    is_owner = request.key == account.user_key
    found = [
        _told(service, channel, request, owner=is_owner)
        for channel in service.channels.values()
        if channel.owner == login and (channel.public or is_owner)
    ]
    return told_as(request.extension, "channels", {"channels": found})


def list_public(service: Service, request: Request) -> Reply:
    """Answer a page of the public channels that were active within a week."""
    page = whole(request.params.get("page", "1"))
    if page < 1:
        return answers.no_channel(request.extension, service.profile)
    since_s = request.now_s - _ACTIVE_S
    public = [
        channel
        for channel in service.channels.values()
        if channel.public
        and channel.history.between(since_s, request.now_s, 1, now_s=request.now_s)
    ]
    if service.profile.public_list_takes_filters:
        public = list(_filtered(public, request.params))
    shown = public[(page - 1) * _PER_PAGE : page * _PER_PAGE]
    told = {
        "pagination": {
            "current_page": page,
            "per_page": _PER_PAGE,
            "total_entries": len(public),
        },
        "channels": [_told(service, channel, request) for channel in shown],
    }
    return told_as(request.extension, "response", told)


def create_channel(service: Service, request: Request) -> Reply:
    """Make a channel for the owner of the User key."""
    account = service.account_of(request.key)
    if account is None:
        return answers.error(401, request.extension, service.profile)
    channel = service.create_channel(
        now_s=request.now_s,
        name=request.params.get("name") or f"Channel {max(service.channels, default=0) + 1}",
        labels={},
        owner=account.login,
    )
    _apply(channel, request.params)
    return told_as(request.extension, "channel", _told(service, channel, request, owner=True))


def change_channel(service: Service, channel: SimulatedChannel, request: Request) -> Reply:
    """Change what the request names; an empty label takes its field out of sight."""
    if not _owns(service, channel, request):
        return answers.error(401, request.extension, service.profile)
    _apply(channel, request.params)
    channel.updated_s = request.now_s
    return told_as(request.extension, "channel", _told(service, channel, request, owner=True))


def delete_channel(service: Service, channel: SimulatedChannel, request: Request) -> Reply:
    """Delete a channel; answer what it was."""
    if not _owns(service, channel, request):
        return answers.error(401, request.extension, service.profile)
    told = _told(service, channel, request, owner=True)
    service.remove_channel(channel.channel_id)
    return told_as(request.extension, "channel", told)


def clear_channel(service: Service, channel: SimulatedChannel, request: Request) -> Reply:
    """Delete the rows of a channel. Single rows cannot be deleted."""
    if not _owns(service, channel, request):
        return answers.error(401, request.extension, service.profile)
    service.clear(channel, now_s=request.now_s)
    return Reply(200, JSON, service.profile.empty_clear_body)


def _owns(service: Service, channel: SimulatedChannel, request: Request) -> bool:
    account = service.account_of(request.key)
    return account is not None and account.login == channel.owner


def _apply(channel: SimulatedChannel, params: Mapping[str, str]) -> None:
    channel.name = params.get("name") or channel.name
    for name in ("description", "metadata", "latitude", "longitude", "elevation", "url"):
        if name in params:
            setattr(channel, name, params[name] or None)
    for field in range(1, FIELDS + 1):
        label = params.get(f"field{field}")
        if label:
            channel.labels[field] = label
        elif label is not None:
            channel.labels.pop(field, None)
    if "public_flag" in params:
        channel.public = params["public_flag"].lower() in {"true", "1"}
    if "tags" in params:
        channel.tags = [tag.strip() for tag in params["tags"].split(",") if tag.strip()]


def _told(
    service: Service, channel: SimulatedChannel, request: Request, *, owner: bool = False
) -> dict[str, Any]:
    profile = service.profile
    told: dict[str, Any] = {
        "id": channel.channel_id,
        "name": channel.name,
        "description": channel.description or "",
        **location_object(channel, profile),
        "created_at": json_time(channel.created_s),
        "elevation": channel.elevation or "",
        "last_entry_id": channel.history.last_entry_id(request.now_s) or None,
        "ranking": 50 + 10 * bool(channel.description) + 10 * bool(channel.tags),
        "username": channel.owner,
        "tags": [{"id": number, "name": tag} for number, tag in enumerate(channel.tags, 1)],
    }
    if profile.lists_labels_in_settings:
        told |= {f"field{number}": channel.labels[number] for number in channel.visible_fields()}
    if owner:
        keys = [(channel.write_key, True), *((key, False) for key in channel.read_keys)]
        told |= {
            "metadata": channel.metadata or "",
            "url": channel.url or "",
            "public_flag": channel.public,
            "api_keys": [{"api_key": key, "write_flag": writes} for key, writes in keys],
        }
    return told


def _filtered(
    channels: Iterable[SimulatedChannel], params: Mapping[str, str]
) -> Iterable[SimulatedChannel]:
    ids = (
        {whole(text) for text in params["channel_ids"].split(",")}
        if "channel_ids" in params
        else None
    )
    for channel in channels:
        if "tag" in params and params["tag"] not in channel.tags:
            continue
        if "username" in params and params["username"] != channel.owner:
            continue
        if ids is not None and channel.channel_id not in ids:
            continue
        if "distance" in params and not _is_near(channel, params):
            continue
        yield channel


def _is_near(channel: SimulatedChannel, params: Mapping[str, str]) -> bool:
    texts = (channel.latitude, channel.longitude, params.get("latitude"), params.get("longitude"))
    numbers = [number(text) for text in texts]
    distance_km = number(params["distance"])
    degrees = [math.radians(value) for value in numbers if value is not None]
    if len(degrees) != len(texts) or distance_km is None:
        return False
    here_lat, here_lng, there_lat, there_lng = degrees
    # The haversine formula: the great circle between two points of a sphere.
    chord = (
        math.sin((there_lat - here_lat) / 2) ** 2
        + math.cos(here_lat) * math.cos(there_lat) * math.sin((there_lng - here_lng) / 2) ** 2
    )
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(max(chord, 0.0), 1.0))) <= distance_km
