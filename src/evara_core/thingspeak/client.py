"""The two clients: one that is awaited and one that blocks. They perform; others decide."""

from __future__ import annotations

import time
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import anyio

from evara_core.thingspeak.bulk import write_bulk
from evara_core.thingspeak.malformed import sifted
from evara_core.thingspeak.options import ClientOptions, ClientPlan
from evara_core.thingspeak.outgoing import new_entry
from evara_core.thingspeak.paging import BATCH_ENTRIES
from evara_core.thingspeak.performing import AsyncPerformer, Performer
from evara_core.thingspeak.spacing import AsyncSpacing, Spacing
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport, HttpxTransport
from evara_core.thingspeak.writes import write_entry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
    from datetime import datetime

    from evara_core.thingspeak.bulk import BulkReport
    from evara_core.thingspeak.keys import AnyKey
    from evara_core.thingspeak.malformed import OnRejected
    from evara_core.thingspeak.messages import Call
    from evara_core.thingspeak.models import Channel, Entry, NewEntry, Position, Scalar
    from evara_core.thingspeak.transports import AsyncTransport, Transport

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")


class AsyncClient:
    """ThingSpeak, awaited. One of these serves any number of channels and tasks.

    Every method raises `UpstreamError`, in the class that tells what is the matter, when
    there is no answer within the policy's patience.

    Args:
        transport: What carries the requests, and where to; None: httpx, to ThingSpeak.
            It is closed with the client.
        sleep: How to let time pass.
        **options: Keys, licence, patience …: see `ClientOptions`.
    """

    def __init__(
        self,
        *,
        transport: AsyncTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._plan = plan = ClientPlan(options)
        self._performer = AsyncPerformer(transport or AsyncHttpxTransport(), plan, sleep)
        self._spacing = AsyncSpacing(clock=plan.clock, sleep=sleep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport."""
        await self._performer.transport.aclose()

    async def perform(self, call: Call[T]) -> T:
        """Make a call that has no method of its own, as patiently as any other."""
        return await self._performer.fetch(call)

    async def last(self, channel_id: int, *, read_key: AnyKey = None) -> Entry | None:
        """Return the newest entry by id; None only if the channel holds none."""
        flow = self._plan.reads.last(channel_id, read_key)
        del read_key  # or a traceback with local variables would show it
        return await self._performer.run(flow)

    async def last_of_field(
        self, channel_id: int, field: int, *, read_key: AnyKey = None
    ) -> Entry | None:
        """Return the newest entry in which *field* (1 to 8) was sent; None if there is none."""
        flow = self._plan.reads.last_of_field(channel_id, field, read_key)
        del read_key
        return await self._performer.run(flow)

    async def age_s(self, channel_id: int, *, read_key: AnyKey = None) -> float | None:
        """Return how many seconds old the newest entry is, by ThingSpeak's clock."""
        flow = self._plan.reads.age_s(channel_id, read_key)
        del read_key
        return await self._performer.run(flow)

    async def channel(self, channel_id: int, *, read_key: AnyKey = None) -> Channel:
        """Return the channel's labels, newest id and metadata."""
        flow = self._plan.reads.channel(channel_id, read_key)
        del read_key
        return await self._performer.run(flow)

    async def entries(
        self,
        channel_id: int,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        read_key: AnyKey = None,
        on_rejected: OnRejected | None = None,
    ) -> AsyncGenerator[Entry]:
        """Yield the entries from *start* to *end*, both included: each once, oldest first.

        None stands for the first and the last that there are. It takes as many requests
        as it needs and holds two pages at most. *on_rejected* is told of rows that are none.

        Raises:
            ChannelReset: The channel was cleared on the way.
            UpstreamGarbageError: A row is no entry, and there is no *on_rejected*.
        """
        now = self._plan.clock.now()
        flow = self._plan.reads.entries(channel_id, read_key, start=start, end=end, now=now)
        del read_key
        async with aclosing(self._performer.stream(flow, on_rejected)) as entries:
            async for entry in entries:
                yield entry

    async def entries_since(
        self,
        channel_id: int,
        position: Position | None,
        *,
        read_key: AnyKey = None,
        on_rejected: OnRejected | None = None,
    ) -> AsyncGenerator[Entry]:
        """Yield what came after *position*, in the order of the ids; None: everything.

        Whoever stores `Position.of(entry)` with each entry goes on exactly after it. When
        little is new, this takes one small request, whose answer is never a cached one.

        Raises:
            ChannelReset: The channel was cleared or rewritten since.
        """
        flow = self._plan.reads.entries_since(channel_id, read_key, position)
        del read_key
        async with aclosing(self._performer.stream(flow, on_rejected)) as entries:
            async for entry in entries:
                yield entry

    async def batch_since(
        self,
        channel_id: int,
        position: Position | None,
        *,
        most: int = BATCH_ENTRIES,
        read_key: AnyKey = None,
        with_malformed: bool = False,
    ) -> list[Entry]:
        """Return the first *most* of what `entries_since` yields; for those who poll.

        Rows that are no entries come *with_malformed* as `MalformedEntry`, or are an error.
        """
        reads = self._plan.reads
        key = reads.key(read_key)
        del read_key
        page = await self._performer.fetch(reads.first_since(channel_id, key, position))
        fresh = reads.all_since(page, position)
        if fresh is not None:
            return fresh[:most]
        flow = reads.entries_since(channel_id, key, position, page)
        found = await self._performer.collect(flow, most)
        return found if with_malformed else [*sifted(found, None)]

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
        writer = self._plan.writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        entry = new_entry(
            fields,
            created_at=created_at or self._spacing.moment(channel_id),
            status=status,
            latitude=latitude,
            longitude=longitude,
            elevation=elevation,
        )
        async with self._spacing.turn(channel_id, self._plan.licence.update_interval_s):
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
        writer = self._plan.writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        async with self._spacing.turn(channel_id, self._plan.licence.bulk_interval_s):
            flow = write_bulk(writer, self._plan.licence, entries, confirm_s=confirm_s)
            return await self._performer.run(flow)


class Client:
    """ThingSpeak, blocking. May be used from several threads.

    It has the methods of `AsyncClient`, with `close` for `aclose`.

    Args:
        transport: What carries the requests, and where to; None: httpx, to ThingSpeak.
            It is closed with the client.
        sleep: How to let time pass.
        **options: Keys, licence, patience …: see `ClientOptions`.
    """

    def __init__(
        self,
        *,
        transport: Transport | None = None,
        sleep: Callable[[float], object] = time.sleep,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._plan = plan = ClientPlan(options)
        self._performer = Performer(transport or HttpxTransport(), plan, sleep)
        self._spacing = Spacing(clock=plan.clock, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the transport."""
        self._performer.transport.close()

    def perform(self, call: Call[T]) -> T:
        """Do what `AsyncClient.perform` does."""
        return self._performer.fetch(call)

    def last(self, channel_id: int, *, read_key: AnyKey = None) -> Entry | None:
        """Do what `AsyncClient.last` does."""
        flow = self._plan.reads.last(channel_id, read_key)
        del read_key
        return self._performer.run(flow)

    def last_of_field(
        self, channel_id: int, field: int, *, read_key: AnyKey = None
    ) -> Entry | None:
        """Do what `AsyncClient.last_of_field` does."""
        flow = self._plan.reads.last_of_field(channel_id, field, read_key)
        del read_key
        return self._performer.run(flow)

    def age_s(self, channel_id: int, *, read_key: AnyKey = None) -> float | None:
        """Do what `AsyncClient.age_s` does."""
        flow = self._plan.reads.age_s(channel_id, read_key)
        del read_key
        return self._performer.run(flow)

    def channel(self, channel_id: int, *, read_key: AnyKey = None) -> Channel:
        """Do what `AsyncClient.channel` does."""
        flow = self._plan.reads.channel(channel_id, read_key)
        del read_key
        return self._performer.run(flow)

    def entries(
        self,
        channel_id: int,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        read_key: AnyKey = None,
        on_rejected: OnRejected | None = None,
    ) -> Generator[Entry]:
        """Do what `AsyncClient.entries` does."""
        now = self._plan.clock.now()
        flow = self._plan.reads.entries(channel_id, read_key, start=start, end=end, now=now)
        del read_key
        with closing(self._performer.stream(flow, on_rejected)) as entries:
            yield from entries

    def entries_since(
        self,
        channel_id: int,
        position: Position | None,
        *,
        read_key: AnyKey = None,
        on_rejected: OnRejected | None = None,
    ) -> Generator[Entry]:
        """Do what `AsyncClient.entries_since` does."""
        flow = self._plan.reads.entries_since(channel_id, read_key, position)
        del read_key
        with closing(self._performer.stream(flow, on_rejected)) as entries:
            yield from entries

    def batch_since(
        self,
        channel_id: int,
        position: Position | None,
        *,
        most: int = BATCH_ENTRIES,
        read_key: AnyKey = None,
        with_malformed: bool = False,
    ) -> list[Entry]:
        """Do what `AsyncClient.batch_since` does."""
        reads = self._plan.reads
        key = reads.key(read_key)
        del read_key
        page = self._performer.fetch(reads.first_since(channel_id, key, position))
        fresh = reads.all_since(page, position)
        if fresh is not None:
            return fresh[:most]
        flow = reads.entries_since(channel_id, key, position, page)
        entries = self._performer.collect(flow, most)
        return entries if with_malformed else list(sifted(entries, None))

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
        writer = self._plan.writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        entry = new_entry(
            fields,
            created_at=created_at or self._spacing.moment(channel_id),
            status=status,
            latitude=latitude,
            longitude=longitude,
            elevation=elevation,
        )
        with self._spacing.turn(channel_id, self._plan.licence.update_interval_s):
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
        writer = self._plan.writers.of(channel_id, write_key, read_key)
        del write_key, read_key
        with self._spacing.turn(channel_id, self._plan.licence.bulk_interval_s):
            flow = write_bulk(writer, self._plan.licence, entries, confirm_s=confirm_s)
            return self._performer.run(flow)
