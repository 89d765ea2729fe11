"""A small HTTP/1.1 server for the simulator, which can do what decent servers refuse to do.

It closes connections in mid-answer, or before it, and lets unencoded blanks in a query
through to be refused by the service. For tests and demonstrations on this machine; the
simulator runs under any other ASGI server as well.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from evara_core.thingspeak.simulator.connection import App

__all__ = ["loopback", "loopback_in_thread"]

_START_S = 10.0
"""How long a thread may take to listen: it takes milliseconds."""


@asynccontextmanager
async def loopback(app: App, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve *app* in the running event loop; what you get is the base URL.

    Every connection is closed, and every request that is being answered cancelled, at the end.

    Args:
        app: The simulator, or another ASGI application.
        host: The address to listen at.
        port: 0 takes a free one.

    Raises:
        OSError: The address is taken.
    """
    connections: set[Connection] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(app, connections), host, port, backlog=1024
    )
    try:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*[connection.end() for connection in connections])
        await server.wait_closed()


@contextmanager
def loopback_in_thread(app: App, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Do what `loopback` does in a thread of its own: for code that blocks.

    Raises:
        OSError: The address is taken.
    """
    started, thread = _Started(), None
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(app, host, port, started)), daemon=True
    )
    thread.start()
    started.event.wait(_START_S)
    if started.problem is not None:
        thread.join()
        raise started.problem
    assert started.loop is not None
    assert started.stop is not None
    try:
        yield started.url
    finally:
        started.loop.call_soon_threadsafe(started.stop.set)
        thread.join()


class _Started:
    """What a thread tells the one that started it."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.url = ""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stop: asyncio.Event | None = None
        self.problem: OSError | None = None


async def _serve(app: App, host: str, port: int, started: _Started) -> None:
    try:
        async with loopback(app, host=host, port=port) as url:
            started.url = url
            started.loop = asyncio.get_running_loop()
            started.stop = asyncio.Event()
            started.event.set()
            await started.stop.wait()
    except OSError as error:
        started.problem = error
        started.event.set()
