"""Administration of channels with the account's User key: list, make, change, clear, delete."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from evara_core.errors import InvalidInputError, UpstreamGarbageError
from evara_core.thingspeak.keys import Key, as_key
from evara_core.thingspeak.messages import Call, Request
from evara_core.thingspeak.protocol import read_nothing, read_objects
from evara_core.thingspeak.rows import FIELDS, MALFORMED, text_of, whole_of
from evara_core.thingspeak.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.thingspeak.client import AsyncClient, Client
    from evara_core.thingspeak.keys import AnyKey
    from evara_core.thingspeak.messages import Response

__all__ = ["Administrator", "AsyncAdministrator", "ChannelSettings", "ListedChannel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Settings to give to a channel. None leaves one as it is."""

    name: str | None = None
    description: str | None = None
    field_labels: Mapping[int, str] = field(default_factory=dict)
    """Number → label. An empty label takes the field out of sight; its values are kept."""

    metadata: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    elevation: float | None = None
    tags: tuple[str, ...] | None = None
    url: str | None = None
    is_public: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedChannel:
    """A channel as a list or its settings show it. Keys only to its owner."""

    channel_id: int
    name: str
    last_entry_id: int | None = None
    description: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    elevation: str | None = None
    created_at: datetime | None = None
    username: str | None = None
    tags: tuple[str, ...] = ()
    is_public: bool | None = None
    """None: that was not told."""

    read_keys: tuple[Key, ...] = ()
    write_key: Key | None = None


class _Calls:
    """What to ask."""

    def __init__(self, user_key: AnyKey) -> None:
        self._key = as_key(user_key)

    def own(self) -> Call[list[ListedChannel]]:
        return Call(Request(target="/channels.json", key=self._key), _read_channels)

    def public(self, page: int) -> Call[list[ListedChannel]]:
        return Call(Request(target=f"/channels/public.json?page={page}"), _read_channels)

    def create(self, settings: ChannelSettings) -> Call[ListedChannel]:
        request = self._form("POST", "/channels.json", settings)
        return Call(request, _read_channel, None, is_repeatable=False)

    def change(self, channel_id: int, settings: ChannelSettings) -> Call[ListedChannel]:
        request = self._form("PUT", f"/channels/{channel_id}.json", settings)
        return Call(request, _read_channel, channel_id)

    def clear(self, channel_id: int) -> Call[None]:
        target = f"/channels/{channel_id}/feeds.json"
        return Call(Request(target, self._key, "DELETE"), read_nothing, channel_id)

    def delete(self, channel_id: int) -> Call[None]:
        target = f"/channels/{channel_id}.json"
        return Call(
            Request(target, self._key, "DELETE"), read_nothing, channel_id, is_repeatable=False
        )

    def _form(self, method: str, target: str, settings: ChannelSettings) -> Request:
        return Request(
            target=target,
            key=self._key,
            method=method,
            body=_rendered(settings),
            content_type="application/x-www-form-urlencoded",
        )


class AsyncAdministrator:
    """Administers an account's channels, through a client.

    Args:
        client: Carries the calls. It stays open.
        user_key: The account's; a channel's key does not do.
    """

    def __init__(self, client: AsyncClient, *, user_key: AnyKey) -> None:
        self._client = client
        self._calls = _Calls(user_key)

    async def own_channels(self) -> list[ListedChannel]:
        """Return the account's channels."""
        return await self._client.perform(self._calls.own())

    async def public_channels(self, page: int = 1) -> list[ListedChannel]:
        """Return one page, 15 at most, of the public channels of everybody."""
        return await self._client.perform(self._calls.public(page))

    async def create_channel(self, settings: ChannelSettings) -> ListedChannel:
        """Make a channel and return it, with its keys. It is not tried twice."""
        return await self._client.perform(self._calls.create(settings))

    async def change_channel(self, channel_id: int, settings: ChannelSettings) -> ListedChannel:
        """Change settings of a channel."""
        return await self._client.perform(self._calls.change(channel_id, settings))

    async def clear_channel(self, channel_id: int) -> None:
        """Delete all entries of a channel; ids start again at 1. Single ones cannot be."""
        await self._client.perform(self._calls.clear(channel_id))

    async def delete_channel(self, channel_id: int) -> None:
        """Delete a channel and all that it holds."""
        await self._client.perform(self._calls.delete(channel_id))


class Administrator:
    """What `AsyncAdministrator` is, through a client that blocks."""

    def __init__(self, client: Client, *, user_key: AnyKey) -> None:
        self._client = client
        self._calls = _Calls(user_key)

    def own_channels(self) -> list[ListedChannel]:
        """Return the account's channels."""
        return self._client.perform(self._calls.own())

    def public_channels(self, page: int = 1) -> list[ListedChannel]:
        """Return one page, 15 at most, of the public channels of everybody."""
        return self._client.perform(self._calls.public(page))

    def create_channel(self, settings: ChannelSettings) -> ListedChannel:
        """Make a channel and return it, with its keys. It is not tried twice."""
        return self._client.perform(self._calls.create(settings))

    def change_channel(self, channel_id: int, settings: ChannelSettings) -> ListedChannel:
        """Change settings of a channel."""
        return self._client.perform(self._calls.change(channel_id, settings))

    def clear_channel(self, channel_id: int) -> None:
        """Delete all entries of a channel; ids start again at 1. Single ones cannot be."""
        self._client.perform(self._calls.clear(channel_id))

    def delete_channel(self, channel_id: int) -> None:
        """Delete a channel and all that it holds."""
        self._client.perform(self._calls.delete(channel_id))


def _rendered(settings: ChannelSettings) -> bytes:
    members: dict[str, object] = {
        name: value
        for name in ("name", "description", "metadata", "url", "latitude", "longitude", "elevation")
        if (value := getattr(settings, name)) is not None
    }
    names = dict(FIELDS)
    for number, label in settings.field_labels.items():
        if number not in names:
            problem = f"fields are numbered 1 to 8, not {number!r}"
            raise InvalidInputError(problem)
        members[names[number]] = label
    if settings.tags is not None:
        members["tags"] = ",".join(settings.tags)
    if settings.is_public is not None:
        members["public_flag"] = "true" if settings.is_public else "false"
    return urlencode(members).encode()


def _read_channels(response: Response) -> list[ListedChannel]:
    objects = read_objects(response)
    try:
        return [_listed(told) for told in objects]
    except MALFORMED as error:
        problem = "a list of channels that is none"
        raise UpstreamGarbageError(problem) from error


def _read_channel(response: Response) -> ListedChannel:
    channels = _read_channels(response)
    if len(channels) != 1:
        problem = f"{len(channels)} channels where one was asked for"
        raise UpstreamGarbageError(problem)
    return channels[0]


def _listed(told: dict[str, Any]) -> ListedChannel:
    last, created_at = told.get("last_entry_id"), told.get("created_at")
    is_public = told.get("public_flag")
    keys = [(bool(key["write_flag"]), Key(key["api_key"])) for key in told.get("api_keys") or []]
    text = partial(_shown, told)
    return ListedChannel(
        channel_id=whole_of(told["id"]),
        name=text("name") or "",
        last_entry_id=None if last is None else whole_of(last),
        description=text("description"),
        latitude=text("latitude"),
        longitude=text("longitude"),
        elevation=text("elevation"),
        created_at=None if created_at is None else parse_time(created_at),
        username=text("username"),
        tags=tuple(str(tag["name"]) for tag in told.get("tags") or []),
        is_public=is_public if isinstance(is_public, bool) else None,
        read_keys=tuple(key for writes, key in keys if not writes),
        write_key=next((key for writes, key in keys if writes), None),
    )


def _shown(told: dict[str, Any], name: str) -> str | None:
    return text_of(told.get(name)) or None
