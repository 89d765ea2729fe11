"""Follow the stream over a WebSocket: the extra `websockets`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import (
    AccessDeniedError,
    InvalidBodyError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamRefusedError,
)
from evara_core.realtime.client import StreamLink, Token
from evara_core.realtime.codes import FIRST_TERMINAL
from evara_core.realtime.encoding import Encoding, JsonEncoding
from evara_core.realtime.following import Frame, PlaceFrame, ResyncFrame, frame_of

with provided_by("websockets", package="websockets"):
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
    from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from websockets.asyncio.client import ClientConnection

    from evara_core.realtime.ports import BusPosition
    from evara_core.realtime.selection import Selection

__all__ = ["SocketLink"]

_LAST_OF_OURS = 4_999
_LONGEST_FRAME = 4_194_304
"""Bytes: 256 events of 16 KB."""


class SocketLink(StreamLink):
    """A WebSocket, in JSON unless told otherwise.

    Args:
        url: Such as `wss://water.example/api/v1/stream/socket`.
        token: Returns what to come with; it goes in the first message.
        selections: What to hear, by names of your own; None: everything.
        encoding: `JsonEncoding()` or `MessagePackEncoding()`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token,
        selections: Mapping[str, Selection] | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._selections = selections
        self._encoding = encoding or JsonEncoding()

    @override
    @asynccontextmanager
    async def open(
        self, *, after: BusPosition | None, dead_after_s: float
    ) -> AsyncIterator[AsyncGenerator[Frame, None]]:
        try:
            async with connect(
                self._url,
                subprotocols=[Subprotocol(self._encoding.subprotocol)],
                compression=None,
                max_size=_LONGEST_FRAME,
                ping_interval=None,
                close_timeout=1,
            ) as socket:
                await self._send(socket, await self._hello(after))
                yield self._frames(socket, dead_after_s)
        except InvalidStatus as error:
            status = error.response.status_code
            if status in {401, 403}:
                raise AccessDeniedError(f"status {status}") from error
            raise UpstreamError(f"status {status}") from error
        except ConnectionClosed as error:
            raise _translated(error) from error
        except (WebSocketException, OSError) as error:
            raise UpstreamError(f"the stream broke: {type(error).__name__}") from error

    async def _hello(self, after: BusPosition | None) -> dict[str, Any]:
        hello: dict[str, Any] = {"type": "hello"}
        if token := await self._token():
            hello["token"] = token
        if after is not None:
            hello["after"] = after
        if self._selections is not None:
            hello["subscribe"] = {name: each.as_json() for name, each in self._selections.items()}
        return hello

    async def _send(self, socket: ClientConnection, members: Mapping[str, Any]) -> None:
        frame = self._encoding.message(members)
        await socket.send(frame.decode() if self._encoding.is_text else frame)

    async def _frames(
        self, socket: ClientConnection, dead_after_s: float
    ) -> AsyncGenerator[Frame, None]:
        while True:
            with anyio.fail_after(dead_after_s):
                raw = await socket.recv()
            message = self._decoded(raw.encode() if isinstance(raw, str) else raw)
            match message.get("type"):
                case "events":
                    for each in message["events"]:
                        yield frame_of(each["event"], each, position=each["position"])
                case "welcome":
                    yield PlaceFrame(message["position"])
                case "ping":
                    await self._send(socket, {"type": "pong"})
                    yield PlaceFrame(message["position"])
                case "resync":
                    yield ResyncFrame()
                case "bye":
                    yield frame_of("bye", message, position=None)
                case "error":
                    raise UpstreamRefusedError(str(message.get("detail")))
                case _:
                    pass  # what a newer server says besides

    def _decoded(self, raw: bytes) -> dict[str, Any]:
        try:
            message = self._encoding.decode(raw)
        except InvalidBodyError as error:
            raise UpstreamGarbageError("a frame cannot be read") from error
        if not isinstance(message, dict):
            raise UpstreamGarbageError("a frame is no object")
        return message


def _translated(error: ConnectionClosed) -> UpstreamError:
    code = error.rcvd.code if error.rcvd is not None else 1006
    reason = error.rcvd.reason if error.rcvd is not None else ""
    if FIRST_TERMINAL <= code <= _LAST_OF_OURS:
        return UpstreamRefusedError(f"the server ended the stream: {reason or code}")
    return UpstreamError(f"the stream broke: close code {code}")
