"""An MQTT 3.1.1 broker of one page: QoS 0, and it may hang up."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 12, 14


@dataclass
class Broker:
    """What it has seen, and what it does."""

    port: int = 0
    refusals: int = 0
    """How many of the next connections are told "bad user name or password"."""

    logins: list[tuple[str, str, str]] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes) -> None:
        name = topic.encode()
        body = len(name).to_bytes(2, "big") + name + payload
        for writer in self._writers:
            writer.write(bytes([PUBLISH << 4]) + _length(len(body)) + body)

    def hang_up(self) -> None:
        self.subscribed.clear()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._serve(reader, writer)
        if writer in self._writers:
            self._writers.remove(writer)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, body = await _packet(reader)
            if kind == CONNECT:
                texts = body[10:]
                client_id, texts = _text(texts)
                username, texts = _text(texts)
                password, _ = _text(texts)
                self.logins.append((client_id, username, password))
                refused = self.refusals > 0
                self.refusals -= refused
                writer.write(bytes([0x20, 2, 0, 4 if refused else 0]))
                if refused:
                    return
                self._writers.append(writer)
            elif kind == SUBSCRIBE:
                topic, _ = _text(body[2:])
                self.topics.append(topic)
                writer.write(bytes([0x90, 3]) + body[:2] + b"\0")
                self.subscribed.set()
            elif kind == PINGREQ:
                writer.write(b"\xd0\0")
            elif kind == DISCONNECT:
                return


@asynccontextmanager
async def broker(context: ssl.SSLContext | None = None) -> AsyncIterator[Broker]:
    made = Broker()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.hang_up()
        server.close()
        await server.wait_closed()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0] >> 4
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return kind, await reader.readexactly(length)


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, byte = size >> 7, size & 0x7F
        out.append(byte | (0x80 if size else 0))
        if not size:
            return bytes(out)


def _text(data: bytes) -> tuple[str, bytes]:
    size = int.from_bytes(data[:2], "big")
    return data[2 : 2 + size].decode(), data[2 + size :]
