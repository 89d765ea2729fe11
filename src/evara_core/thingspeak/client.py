"""The two clients: one that is awaited and one that blocks. They perform; others decide."""

from __future__ import annotations

import random
import time
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Self

import anyio

from evara_core.clock import SystemClock
from evara_core.thingspeak.breaker import Breakers
from evara_core.thingspeak.bulk import write_bulk
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.models import FREE
from evara_core.thingspeak.outgoing import new_entry
from evara_core.thingspeak.performing import AsyncPerformer, Performer
from evara_core.thingspeak.reads import Reads
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.spacing import AsyncSpacing, Spacing
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport, HttpxTransport
from evara_core.thingspeak.writes import WritePolicy, Writers, write_entry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
    from datetime import datetime

    from evara_core.clock import Clock
    from evara_core.thingspeak.bulk import BulkReport
    from evara_core.thingspeak.keys import AnyKey
    from evara_core.thingspeak.models import Channel, Entry, Licence, NewEntry, Position, Scalar
    from evara_core.thingspeak.transports import AsyncTransport, Transport

__all__ = ["AsyncClient", "Client"]


class AsyncClient:
    """ThingSpeak, awaited. One of these serves any number of channels and tasks.

    Every method raises `UpstreamError`, in the class that tells what is the matter, when
    there is no answer within the policy's patience.

    Args:
        read_key: The key for reads that are given none. None: the channels are public.
        write_key: The key for writes that are given none.
        transport: What carries the requests. It is closed with the client.
        licence: How often the account may write.
        policy: How patiently to ask.
        write_policy: How patiently to write.
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
        write_key: AnyKey = None,
        transport: AsyncTransport | None = None,
        licence: Licence = FREE,
        policy: RetryPolicy = RetryPolicy(),
        write_policy: WritePolicy = WritePolicy(),
        breakers: Breakers | None = None,
        with_status: bool = False,
        with_location: bool = False,
        is_key_in_url: bool = False,
        clock: Clock = SystemClock(),
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._licence = licence
        self._performer = AsyncPerformer(
            transport or AsyncHttpxTransport(),
            policy=policy,
            breakers=breakers or Breakers(),
            clock=clock,
            sleep=sleep,
            chance=chance,
        )
        calls = Calls(is_key_in_url=is_key_in_url)
        self._reads = Reads(
            calls, read_key=read_key, with_status=with_status, with_location=with_location
        )
        self._writers = Writers(
            calls,
            write_key=write_key,
            read_key=read_key,
            licence=licence,
            policy=write_policy,
            elapsed_s=clock.elapsed_s,
            chance=chance,
        )
        self._spacing = AsyncSpacing(clock=clock, sleep=sleep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport."""
        await self._performer.transport.aclose()

    async def last(self, channel_id: int, *, read_key: AnyKey = None) -> Entry | None:
        """Return the newest entry by id; None only if the channel holds none."""
        flow = self._reads.last(channel_id, read_key)
        del read_key  # or a traceback with local variables would show it
        return await self._performer.run(flow)

    async def last_of_field(
        self, channel_id: int, field: int, *, read_key: AnyKey = None
    ) -> Entry | None:
        """Return the newest entry in which *field* (1 to 8) was sent; None if there is none."""
        flow = self._reads.last_of_field(channel_id, field, read_key)
        del read_key
        return await self._performer.run(flow)

    async def age_s(self, channel_id: int, *, read_key: AnyKey = None) -> float | None:
        """Return how many seconds old the newest entry is, by ThingSpeak's clock."""
        flow = self._reads.age_s(channel_id, read_key)
        del read_key
        return await self._performer.run(flow)

    async def channel(self, channel_id: int, *, read_key: AnyKey = None) -> Channel:
        """Return the channel's labels, newest id and metadata."""
        flow = self._reads.channel(channel_id, read_key)
        del read_key
        return await self._performer.run(flow)

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
        now = self._clock.now()
        flow = self._reads.entries(channel_id, read_key, start=start, end=end, now=now)
        del read_key
        async with aclosing(self._performer.stream(flow)) as entries:
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
        flow = self._reads.entries_since(channel_id, read_key, position)
        del read_key
        async with aclosing(self._performer.stream(flow)) as entries:
            async for entry in entries:
                yield entry

    async def write(
        self,
        channel_id: int,
        fields: Mapping[str, Scalar] | Mapping[int, Scalar],
        *,
        created_at: datetime | None = None,
        status: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
        elevation: float | None = None,
        write_key: AnyKey = None,
        read_key: AnyKey = None,
    ) -> int:
        """Write one entry and return its id; in its turn, and once, however often it is tried.

        A field that is not given is stored as nothing; it does not keep its value.

        Args:
            channel_id: Which channel.
            fields: `"field1"` to `"field8"`, or 1 to 8.
            created_at: When it was measured; None: now. Whole seconds are kept, and a
                second that is taken is refused.
            status: A text of at most 255 bytes.
            latitude: Degrees.
            longitude: Degrees.
            elevation: Metres.
            write_key: None: the client's.
            read_key: To find out whether an entry was stored that got no answer; None:
                the client's, or else the write key, which reads as well.

        Raises:
            ConflictError: Another entry has that time, or the key is of another channel.
            InvalidInputError: It cannot be stored as it is.
            LimitExceededError: Too many writes wait for this channel.
            UpstreamTimeoutError: Whether it was stored could not be found out.
        """
        writer = self._writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        entry = new_entry(
            fields,
            created_at=created_at or self._spacing.moment(channel_id),
            status=status,
            latitude=latitude,
            longitude=longitude,
            elevation=elevation,
        )
        async with self._spacing.turn(channel_id, self._licence.update_interval_s):
            return await self._performer.run(write_entry(writer, entry))

    async def bulk_write(
        self,
        channel_id: int,
        entries: Iterable[NewEntry | Entry],
        *,
        confirm_s: float = 0.0,
        write_key: AnyKey = None,
        read_key: AnyKey = None,
    ) -> BulkReport:
        """Write many entries, as many at a time and as often as the licence allows.

        ThingSpeak only says that it accepted them. With *confirm_s* the channel is looked
        at for so many seconds, until they are there. What failed is in the report.

        Raises:
            LimitExceededError: Too many writes wait for this channel.
        """
        writer = self._writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        async with self._spacing.turn(channel_id, self._licence.bulk_interval_s):
            flow = write_bulk(writer, self._licence, entries, confirm_s=confirm_s)
            return await self._performer.run(flow)


class Client:
    """ThingSpeak, blocking. May be used from several threads.

    It has the methods of `AsyncClient`, with `close` for `aclose`, and takes the same
    arguments; *transport* and *sleep* are blocking ones.
    """

    def __init__(
        self,
        *,
        read_key: AnyKey = None,
        write_key: AnyKey = None,
        transport: Transport | None = None,
        licence: Licence = FREE,
        policy: RetryPolicy = RetryPolicy(),
        write_policy: WritePolicy = WritePolicy(),
        breakers: Breakers | None = None,
        with_status: bool = False,
        with_location: bool = False,
        is_key_in_url: bool = False,
        clock: Clock = SystemClock(),
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._licence = licence
        self._performer = Performer(
            transport or HttpxTransport(),
            policy=policy,
            breakers=breakers or Breakers(),
            clock=clock,
            sleep=sleep,
            chance=chance,
        )
        calls = Calls(is_key_in_url=is_key_in_url)
        self._reads = Reads(
            calls, read_key=read_key, with_status=with_status, with_location=with_location
        )
        self._writers = Writers(
            calls,
            write_key=write_key,
            read_key=read_key,
            licence=licence,
            policy=write_policy,
            elapsed_s=clock.elapsed_s,
            chance=chance,
        )
        self._spacing = Spacing(clock=clock, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the transport."""
        self._performer.transport.close()

    def last(self, channel_id: int, *, read_key: AnyKey = None) -> Entry | None:
        """Do what `AsyncClient.last` does."""
        flow = self._reads.last(channel_id, read_key)
        del read_key
        return self._performer.run(flow)

    def last_of_field(
        self, channel_id: int, field: int, *, read_key: AnyKey = None
    ) -> Entry | None:
        """Do what `AsyncClient.last_of_field` does."""
        flow = self._reads.last_of_field(channel_id, field, read_key)
        del read_key
        return self._performer.run(flow)

    def age_s(self, channel_id: int, *, read_key: AnyKey = None) -> float | None:
        """Do what `AsyncClient.age_s` does."""
        flow = self._reads.age_s(channel_id, read_key)
        del read_key
        return self._performer.run(flow)

    def channel(self, channel_id: int, *, read_key: AnyKey = None) -> Channel:
        """Do what `AsyncClient.channel` does."""
        flow = self._reads.channel(channel_id, read_key)
        del read_key
        return self._performer.run(flow)

    def entries(
        self,
        channel_id: int,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        read_key: AnyKey = None,
    ) -> Generator[Entry]:
        """Do what `AsyncClient.entries` does."""
        now = self._clock.now()
        flow = self._reads.entries(channel_id, read_key, start=start, end=end, now=now)
        del read_key
        with closing(self._performer.stream(flow)) as entries:
            yield from entries

    def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: AnyKey = None
    ) -> Generator[Entry]:
        """Do what `AsyncClient.entries_since` does."""
        flow = self._reads.entries_since(channel_id, read_key, position)
        del read_key
        with closing(self._performer.stream(flow)) as entries:
            yield from entries

    def write(
        self,
        channel_id: int,
        fields: Mapping[str, Scalar] | Mapping[int, Scalar],
        *,
        created_at: datetime | None = None,
        status: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
        elevation: float | None = None,
        write_key: AnyKey = None,
        read_key: AnyKey = None,
    ) -> int:
        """Do what `AsyncClient.write` does."""
        writer = self._writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        entry = new_entry(
            fields,
            created_at=created_at or self._spacing.moment(channel_id),
            status=status,
            latitude=latitude,
            longitude=longitude,
            elevation=elevation,
        )
        with self._spacing.turn(channel_id, self._licence.update_interval_s):
            return self._performer.run(write_entry(writer, entry))

    def bulk_write(
        self,
        channel_id: int,
        entries: Iterable[NewEntry | Entry],
        *,
        confirm_s: float = 0.0,
        write_key: AnyKey = None,
        read_key: AnyKey = None,
    ) -> BulkReport:
        """Do what `AsyncClient.bulk_write` does."""
        writer = self._writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        with self._spacing.turn(channel_id, self._licence.bulk_interval_s):
            flow = write_bulk(writer, self._licence, entries, confirm_s=confirm_s)
            return self._performer.run(flow)
