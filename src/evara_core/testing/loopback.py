"""A web server of raw bytes on the loopback interface: it can misbehave in any way.

It runs in threads, so that blocking and awaiting clients can be tested alike.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["LoopbackServer", "Received", "Script", "reply"]

_LONGEST_HEAD = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in small letters."""

    body: bytes
    connection: int
    """Which connection it came over, counted from 0."""


Script: TypeAlias = "Callable[[Received], Iterable[bytes | float | None]]"
"""What to do for a request: bytes are sent, numbers are seconds to wait, None hangs up."""


def reply(
    body: bytes, *, status: str = "200 OK", headers: dict[str, str] | None = None
) -> list[bytes | float | None]:
    """Return the script of an ordinary answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return [("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body]


@dataclass(slots=True)
class LoopbackServer:
    """A server that follows *script* for each request.

    Use it as a context manager: it listens inside, and is gone afterwards.
    """

    script: Script
    received: list[Received] = field(default_factory=list, repr=False)
    connections: int = 0
    port: int = 0
    _listener: socket.socket | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Return its address, such as `http://127.0.0.1:40123`."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        assert self._listener is not None
        # Closing alone does not wake a thread that waits in accept.
        for wake in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                wake.shutdown(socket.SHUT_RDWR)
            wake.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self._start(self._serve, connection, self.connections)
            self.connections += 1

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection:
            try:
                while (request := _read_request(connection, number)) is not None:
                    self.received.append(request)
                    for step in self.script(request):
                        if step is None:
                            return
                        if isinstance(step, bytes):
                            connection.sendall(step)
                        elif self._stopped.wait(step):
                            return
            except OSError:
                return


def _read_request(connection: socket.socket, number: int) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece or len(data) > _LONGEST_HEAD:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        body += connection.recv(65_536)
    return Received(method=method, target=target, headers=headers, body=body, connection=number)
