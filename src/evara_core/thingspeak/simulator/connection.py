"""One HTTP/1.1 connection: requests in, an ASGI application asked, answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple, TypeAlias, cast
from urllib.parse import unquote

from typing_extensions import override

from evara_core.thingspeak.simulator.delivery import HANG_UP, Message, Receive, Scope, Send

__all__ = ["MAX_BODY_BYTES", "MAX_HEAD_BYTES", "App", "Connection"]

App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEAD_BYTES = 64 * 1024
"""Of the request line and headers: eight times what common servers take."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Of a request, twice what the simulator reads, so that the refusal is its own."""

_PAUSE_BYTES = 1024 * 1024
_NO_BODY = frozenset({204, 304})


class _Head(NamedTuple):
    method: str
    target: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]
    length: int | None
    """Of the body; None when it is chunked."""

    keeps_alive: bool


class _BadRequestError(Exception):
    """The bytes are not HTTP/1.1."""


class Connection(asyncio.Protocol):
    """Answers one request after the other, in their order."""

    def __init__(self, app: App, siblings: set[Connection]) -> None:
        """Wait for a connection.

        Args:
            app: What answers.
            siblings: Where this one is kept while it lives.
        """
        self._app = app
        self._siblings = siblings
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._exchange: _Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.lost = asyncio.Event()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._siblings.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._siblings.discard(self)
        self.lost.set()
        self._may_write.set()
        if self._task is not None:
            self._task.cancel()

    @override
    def pause_writing(self) -> None:
        self._may_write.clear()

    @override
    def resume_writing(self) -> None:
        self._may_write.set()

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()
        elif len(self._buffer) > _PAUSE_BYTES and self._transport is not None:
            self._transport.pause_reading()

    async def end(self) -> None:
        """Close at once, in the middle of an answer if need be."""
        task = self._task
        if self._transport is not None:
            self._transport.abort()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _next(self) -> None:
        assert self._transport is not None
        try:
            taken = self._take()
        except _BadRequestError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            self._transport.close()
            return
        if taken is not None:
            self._task = self._loop.create_task(self._answer(*taken))

    def _take(self) -> tuple[_Head, bytes] | None:
        """Take a whole request out of the buffer; None while it is not there yet."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise _BadRequestError
                return None
            self._head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        head = self._head
        if head.length is None:
            body = _take_chunks(self._buffer)
        elif len(self._buffer) < head.length:
            body = None
        else:
            body = bytes(self._buffer[: head.length])
            del self._buffer[: head.length]
        if body is None:
            return None
        self._head = None
        return head, body

    async def _answer(self, head: _Head, body: bytes) -> None:
        assert self._transport is not None
        exchange = _Exchange(self, self._transport, head, body)
        keeps_alive = False
        try:
            await self._app(exchange.scope(), exchange.receive, exchange.send)
            keeps_alive = head.keeps_alive and exchange.is_complete
        except Exception as error:  # noqa: BLE001 - an application's fault must not stop the server
            self._loop.call_exception_handler(
                {"message": "the application failed", "exception": error}
            )
        finally:
            self._task = None
            if not keeps_alive:
                self._transport.close()
        if keeps_alive and not self.lost.is_set():
            self._transport.resume_reading()
            if self._buffer:
                self._next()

    async def write(self, data: bytes) -> None:
        """Send *data* when the other side has room for it."""
        if self.lost.is_set():
            return
        assert self._transport is not None
        self._transport.write(data)
        if not self._may_write.is_set():
            await self._may_write.wait()


class _Exchange:
    """One request and its answer, in ASGI's terms."""

    def __init__(
        self, connection: Connection, transport: asyncio.Transport, head: _Head, body: bytes
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._head = head
        self._body: bytes | None = body
        self._start = b""
        self._is_chunked = False
        self._has_body = head.method != "HEAD"
        self.is_complete = False

    def scope(self) -> Scope:
        path, _, query = self._head.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._head.version.decode("ascii"),
            "method": self._head.method,
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self._head.headers,
            "client": self._transport.get_extra_info("peername"),
            "server": self._transport.get_extra_info("sockname"),
            "extensions": {HANG_UP: {}},
        }

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._connection.lost.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self._start = self._first_bytes(message)
            case "http.response.body":
                await self._send_body(message.get("body", b""), message.get("more_body", False))
            case "evara.hang_up":
                # What was started reaches the caller; what was not is never known.
                self._transport.write(self._start)
                self._transport.close()
            case _:
                pass

    def _first_bytes(self, message: Message) -> bytes:
        status = message["status"]
        headers = list(message.get("headers", ()))
        self._has_body = self._has_body and status not in _NO_BODY
        if not any(name == b"content-length" for name, _ in headers):
            self._is_chunked = self._has_body
            if self._is_chunked:
                headers.append((b"transfer-encoding", b"chunked"))
        if not self._head.keeps_alive:
            headers.append((b"connection", b"close"))
        lines = [b"HTTP/1.1 %d %s\r\n" % (status, _phrase(status))]
        lines += [b"%s: %s\r\n" % header for header in headers]
        return b"".join([*lines, b"\r\n"])

    async def _send_body(self, body: bytes, more: bool) -> None:  # noqa: FBT001 - ASGI's own flag
        data, self._start = self._start, b""
        if self._has_body:
            if self._is_chunked:
                body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
                body += b"" if more else b"0\r\n\r\n"
            data += body
        self.is_complete = not more
        await self._connection.write(data)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


def _parse_head(head: bytes) -> _Head:
    first, *lines = head.lstrip(b"\r\n").split(b"\r\n")
    method, _, rest = first.partition(b" ")
    # From the right: careless devices send blanks inside the target.
    target, _, version = rest.rpartition(b" ")
    if not target or not version.startswith(b"HTTP/1."):
        raise _BadRequestError
    headers: list[tuple[bytes, bytes]] = []
    length: int | None = 0
    keeps_alive = version != b"HTTP/1.0"
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise _BadRequestError
        name, value = name.lower(), value.strip()
        headers.append((name, value))
        match name:
            case b"content-length" if value.isdigit() and int(value) <= MAX_BODY_BYTES:
                length = int(value)
            case b"content-length":
                raise _BadRequestError
            case b"transfer-encoding":
                length = None
            case b"connection":
                keeps_alive = value.lower() != b"close" and (
                    keeps_alive or value.lower() == b"keep-alive"
                )
            case _:
                pass
    if target.startswith((b"http://", b"https://")):
        target = b"/" + target.split(b"/", 3)[-1]
    return _Head(method.decode("latin-1"), target, version[5:], headers, length, keeps_alive)


def _take_chunks(buffer: bytearray) -> bytes | None:
    """Take a chunked body out of *buffer*; None, and *buffer* as it was, while it is not whole."""
    spans: list[tuple[int, int]] = []
    at = total = 0
    while True:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        try:
            size = int(bytes(buffer[at:end]).partition(b";")[0], 16)
        except ValueError:
            raise _BadRequestError from None
        total += size
        if size < 0 or total > MAX_BODY_BYTES:
            raise _BadRequestError
        at = end + 2
        if len(buffer) < at + size + 2:
            return None
        if size == 0:
            break
        spans.append((at, at + size))
        at += size + 2
    body = b"".join(bytes(buffer[start:stop]) for start, stop in spans)
    del buffer[: at + 2]
    return body
