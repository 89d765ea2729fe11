"""Servers on Unix sockets in this event loop, and clients that count: for `benchmarks.realtime`."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from typing_extensions import override
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.asyncio.server import ServerConnection, broadcast, unix_serve

from evara_core.adapters.starlette.sockets import SERVER_OPTIONS, SocketEndpoint
from evara_core.clock import SystemClock
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.listeners import Listener
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message

BODY = json.dumps(
    {"node_id": "tank-17", "values": {f"metric_{n}": {"value": n * 1.5} for n in range(5)}}
).encode()
FRAME = (b'{"v":1,"event":"alert","position":"p","id":"m","key":"n1","data":%b}' % BODY).decode()
"""As long as one of our events."""

MARK = b'"v":1,'
"""Once in each event."""

NODES = 100
HELLO = b'{"type":"hello"}'
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def message(number: int, kind: str, *, body: bytes = BODY) -> Message:
    return Message(
        message_id=f"m{number}",
        kind=kind,
        key=f"n{number % NODES}",
        topics=("platform",),
        body=body,
    )


def masked(text: bytes) -> bytes:
    assert len(text) < 126
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


def new_path() -> str:
    return str(Path(tempfile.mkdtemp(prefix="evara-")) / "socket")


@contextmanager
def preferred() -> Iterator[None]:
    """Let other processes of this machine disturb less, where that is permitted."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


class OwnSelector(selectors.DefaultSelector):
    """Counts how long the loop meant to sleep."""

    slept_s = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        started = time.perf_counter()
        found = super().select(timeout)
        spent_s = time.perf_counter() - started
        self.slept_s += spent_s if timeout is None else min(spent_s, max(0.0, timeout))
        return found


class OwnLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while other processes have the core.

    It counts the CPU time of this process and the time that it wanted to sleep: what would
    pass on a core of its own. Everything that is waited for must happen in this process.
    """

    def __init__(self) -> None:
        self._own = OwnSelector()
        super().__init__(self._own)

    @override
    def time(self) -> float:
        return time.process_time() + self._own.slept_s


class Ear(asyncio.Protocol):
    """A client: it counts a mark, or takes the time at which each id comes."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.is_open = asyncio.get_running_loop().create_future()
        self.mark = MARK
        self.got = 0
        self.target = 0
        self.rest = b""
        self.timed: Callable[[bytes, float], None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            if b"\r\n\r\n" in data:
                self.is_open.set_result(None)
            return
        if self.timed is not None:
            parts = (self.rest + data).split(b'"id":"m')
            self.rest = parts[-1][-40:]
            now = asyncio.get_running_loop().time()
            for part in parts[1:]:
                self.timed(part.partition(b'"')[0], now)
            return
        data = self.rest + data
        found = data.count(self.mark)
        self.rest = data[1 - len(self.mark) :]
        if found:
            before, self.got = self.got, self.got + found
            if before < self.target <= self.got:
                self.clients.missing -= 1
                if not self.clients.missing:
                    self.clients.complete.set()


class Clients:
    """The other ends of the connections."""

    def __init__(self) -> None:
        self.ears: list[Ear] = []
        self.missing = 0
        self.complete = asyncio.Event()

    async def add(self, path: str, count: int, first: bytes | None = None) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, ear = await loop.create_unix_connection(lambda: Ear(self), path)
            ear.transport.write(UPGRADE)
            self.ears.append(ear)
            await ear.is_open
            if first is not None:
                ear.transport.write(masked(first))

    def await_from_now(self, many: int, mark: bytes = MARK) -> None:
        """Let `complete` be set when every client has counted *mark* so often."""
        self.complete.clear()
        self.missing = len(self.ears)
        for ear in self.ears:
            ear.mark, ear.got, ear.target, ear.rest = mark, 0, many, b""

    async def close(self) -> None:
        for ear in self.ears:
            ear.transport.abort()
        await asyncio.sleep(0.05)


class Ours:
    """The hub behind uvicorn's protocol, as in a deployment but for the listening."""

    def __init__(self, **limits: Any) -> None:
        self.bus = MemoryBus(history=50_000)
        options = {"clients": 20_000, "clients_per_principal": 20_000, **limits}
        self.limits = HubLimits(**options)
        self.hub = Hub(self.bus, clock=SystemClock(), limits=self.limits)
        self.clients = Clients()
        self.number = 0

        async def authenticate(_: str | None) -> Listener:
            return Listener(principal_id="u", topics=("platform",))

        self.endpoint = SocketEndpoint(
            self.hub, authenticate=authenticate, elapsed_s=SystemClock().elapsed_s
        )

    async def start(self, count: int) -> Ours:
        self.runner = asyncio.create_task(self.hub.run())
        while "None" in repr(self.hub):  # noqa: ASYNC110 - the hub tells nobody
            await asyncio.sleep(0)
        self.path, self.server = await served(self.endpoint)
        await self.clients.add(self.path, count, HELLO)
        while self.hub.stats().clients < count:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
        return self

    def messages(self, count: int, kind: str, *, body: bytes = BODY) -> list[Message]:
        self.number += count
        first = self.number - count
        return [message(first + step, kind, body=body) for step in range(count)]

    async def send(self) -> None:
        await self.bus.publish(self.messages(1, "alert"))

    async def stop(self) -> None:
        self.server.close()
        await self.clients.close()
        await self.hub.aclose()
        await self.runner


class Broadcast:
    """`websockets.broadcast`, on its own server."""

    def __init__(self) -> None:
        self.clients = Clients()
        self.connections: set[ServerConnection] = set()

    async def start(self, count: int) -> Broadcast:
        path, self.forever = new_path(), asyncio.Event()

        async def handler(connection: ServerConnection) -> None:
            self.connections.add(connection)
            await self.forever.wait()

        self.server = await unix_serve(
            handler, path, compression=None, ping_interval=None, backlog=1024
        )
        await self.clients.add(path, count)
        while len(self.connections) < count:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
        return self

    async def send(self) -> None:
        broadcast(self.connections, FRAME)

    async def stop(self) -> None:
        self.forever.set()
        await self.clients.close()
        self.server.close()
        await self.server.wait_closed()


class Bare:
    """ASGI alone: what `send` of uvicorn costs when nothing else is done."""

    def __init__(self) -> None:
        self.clients = Clients()
        self.sends: list[Any] = []

    async def start(self, count: int) -> Bare:
        self.forever = asyncio.Event()

        async def app(_: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            self.sends.append(send)
            await self.forever.wait()

        path, self.server = await served(app)
        await self.clients.add(path, count)
        return self

    async def send(self) -> None:
        event = {"type": "websocket.send", "text": FRAME}
        for send in self.sends:
            await send(event)

    async def send_json(self, body: Any) -> None:
        """The original design: encoded for each, one after the other."""
        for send in self.sends:
            text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
            await send({"type": "websocket.send", "text": text})

    async def stop(self) -> None:
        self.forever.set()
        await asyncio.sleep(0.05)
        await self.clients.close()
        self.server.close()


async def served(app: Any) -> tuple[str, asyncio.Server]:
    """Serve an ASGI application as uvicorn does, on a Unix socket."""
    config = Config(app, log_level="critical", lifespan="off", **SERVER_OPTIONS)
    config.load()
    state, path = ServerState(), new_path()
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: WebSocketsSansIOProtocol(config, state, {}), path, backlog=1024
    )
    return path, server
