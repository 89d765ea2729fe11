"""Serve an application until somebody says stop, and then end everything within seconds."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import uvicorn
from typing_extensions import override

from evara_core.adapters.starlette.sockets import SERVER_OPTIONS
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from fastapi_app.parts import Parts

__all__ = ["bound_socket", "serve"]

_DRAIN_S = 1.0
_GRACE_S = 1
_PATIENCE = 2
_LAST_RESORT_S = 4.8
"""After a signal: whatever still hangs is given up. All that counts was committed before."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that holds the address, so that nobody takes it while we set up.

    Raises:
        ConfigurationError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        problem = (
            f"cannot listen at {host} port {port} ({error.strerror});"
            " choose another one with --port, or 0 for any that is free"
        )
        raise ConfigurationError(problem) from error
    return bound


async def serve(
    app: FastAPI, parts: Parts, at: socket.socket, *, on_ready: Callable[[], None]
) -> None:
    """Serve *app* until SIGINT or SIGTERM.

    Open event streams are told to come back later, requests may end, the monitor stores what
    it has in hand. The process ends within 5 s of the first signal, at the third one on the spot.

    Raises:
        ConfigurationError: The application did not start; the log says why.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        **SERVER_OPTIONS,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config, parts, on_ready)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, server)
        await server.serve(sockets=[at])
        tasks.cancel_scope.cancel()
    if not server.started:
        problem = "the application did not start"
        raise ConfigurationError(problem)


class _Server(uvicorn.Server):
    """uvicorn, with streams that end when the server does, and signals handled elsewhere."""

    def __init__(self, config: uvicorn.Config, parts: Parts, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._parts = parts
        self._on_ready = on_ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._parts.hub.drain(grace_s=_DRAIN_S)
        await super().shutdown(sockets)

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _stop_on_signal(server: uvicorn.Server) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        told = 0
        async for _ in signals:
            server.should_exit = True
            told += 1
            if told == 1:
                last_resort = threading.Timer(_LAST_RESORT_S, os._exit, (1,))
                last_resort.daemon = True
                last_resort.start()
            elif told > _PATIENCE:
                os._exit(1)
