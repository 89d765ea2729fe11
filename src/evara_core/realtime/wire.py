"""Server-sent events: what goes over the wire, and how it is read again. Performs nothing.

The format is that of the HTML standard, section "Server-sent events". Body bytes are JSON
already; an envelope is put around them without decoding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.errors import UpstreamGarbageError
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evara_core.realtime.ports import BusPosition, Delivery

__all__ = [
    "HEARTBEAT",
    "SCHEMA_VERSION",
    "EventParser",
    "Reconnect",
    "ServerSentEvent",
    "bye_frame",
    "event_frame",
    "heartbeat_frame",
    "resync_frame",
    "retry_frame",
]

SCHEMA_VERSION = 1
"""Of `data`. Rises when a client that ignores what it does not know could misread it."""

HEARTBEAT = b":\n\n"
"""A comment: keeps proxies from closing the connection, and tells the client that it lives."""

_NEWLINE = re.compile(rb"\r\n|\r|\n")
_TEXT_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How long clients wait before they come back: each another while.

    After a restart all of them are away at once; spread over some seconds they do not
    arrive at once.
    """

    shortest_ms: int = 1_000
    longest_ms: int = 5_000

    def draw_ms(self, chance: Callable[[], float]) -> int:
        """Return a pause. *chance* yields numbers from 0 to 1, such as `random.random`."""
        return round(self.shortest_ms + (self.longest_ms - self.shortest_ms) * chance())


def event_frame(delivery: Delivery) -> bytes:
    """Return the event of *delivery*: its position as the id, its kind as the name."""
    message = delivery.message
    return b'id: %b\nevent: %b\ndata: {"v":%d,"id":%b,"key":%b,"data":%b}\n\n' % (
        _one_line(delivery.position),
        _one_line(message.kind),
        SCHEMA_VERSION,
        dump_json(message.message_id),
        dump_json(message.key),
        _NEWLINE.sub(b"\ndata: ", message.body),
    )


def resync_frame() -> bytes:
    """Return the event that tells of a gap: the snapshot must be read anew."""
    return b'event: resync\ndata: {"code":"RESYNC"}\n\n'


def bye_frame(code: str, *, is_resumable: bool, retry_ms: int) -> bytes:
    """Return the last event of a stream that the server ends, and why it ends."""
    body = dump_json({"code": code, "resume": is_resumable, "retry_ms": retry_ms})
    return b"event: bye\ndata: %b\n\n" % body


def heartbeat_frame(position: BusPosition | None) -> bytes:
    """Return a sign of life; everything up to *position* was sent, if that is known.

    An id without data is no event, but clients resume from it: one that hears little never
    resumes from long ago.
    """
    return HEARTBEAT if position is None else b":\nid: %b\n\n" % _one_line(position)


def retry_frame(retry_ms: int) -> bytes:
    """Return the pause that the client shall make before it reconnects."""
    return b"retry: %d\n\n" % retry_ms


def _one_line(text: str) -> bytes:
    return _TEXT_NEWLINE.sub(" ", text).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSentEvent:
    """What a client gets of one frame."""

    event: str = "message"
    data: str = ""
    last_id: str | None = None
    """The last id so far, as the standard says: resume from here. None: there was none yet."""


class EventParser:
    """Reads events out of bytes, wherever the chunks are cut.

    Args:
        longest_frame: Bytes. A server that sends more without ending a frame is refused:
            memory is bounded. A reading of eight metrics has less than one kilobyte.
    """

    def __init__(self, *, longest_frame: int = 1_000_000) -> None:
        self._longest_frame = longest_frame
        self._buffer = b""
        self._name = ""
        self._data: list[str] = []
        self._frame_size = 0
        self.last_id: str | None = None
        self.retry_ms: int | None = None

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that *chunk* completes.

        Raises:
            UpstreamGarbageError: A frame is too long, or is not UTF-8.
        """
        lines = _NEWLINE.split(self._buffer + chunk)
        self._buffer = lines.pop()
        # A lone CR at the end may be half of a CR LF: wait for the other half.
        if chunk.endswith(b"\r") and not self._buffer:
            self._buffer = lines.pop() + b"\r"
        for line in lines:
            self._frame_size += len(line)
            self._check_size()
            event = self._take(line)
            if event is not None:
                yield event
        self._check_size()

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError as error:
            problem = "an event is not UTF-8"
            raise UpstreamGarbageError(problem) from error
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004 - eleven days
                self.retry_ms = int(value)
            case _:
                pass
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, name = self._data, self._name
        self._data, self._name, self._frame_size = [], "", 0
        if not data:
            return None
        return ServerSentEvent(event=name or "message", data="\n".join(data), last_id=self.last_id)

    def _check_size(self) -> None:
        if self._frame_size + len(self._buffer) > self._longest_frame:
            problem = f"an event is longer than {self._longest_frame} bytes"
            raise UpstreamGarbageError(problem)
