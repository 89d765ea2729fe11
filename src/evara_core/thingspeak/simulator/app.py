"""The simulator: an ASGI application that answers as ThingSpeak does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.clock import SystemClock
from evara_core.thingspeak.simulator import answers, reads
from evara_core.thingspeak.simulator.cache import ReplyCache
from evara_core.thingspeak.simulator.chance import Chance
from evara_core.thingspeak.simulator.channel import SimulatedChannel
from evara_core.thingspeak.simulator.profile import FREE, HOSTED, Licence, Profile
from evara_core.thingspeak.simulator.request import Reply, Request, key_in, parse_query

if TYPE_CHECKING:
    from evara_core.clock import Clock
    from evara_core.thingspeak.models import Entry

__all__ = ["Simulator"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_KEY_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_KEY_LENGTH = 16
_CORS = (b"access-control-allow-origin", b"*")


class Simulator:
    """Channels, and the interface through which the world reads and writes them.

    Serve it with any ASGI server, or hand it to a client that calls ASGI applications
    directly. It waits for nothing but what a fault plan tells it to wait for.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        profile: Profile = HOSTED,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.profile = profile
        self.channels: dict[int, SimulatedChannel] = {}
        self._clock = clock or SystemClock()
        self._chance = Chance(seed)
        self._keys_made = 0
        self._cache = ReplyCache()
        self._sleep = sleep

    def now_s(self) -> int:
        """Return the service's time in whole seconds since the Unix epoch."""
        return int(self._clock.now().timestamp())

    def create_channel(
        self,
        *,
        name: str = "Channel",
        labels: Mapping[int, str] | None = None,
        channel_id: int | None = None,
        public: bool = False,
        read_key: str | None = None,
        write_key: str | None = None,
        licence: Licence = FREE,
        latitude: str | None = None,
        longitude: str | None = None,
        created_s: int | None = None,
    ) -> SimulatedChannel:
        """Add a channel, private and with one labelled field unless told otherwise."""
        now_s = self.now_s() if created_s is None else created_s
        if channel_id is None:
            channel_id = max(self.channels, default=0) + 1
        channel = SimulatedChannel(
            channel_id=channel_id,
            name=name,
            labels=dict(labels) if labels is not None else {1: "Field Label 1"},
            created_s=now_s,
            updated_s=now_s,
            write_key=write_key or self._new_key(),
            read_keys=[read_key or self._new_key()],
            public=public,
            licence=licence,
            latitude=latitude,
            longitude=longitude,
        )
        self.channels[channel_id] = channel
        return channel

    def replay(self, channel_id: int, entries: Iterable[Entry]) -> SimulatedChannel:
        """Let the rows of an export appear in a channel when the clock passes their times.

        The channel is made, with a label for each field that has a value, if it does not exist.
        """
        entries = list(entries)
        channel = self.channels.get(channel_id)
        if channel is None:
            numbers = sorted({n for e in entries for n, v in e.fields.items() if v is not None})
            labels = {number: f"Field Label {number}" for number in numbers}
            channel = self.create_channel(channel_id=channel_id, labels=labels)
        channel.replay(entries)
        return channel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (or the life-span messages of a server)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        reply = self._answer(_request_of(scope, self.now_s()))
        headers = [
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
            _CORS,
            *reply.headers,
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def _answer(self, request: Request) -> Reply:
        match request.path:
            case ("channels", number, *rest) if number.isdigit():
                channel = self.channels.get(int(number))
                if channel is None:
                    return answers.no_channel(request.extension, self.profile)
                request.now_s += channel.skew_s
                return self._answer_channel(channel, request, tuple(rest))
            case _:
                return answers.no_channel(request.extension, self.profile)

    def _answer_channel(
        self, channel: SimulatedChannel, request: Request, path: tuple[str, ...]
    ) -> Reply:
        profile = self.profile
        match path:
            case ("feeds" | "feed",):
                return reads.feed(channel, request, profile, self._cache)
            case ("feeds" | "feed", "last"):
                return reads.last_entry(channel, request, profile)
            case ("feeds" | "feed", "last_data_age") if profile.has_data_age:
                return reads.data_age(channel, request, profile)
            case ("feeds" | "feed", entry_id) | ("feeds" | "feed", "entry", entry_id) if (
                entry_id.isdigit()
            ):
                return reads.entry(channel, request, profile, entry_id=int(entry_id))
            case ("fields" | "field", number, *rest):
                field = reads.field_number(number)
                if field is None:
                    return answers.no_channel(request.extension, profile)
                return self._answer_field(channel, request, field, tuple(rest))
            case _:
                return answers.no_channel(request.extension, profile)

    def _answer_field(
        self, channel: SimulatedChannel, request: Request, field: int, path: tuple[str, ...]
    ) -> Reply:
        profile = self.profile
        match path:
            case ():
                return reads.feed(channel, request, profile, self._cache, field=field)
            case ("last",):
                return reads.last_value(channel, request, profile, field=field)
            case ("last_data_age",) if profile.has_data_age:
                return reads.data_age(channel, request, profile, field=field)
            case (entry_id,) if entry_id.isdigit():
                return reads.entry(channel, request, profile, entry_id=int(entry_id), field=field)
            case _:
                return answers.no_channel(request.extension, profile)

    def _new_key(self) -> str:
        self._keys_made += 1
        return "".join(
            _KEY_SIGNS[int(self._chance.at(self._keys_made, place) * len(_KEY_SIGNS))]
            for place in range(_KEY_LENGTH)
        )


def _request_of(scope: Scope, now_s: int) -> Request:
    path: str = scope["path"]
    segments = path.strip("/").split("/")
    last, _, extension = segments[-1].partition(".")
    segments[-1] = last
    params = parse_query(scope["query_string"])
    key = key_in(scope["headers"], params)
    return Request(
        method=scope["method"],
        path=tuple(segments),
        extension=extension,
        params=params,
        key=key,
        now_s=now_s,
        cache_key=(path, scope["query_string"], key),
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
