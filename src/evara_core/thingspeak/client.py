"""The two clients: one that is awaited and one that blocks. They perform; others decide."""

from __future__ import annotations

import random
import threading
import time
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Self, TypeVar

import anyio

from evara_core.clock import SystemClock
from evara_core.flow import run, run_async
from evara_core.thingspeak.breaker import Breakers
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.keys import as_key
from evara_core.thingspeak.paging import Rows
from evara_core.thingspeak.reads import Reads
from evara_core.thingspeak.retries import Pause, RetryPolicy, Send, exchange
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport, HttpxTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from datetime import datetime

    from evara_core.clock import Clock
    from evara_core.thingspeak.keys import AnyKey, Key
    from evara_core.thingspeak.models import Channel, Entry, Position
    from evara_core.thingspeak.protocol import Call, Response
    from evara_core.thingspeak.reads import RowsFlow
    from evara_core.thingspeak.transports import AsyncTransport, Transport

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")


class AsyncClient:
    """ThingSpeak, awaited. One of these serves any number of channels and tasks.

    Every method raises `UpstreamError`, in the class that tells what is the matter, when
    there is no answer within the policy's patience.

    Args:
        read_key: The key for reads that are given none. None: the channels are public.
        transport: What carries the requests. It is closed with the client.
        policy: How patiently to ask.
        breakers: When to stop asking; of this client alone, unless shared.
        with_status: Ask for each entry's status text.
        with_location: Ask for each entry's latitude, longitude and elevation.
        is_key_in_url: Send keys in the URL, where every proxy on the way writes them
            down; only for servers that do not read the header.
        clock: What time it is.
        sleep: How to let time pass.
        chance: A number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        *,
        read_key: AnyKey = None,
        transport: AsyncTransport | None = None,
        policy: RetryPolicy = RetryPolicy(),
        breakers: Breakers | None = None,
        with_status: bool = False,
        with_location: bool = False,
        is_key_in_url: bool = False,
        clock: Clock = SystemClock(),
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._read_key = as_key(read_key)
        self._transport: AsyncTransport = transport or AsyncHttpxTransport()
        self._policy = policy
        self._breakers = breakers or Breakers()
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._slots = anyio.Semaphore(self._transport.connections, fast_acquire=True)
        self._reads = Reads(
            Calls(is_key_in_url=is_key_in_url),
            with_status=with_status,
            with_location=with_location,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def last(self, channel_id: int, *, read_key: AnyKey = None) -> Entry | None:
        """Return the newest entry by id; None only if the channel holds none."""
        key = self._key(read_key)
        del read_key
        return await run_async(self._reads.last(channel_id, key), self._fetch)

    async def channel(self, channel_id: int, *, read_key: AnyKey = None) -> Channel:
        """Return the channel's labels, newest id and metadata."""
        key = self._key(read_key)
        del read_key
        return await run_async(self._reads.channel(channel_id, key), self._fetch)

    async def entries(
        self,
        channel_id: int,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        read_key: AnyKey = None,
    ) -> AsyncGenerator[Entry]:
        """Yield the entries from *start* to *end*, both included: each once, oldest first.

        None stands for the first and the last that there are. It takes as many requests
        as it needs and holds two pages of entries at most.

        Raises:
            ChannelReset: The channel was cleared on the way.
        """
        key = self._key(read_key)
        del read_key
        flow = self._reads.entries(channel_id, key, start=start, end=end, now=self._clock.now())
        async with aclosing(self._stream(flow)) as entries:
            async for entry in entries:
                yield entry

    async def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: AnyKey = None
    ) -> AsyncGenerator[Entry]:
        """Yield what came after *position*, in the order of the ids; None: everything.

        Whoever stores `Position.of(entry)` with each entry goes on exactly after it. When
        little is new, this takes one small request, whose answer is never a cached one.

        Raises:
            ChannelReset: The channel was cleared or rewritten since.
        """
        key = self._key(read_key)
        del read_key
        flow = self._reads.entries_since(channel_id, key, position)
        async with aclosing(self._stream(flow)) as entries:
            async for entry in entries:
                yield entry

    def _key(self, key: AnyKey) -> Key | None:
        # Who calls this deletes the text of the key, or a traceback with local variables
        # would show it.
        return self._read_key if key is None else as_key(key)

    async def _stream(self, flow: RowsFlow) -> AsyncGenerator[Entry]:
        try:
            ask = next(flow)
            while True:
                if isinstance(ask, Rows):
                    for entry in ask.entries:
                        yield entry
                    ask = flow.send(None)
                else:
                    page = await self._fetch(ask)
                    ask = flow.send(page)
        except StopIteration:
            return
        finally:
            flow.close()

    async def _fetch(self, call: Call[T]) -> T:
        trip = _AsyncTrip(self._transport, self._slots, self._sleep)
        try:
            await trip.enter()
            return await run_async(
                exchange(
                    call,
                    self._policy,
                    self._breakers,
                    elapsed_s=self._clock.elapsed_s,
                    chance=self._chance,
                ),
                trip.perform,
            )
        finally:
            trip.leave()


class Client:
    """ThingSpeak, blocking. May be used from several threads.

    It has the methods of `AsyncClient`, with `close` for `aclose`, and takes the same
    arguments.
    """

    def __init__(
        self,
        *,
        read_key: AnyKey = None,
        transport: Transport | None = None,
        policy: RetryPolicy = RetryPolicy(),
        breakers: Breakers | None = None,
        with_status: bool = False,
        with_location: bool = False,
        is_key_in_url: bool = False,
        clock: Clock = SystemClock(),
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._read_key = as_key(read_key)
        self._transport: Transport = transport or HttpxTransport()
        self._policy = policy
        self._breakers = breakers or Breakers()
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._slots = threading.Semaphore(self._transport.connections)
        self._reads = Reads(
            Calls(is_key_in_url=is_key_in_url),
            with_status=with_status,
            with_location=with_location,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def last(self, channel_id: int, *, read_key: AnyKey = None) -> Entry | None:
        """Return the newest entry by id; None only if the channel holds none."""
        key = self._key(read_key)
        del read_key
        return run(self._reads.last(channel_id, key), self._fetch)

    def channel(self, channel_id: int, *, read_key: AnyKey = None) -> Channel:
        """Return the channel's labels, newest id and metadata."""
        key = self._key(read_key)
        del read_key
        return run(self._reads.channel(channel_id, key), self._fetch)

    def entries(
        self,
        channel_id: int,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        read_key: AnyKey = None,
    ) -> Generator[Entry]:
        """Yield the entries from *start* to *end*, both included: each once, oldest first.

        Raises:
            ChannelReset: The channel was cleared on the way.
        """
        key = self._key(read_key)
        del read_key
        flow = self._reads.entries(channel_id, key, start=start, end=end, now=self._clock.now())
        with closing(self._stream(flow)) as entries:
            yield from entries

    def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: AnyKey = None
    ) -> Generator[Entry]:
        """Yield what came after *position*, in the order of the ids; None: everything.

        Raises:
            ChannelReset: The channel was cleared or rewritten since.
        """
        key = self._key(read_key)
        del read_key
        flow = self._reads.entries_since(channel_id, key, position)
        with closing(self._stream(flow)) as entries:
            yield from entries

    def _key(self, key: AnyKey) -> Key | None:
        return self._read_key if key is None else as_key(key)

    def _stream(self, flow: RowsFlow) -> Generator[Entry]:
        try:
            ask = next(flow)
            while True:
                if isinstance(ask, Rows):
                    yield from ask.entries
                    ask = flow.send(None)
                else:
                    page = self._fetch(ask)
                    ask = flow.send(page)
        except StopIteration:
            return
        finally:
            flow.close()

    def _fetch(self, call: Call[T]) -> T:
        trip = _Trip(self._transport, self._slots, self._sleep)
        try:
            trip.enter()
            return run(
                exchange(
                    call,
                    self._policy,
                    self._breakers,
                    elapsed_s=self._clock.elapsed_s,
                    chance=self._chance,
                ),
                trip.perform,
            )
        finally:
            trip.leave()


class _AsyncTrip:
    """One exchange: it holds a slot while a request is on the way, none while it pauses."""

    __slots__ = ("_is_inside", "_sleep", "_slots", "_transport")

    def __init__(
        self,
        transport: AsyncTransport,
        slots: anyio.Semaphore,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._transport = transport
        self._slots = slots
        self._sleep = sleep
        self._is_inside = False

    async def enter(self) -> None:
        await self._slots.acquire()
        self._is_inside = True

    def leave(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._slots.release()

    async def perform(self, ask: Send | Pause) -> Response | None:
        match ask:
            case Send():
                if not self._is_inside:
                    await self.enter()
                return await self._transport.send(ask.request, ask.timeout_s)
            case Pause():
                self.leave()
                await self._sleep(ask.seconds)
                return None


class _Trip:
    """The same, blocking."""

    __slots__ = ("_is_inside", "_sleep", "_slots", "_transport")

    def __init__(
        self,
        transport: Transport,
        slots: threading.Semaphore,
        sleep: Callable[[float], object],
    ) -> None:
        self._transport = transport
        self._slots = slots
        self._sleep = sleep
        self._is_inside = False

    def enter(self) -> None:
        self._slots.acquire()
        self._is_inside = True

    def leave(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._slots.release()

    def perform(self, ask: Send | Pause) -> Response | None:
        match ask:
            case Send():
                if not self._is_inside:
                    self.enter()
                return self._transport.send(ask.request, ask.timeout_s)
            case Pause():
                self.leave()
                self._sleep(ask.seconds)
                return None
