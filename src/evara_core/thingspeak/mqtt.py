"""Entries as they happen, by MQTT (extra `mqtt`), with nothing lost in between.

MQTT alone loses: it delivers at most once, says nothing of bulk updates, and knows no past.
So each message is only taken when it carries the very next id of its channel. Whenever it
does not, and after each connection, and now and then anyway, the channel is read over HTTP
from where it stood. Who takes the entries gets them in the order of their ids either way.
"""

from __future__ import annotations

import logging
import random
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import InvalidJsonError, UpstreamError
from evara_core.serialization import load_json
from evara_core.thingspeak.models import Position
from evara_core.thingspeak.rows import MALFORMED, entry_of, whole_of

with provided_by("mqtt", package="aiomqtt"):
    import aiomqtt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from evara_core.thingspeak.models import Entry

__all__ = ["HOST", "TLS_PORT", "MqttDevice", "MqttFeed", "MqttPolicy", "Polled", "Watch"]

HOST: Final = "mqtt3.thingspeak.com"
TLS_PORT: Final = 8883

MAX_WAITING_MESSAGES: Final = 10_000
"""Messages that wait to be taken; more are dropped, and then read over HTTP."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class MqttDevice:
    """The credentials of an MQTT device, as the web site shows them once.

    Its text form shows no password.
    """

    __slots__ = ("_password", "client_id", "username")

    def __init__(self, *, client_id: str, username: str, password: str) -> None:
        self.client_id = client_id
        self.username = username
        self._password = password

    def reveal_password(self) -> str:
        """Return the password, for the moment of connecting."""
        return self._password

    @override
    def __repr__(self) -> str:
        return f"MqttDevice({self.client_id!r}, password=***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A channel to follow."""

    channel_id: int
    read_key: str | None = field(default=None, repr=False)
    position: Position | None = None
    """The last entry that was taken; None: all of them are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttPolicy:
    """How patiently to connect, and how often to look for what MQTT does not tell."""

    first_pause_s: float = 1.0
    """The longest pause before connecting again. Each later limit is twice as long."""

    longest_pause_s: float = 60.0

    recheck_s: float = 300.0
    """How often a channel is read over HTTP though nothing seems to be missing: bulk updates
    are not announced."""

    keepalive_s: int = 60
    """Idle connections are dropped somewhere on the way, without a word."""

    def pause_s(self, failures: int, *, chance: float) -> float:
        """Return the pause after *failures* failures, with full jitter."""
        limit_s: float = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (failures - 1))
        return chance * limit_s


class Polled(Protocol):
    """Where entries are read over HTTP: `evara_core.thingspeak.source.ChannelSource`."""

    async def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: str | None
    ) -> Sequence[Entry]:
        """Return what came after *position*, by id."""
        ...


class MqttFeed:
    """Follows channels.

    Args:
        device: Which MQTT device to be; it must be authorised to subscribe to the channels.
        source: For reading what MQTT does not bring.
        host: The broker.
        port: 8883 with TLS; without it, 1883.
        is_encrypted: Without TLS the password goes in the clear.
        tls_context: Whom to trust; None: whom the system trusts.
        policy: How patiently.
        sleep: How to let time pass.
        chance: A number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        device: MqttDevice,
        source: Polled,
        *,
        host: str = HOST,
        port: int = TLS_PORT,
        is_encrypted: bool = True,
        tls_context: ssl.SSLContext | None = None,
        policy: MqttPolicy = MqttPolicy(),
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._device = device
        self._source = source
        self._host = host
        self._port = port
        self._tls = (tls_context or ssl.create_default_context()) if is_encrypted else None
        self._policy = policy
        self._sleep = sleep
        self._chance = chance

    async def run(
        self,
        watches: Iterable[Watch],
        deliver: Callable[[int, Sequence[Entry]], Awaitable[None]],
    ) -> None:
        """Bring entries to *deliver*, until cancelled.

        It is called with the channel and entries in the order of their ids, for one
        channel never twice at a time. When it has returned, they count as taken. What it
        raises ends this.
        """
        followed = {watch.channel_id: _Followed(watch, self._source, deliver) for watch in watches}
        async with _beside(self._recheck, followed):
            await self._stay_connected(followed)

    async def _stay_connected(self, followed: dict[int, _Followed]) -> None:
        failures, pause_s = 0, 0.0
        while True:
            heard = False
            try:
                async with self._connection() as mqtt:
                    for channel_id in followed:
                        await mqtt.subscribe(f"channels/{channel_id}/subscribe", qos=0)
                    async with _beside(_catch_up, followed):
                        async for message in mqtt.messages:
                            heard = True
                            one = followed.get(_channel_of(str(message.topic)))
                            if one is not None:
                                await one.take(message.payload)
            except aiomqtt.MqttError as error:
                # A broker that takes us in and throws us out at once is a failure as well.
                failures = 1 if heard else failures + 1
                pause_s = self._policy.pause_s(failures, chance=self._chance())
                _log.warning("MQTT: %s; connecting again in %.1f s", error, pause_s)
            # As long as there is no broker, this is a poller.
            await _catch_up(followed)
            await self._sleep(pause_s)

    def _connection(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._host,
            self._port,
            username=self._device.username,
            password=self._device.reveal_password(),
            identifier=self._device.client_id,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=self._policy.keepalive_s,
            tls_context=self._tls,
            max_queued_incoming_messages=MAX_WAITING_MESSAGES,
        )

    async def _recheck(self, followed: dict[int, _Followed]) -> None:
        """Read every channel over HTTP now and then."""
        while True:
            await self._sleep(self._policy.recheck_s)
            await _catch_up(followed)


async def _catch_up(followed: dict[int, _Followed]) -> None:
    """Read every channel over HTTP, all at once: the client has its own limit."""
    failures: list[Exception] = []

    async def catch_up(one: _Followed) -> None:
        try:
            await one.catch_up()
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for one in followed.values():
            tasks.start_soon(catch_up, one)
    if failures:
        raise failures[0]


@asynccontextmanager
async def _beside(job: Callable[[T], Awaitable[None]], argument: T) -> AsyncIterator[None]:
    """Do *job* as long as the block lasts. What either raises comes out, and as it is.

    A task group alone would wrap it.
    """
    failure: Exception | None = None

    async def work() -> None:
        nonlocal failure
        try:
            await job(argument)
        except Exception as error:  # noqa: BLE001 - raised below
            failure = failure or error
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the same
            failure = failure or error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


class _Followed:
    """One channel, and where it stands."""

    def __init__(
        self,
        watch: Watch,
        source: Polled,
        deliver: Callable[[int, Sequence[Entry]], Awaitable[None]],
    ) -> None:
        self._watch = watch
        self._source = source
        self._deliver = deliver
        self._position = watch.position
        self._lock = anyio.Lock()

    async def take(self, payload: object) -> None:
        """Take a message, or read the channel if it is not the very next entry."""
        async with self._lock:
            entry = _entry_in(payload, self._watch.channel_id)
            position = self._position
            if position is not None and entry is not None:
                if entry.entry_id == position.entry_id + 1:
                    await self._deliver_all([entry])
                    return
                if (entry.entry_id, entry.created_at) == (position.entry_id, position.created_at):
                    return
            await self._catch_up()

    async def catch_up(self) -> None:
        """Read what there is to read."""
        async with self._lock:
            await self._catch_up()

    async def _catch_up(self) -> None:
        watch = self._watch
        try:
            while entries := await self._source.entries_since(
                watch.channel_id, self._position, read_key=watch.read_key
            ):
                await self._deliver_all(entries)
        except UpstreamError as error:
            # It is read again at the next message, or when all are.
            _log.warning("channel %d: not caught up: %s", watch.channel_id, error)

    async def _deliver_all(self, entries: Sequence[Entry]) -> None:
        await self._deliver(self._watch.channel_id, entries)
        self._position = Position.of(entries[-1])


def _channel_of(topic: str) -> int:
    parts = topic.split("/")
    is_feed = len(parts) == 3 and parts[0] == "channels" and parts[2] == "subscribe"  # noqa: PLR2004 - channels/ID/subscribe
    return int(parts[1]) if is_feed and parts[1].isascii() and parts[1].isdigit() else -1


def _entry_in(payload: object, channel_id: int) -> Entry | None:
    """Return the entry of a message; None if it holds none of that channel."""
    if not isinstance(payload, bytes | bytearray | str):
        return None
    try:
        told = load_json(bytes(payload) if isinstance(payload, bytearray) else payload)
        if whole_of(told["channel_id"]) != channel_id:
            return None
        return entry_of(told)
    except (InvalidJsonError, *MALFORMED):
        return None
