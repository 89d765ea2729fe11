"""Follow the stream of a server: an async iterator that survives every break.

    link = EventsLink(http, "https://water.example/api/v1/stream", token=token)
    async for event in StreamClient(link, snapshot=read_snapshot):
        ...

It resumes where it was, pauses with full jitter, tells no alert twice, and asks for a
snapshot where history does not reach back.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import anyio
import httpx
from typing_extensions import override

from evara_core.errors import (
    AccessDeniedError,
    InvalidJsonError,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamRefusedError,
)
from evara_core.realtime.following import Follower, Frame, Patience, PlaceFrame, frame_of
from evara_core.realtime.wire import EventParser
from evara_core.serialization import load_json

if TYPE_CHECKING:
    from evara_core.realtime.following import StreamEvent
    from evara_core.realtime.ports import BusPosition
    from evara_core.realtime.selection import Selection

__all__ = ["EventsLink", "ReadSnapshot", "StreamClient", "StreamLink", "Token"]

Token: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns the token to come with; asked before each connection."""

ReadSnapshot: TypeAlias = "Callable[[], Awaitable[BusPosition]]"
"""Reads a snapshot, keeps what it says, and returns its position."""

_MOST_RETRY_S: Final = 60.0


class StreamLink(Protocol):
    """One way to reach a stream."""

    def open(
        self, *, after: BusPosition | None, dead_after_s: float
    ) -> AbstractAsyncContextManager[AsyncGenerator[Frame, None]]:
        """Connect behind *after*, and yield the frames that come.

        Raises:
            UpstreamRefusedError: Coming back is of no use.
            UpstreamError: The connection could not be made, or broke.
        """
        ...


class StreamClient:
    """Iterates over what happens.

    Args:
        link: How the server is reached.
        snapshot: Called where history does not reach back, and at the start when there is no
            *after*. None: what is missing is missing.
        after: Where to begin; None: with a snapshot, or from now on.
        patience: How it comes back.
        sleep: Waits.
        chance: For pauses.
    """

    def __init__(
        self,
        link: StreamLink,
        *,
        snapshot: ReadSnapshot | None = None,
        after: BusPosition | None = None,
        patience: Patience = Patience(),
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._link = link
        self._snapshot = snapshot
        self._patience = patience
        self._sleep = sleep
        self._chance = chance
        self._follower = Follower(after=after, patience=patience)
        self.failures = 0
        """Breaks since something was heard last."""

    @property
    def position(self) -> BusPosition | None:
        """Where it would resume."""
        return self._follower.position

    @property
    def latest(self) -> dict[tuple[str, str], StreamEvent]:
        """The newest event of each thing since the last snapshot, by kind and key."""
        return self._follower.latest

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Yield events until the server ends the stream for good.

        Raises:
            UpstreamRefusedError: It did. `str` has the code.
        """
        return self.events()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Do what `__aiter__` does; close it (`contextlib.aclosing`) when you leave early."""
        while True:
            try:
                await self._resync_if_needed()
                async with aclosing(self._once()) as found:
                    async for event in found:
                        yield event
            except UpstreamRefusedError:
                raise
            except (UpstreamError, TimeoutError) as error:
                if isinstance(error, RateLimitedError):
                    self._follower.retry_s = error.retry_after_s
            pause_s = self._patience.pause_s(self.failures, self._chance)
            hint_s = min(_MOST_RETRY_S, self._follower.retry_s)
            self._follower.retry_s = 0.0
            self.failures += 1
            await self._sleep(max(pause_s, hint_s))

    async def _resync_if_needed(self) -> None:
        follower = self._follower
        if self._snapshot is not None and (follower.needs_snapshot or follower.position is None):
            follower.restart(await self._snapshot())
        follower.needs_snapshot = False

    async def _once(self) -> AsyncGenerator[StreamEvent, None]:
        follower, dead_after_s = self._follower, self._patience.dead_after_s
        link = self._link.open(after=follower.position, dead_after_s=dead_after_s)
        async with link as opened, aclosing(opened) as frames:
            async for frame in frames:
                self.failures = 0
                event = follower.take(frame)
                if event is not None:
                    yield event
                if follower.needs_snapshot and self._snapshot is not None:
                    return


class EventsLink(StreamLink):
    """Server-sent events over httpx.

    Args:
        client: Yours to open and close.
        url: Of the stream.
        token: Returns what to come with.
        selection: What to hear; None: everything.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        *,
        token: Token,
        selection: Selection | None = None,
    ) -> None:
        self._client = client
        self._url = url
        self._token = token
        self._query = (
            {}
            if selection is None
            else {name: ",".join(each) for name, each in selection.as_json().items() if each}
        )

    @override
    @asynccontextmanager
    async def open(
        self, *, after: BusPosition | None, dead_after_s: float
    ) -> AsyncIterator[AsyncGenerator[Frame, None]]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if token := await self._token():
            headers["Authorization"] = f"Bearer {token}"
        if after is not None:
            headers["Last-Event-ID"] = after
        timeout = httpx.Timeout(10.0, read=dead_after_s)
        try:
            async with self._client.stream(
                "GET", self._url, headers=headers, params=self._query, timeout=timeout
            ) as response:
                _check(response)
                yield _frames(response)
        except httpx.HTTPError as error:
            problem = f"the stream broke: {type(error).__name__}"
            raise UpstreamError(problem) from error


async def _frames(response: httpx.Response) -> AsyncGenerator[Frame, None]:
    parser = EventParser()
    async for chunk in response.aiter_bytes():
        for found in parser.feed(chunk):
            try:
                body = load_json(found.data)
            except InvalidJsonError as error:
                problem = "an event is not JSON"
                raise UpstreamGarbageError(problem) from error
            yield frame_of(found.event, body, position=found.last_id)
        yield PlaceFrame(parser.last_id)


def _check(response: httpx.Response) -> None:
    match response.status_code:
        case 200:
            return
        case 401 | 403 as status:
            raise AccessDeniedError(f"status {status}")
        case 429 | 503:
            after = response.headers.get("Retry-After", "")
            raise RateLimitedError(float(after) if after.isdecimal() else 1.0)
        case status if status < 500:  # noqa: PLR2004 - HTTP
            raise UpstreamRefusedError(f"status {status}")
        case status:
            raise UpstreamError(f"status {status}")
