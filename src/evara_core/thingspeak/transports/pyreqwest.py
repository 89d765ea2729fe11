"""pyreqwest (extra `fast`): a client in Rust, the least processor time of all."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import anyio.lowlevel
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import ClosedError, UpstreamError, UpstreamTimeoutError
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.transports import (
    CONNECTIONS,
    IDLE_S,
    MAX_BODY_BYTES,
    ORIGIN,
    AsyncTransport,
    Transport,
)
from evara_core.thingspeak.transports._bodies import HEADERS, BodyLimit, check_length, decoded
from evara_core.thingspeak.transports._failures import translated

with provided_by("fast", package="pyreqwest"):
    from pyreqwest.client import ClientBuilder, SyncClientBuilder
    from pyreqwest.exceptions import (
        ClientClosedError,
        ConnectTimeoutError,
        PoolTimeoutError,
        PyreqwestError,
        ReadTimeoutError,
        RequestTimeoutError,
        WriteTimeoutError,
    )

if TYPE_CHECKING:
    from pyreqwest.client import BaseClientBuilder, Client, SyncClient
    from pyreqwest.request import BaseRequestBuilder
    from pyreqwest.response import BaseResponse

    from evara_core.thingspeak.messages import Request

__all__ = ["AsyncPyreqwestTransport", "PyreqwestTransport"]

_TIMEOUTS = (
    TimeoutError,
    ConnectTimeoutError,
    PoolTimeoutError,
    ReadTimeoutError,
    RequestTimeoutError,
    WriteTimeoutError,
)

_Builder = TypeVar("_Builder", bound="BaseClientBuilder")
_RequestBuilder = TypeVar("_RequestBuilder", bound="BaseRequestBuilder")


class AsyncPyreqwestTransport(AsyncTransport):
    """Requests through pyreqwest, awaited.

    Args:
        client: A client of yours. It stays open; make it with gzip and redirects off.
        origin: Where ThingSpeak is.
        connections: How many requests may be on the way at once.
        max_body_bytes: A larger answer is refused.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        origin: str = ORIGIN,
        connections: int = CONNECTIONS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.connections = connections
        self._is_ours = client is None
        self._client = client or _configured(ClientBuilder(), connections).build()
        self._is_closed = False
        self._max_body_bytes = max_body_bytes

    @override
    async def send(self, request: Request, timeout_s: float) -> Response:
        if self._is_closed:
            raise ClosedError(_CLOSED)
        try:
            builder = self._client.request(request.method, self.origin + request.wire_target())
            async with _dressed(builder, request, timeout_s).build_streamed() as response:
                if _is_announced(response, self._max_body_bytes):
                    return _whole(response, bytes(await response.bytes()), self._max_body_bytes)
                limit = BodyLimit(self._max_body_bytes)
                reader = response.body_reader
                while (piece := await reader.read_chunk()) is not None:
                    limit.add(bytes(piece))
                return _whole(response, limit.body(None), self._max_body_bytes)
        except asyncio.CancelledError:
            # pyreqwest raises one of its own making, in which anyio does not recognise the
            # cancellation that it asked for itself. Here it gets to raise its own.
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise
        except _TIMEOUTS as error:
            failure = translated(error, UpstreamTimeoutError, request)
        except ClientClosedError as error:
            raise ClosedError(_CLOSED) from error
        except PyreqwestError as error:
            failure = translated(error, UpstreamError, request)
        raise failure

    @override
    async def aclose(self) -> None:
        if self._is_ours:
            # pyreqwest closes a little later; a request that comes at once would still go out.
            self._is_closed = True
            await self._client.close()


class PyreqwestTransport(Transport):
    """Requests through pyreqwest, blocking.

    Args:
        client: A client of yours. It stays open; make it with gzip and redirects off.
        origin: Where ThingSpeak is.
        connections: How many requests may be on the way at once.
        max_body_bytes: A larger answer is refused.
    """

    def __init__(
        self,
        client: SyncClient | None = None,
        *,
        origin: str = ORIGIN,
        connections: int = CONNECTIONS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.connections = connections
        self._is_ours = client is None
        self._client = client or _configured(SyncClientBuilder(), connections).build()
        self._is_closed = False
        self._max_body_bytes = max_body_bytes

    @override
    def send(self, request: Request, timeout_s: float) -> Response:
        if self._is_closed:
            raise ClosedError(_CLOSED)
        try:
            builder = self._client.request(request.method, self.origin + request.wire_target())
            with _dressed(builder, request, timeout_s).build_streamed() as response:
                if _is_announced(response, self._max_body_bytes):
                    return _whole(response, bytes(response.bytes()), self._max_body_bytes)
                limit = BodyLimit(self._max_body_bytes)
                reader = response.body_reader
                while (piece := reader.read_chunk()) is not None:
                    limit.add(bytes(piece))
                return _whole(response, limit.body(None), self._max_body_bytes)
        except _TIMEOUTS as error:
            failure = translated(error, UpstreamTimeoutError, request)
        except ClientClosedError as error:
            raise ClosedError(_CLOSED) from error
        except PyreqwestError as error:
            failure = translated(error, UpstreamError, request)
        raise failure

    @override
    def close(self) -> None:
        if self._is_ours:
            self._is_closed = True
            self._client.close()


# Looking for a header costs; good answers have no Retry-After.
_MAY_ASK_FOR_PATIENCE = 300

_CLOSED = "the transport was closed"


def _configured(builder: _Builder, connections: int) -> _Builder:
    return (
        builder.max_connections(connections)
        .pool_max_idle_per_host(connections)
        .pool_idle_timeout(timedelta(seconds=IDLE_S))
        .follow_redirects(enable=False)
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .default_headers(dict(HEADERS))
    )


def _dressed(builder: _RequestBuilder, request: Request, timeout_s: float) -> _RequestBuilder:
    for name, value in request.wire_headers().items():
        builder = builder.header(name, value, is_sensitive=True)
    body = request.wire_body()
    if body is not None:
        builder = builder.body_bytes(body)
    return builder.timeout(_span(timeout_s))


@lru_cache(maxsize=8)
def _span(seconds: float) -> timedelta:
    """Return *seconds* as pyreqwest wants them; first attempts all have the same."""
    return timedelta(seconds=seconds)


def _is_announced(response: BaseResponse, max_bytes: int) -> bool:
    """Return whether the answer says how long it is; refuse it if it says too much."""
    length = response.get_header("Content-Length")
    if length is None:
        return False
    check_length(length, max_bytes)
    return True


def _whole(response: BaseResponse, body: bytes, max_bytes: int) -> Response:
    encoding = response.get_header("Content-Encoding")
    if encoding is not None:
        body = decoded(body, encoding, max_bytes)
    status = response.status
    asked = response.get_header("Retry-After") if status >= _MAY_ASK_FOR_PATIENCE else None
    return Response(status, body, asked)
