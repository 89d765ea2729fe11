"""httpx: the transport of the base install, and of every client object with its API.

Its connection pool gets slow with its size, so the pool is small, and the client lets no
more requests through than the pool has connections.
"""

from __future__ import annotations

import time
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx
from typing_extensions import override

from evara_core.errors import (
    ClosedError,
    ConfigurationError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamTimeoutError,
)
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.transports import (
    CONNECTIONS,
    IDLE_S,
    MAX_BODY_BYTES,
    ORIGIN,
    AsyncTransport,
    Transport,
)
from evara_core.thingspeak.transports._bodies import HEADERS, BodyLimit, check_length
from evara_core.thingspeak.transports._failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from evara_core.thingspeak.messages import Request

__all__ = ["MAX_CONNECTIONS", "AsyncHttpxTransport", "HttpxTransport"]

MAX_CONNECTIONS: Final = 16
"""More than this the pool of httpx 0.28 does not bear: at 100 it spends 17 ms of processor
time on each request."""


class AsyncHttpxTransport(AsyncTransport):
    """Requests through httpx, awaited; on asyncio or trio.

    Args:
        client: An `httpx.AsyncClient`, or another object with its API. It stays open.
            Give it a pool of at least *connections*, and an idle time-out of over a minute.
        origin: Where ThingSpeak is.
        connections: How many requests may be on the way at once.
        max_body_bytes: A larger answer is refused.
    """

    def __init__(
        self,
        client: Any = None,  # noqa: ANN401 - whatever has httpx's API
        *,
        origin: str = ORIGIN,
        connections: int = CONNECTIONS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.connections = _checked(connections)
        self._is_ours = client is None
        # A client of ours has them already.
        self._headers = {} if client is None else HEADERS
        self._client: Any = client or httpx.AsyncClient(
            limits=_limits(connections), headers=dict(HEADERS), cookies=_no_cookies()
        )
        self._max_body_bytes = max_body_bytes

    @override
    async def send(self, request: Request, timeout_s: float) -> Response:
        _check_open(self._client)
        try:
            with anyio.fail_after(timeout_s):
                return await self._send(request)
        except TimeoutError as error:
            failure = translated(error, UpstreamTimeoutError, request)
        except Exception as error:
            kind = _twin_of(error)
            if kind is None:
                raise
            failure = translated(error, kind, request)
        raise failure

    async def _send(self, request: Request) -> Response:
        # The deadline is around all of it; httpx's own four time-outs would cost and add nothing.
        response = await self._client.send(
            self._client.build_request(
                request.method,
                self.origin + request.wire_target(),
                content=request.wire_body(),
                headers={**self._headers, **request.wire_headers()},
                timeout=None,
            ),
            stream=True,
            follow_redirects=False,
        )
        try:
            limit = BodyLimit(self._max_body_bytes)
            headers = response.headers
            if "content-length" in headers:
                check_length(headers["content-length"], self._max_body_bytes)
            if response.is_stream_consumed:
                # A transport of a test hands its body over at once, decoded.
                limit.add(response.content)
                body = limit.body(None)
            else:
                pieces = response.aiter_raw()
                try:
                    async for piece in pieces:
                        limit.add(piece)
                except UpstreamGarbageError:
                    await _abandon(pieces)
                    raise
                body = limit.body(headers.get("content-encoding"))
            return Response(response.status_code, body, headers.get("retry-after"))
        finally:
            await response.aclose()

    @override
    async def aclose(self) -> None:
        if self._is_ours:
            await self._client.aclose()


class HttpxTransport(Transport):
    """Requests through httpx, blocking.

    Args:
        client: An `httpx.Client`, or another object with its API. It stays open.
        origin: Where ThingSpeak is.
        connections: How many requests may be on the way at once.
        max_body_bytes: A larger answer is refused.
        elapsed_s: What time it is, in seconds.
    """

    def __init__(
        self,
        client: Any = None,  # noqa: ANN401 - whatever has httpx's API
        *,
        origin: str = ORIGIN,
        connections: int = CONNECTIONS,
        max_body_bytes: int = MAX_BODY_BYTES,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.connections = _checked(connections)
        self._is_ours = client is None
        self._headers = {} if client is None else HEADERS
        self._client: Any = client or httpx.Client(
            limits=_limits(connections), headers=dict(HEADERS), cookies=_no_cookies()
        )
        self._max_body_bytes = max_body_bytes
        self._elapsed_s = elapsed_s

    @override
    def send(self, request: Request, timeout_s: float) -> Response:
        _check_open(self._client)
        try:
            return self._send(request, timeout_s)
        except Exception as error:
            kind = _twin_of(error)
            if kind is None:
                raise
            failure = translated(error, kind, request)
        raise failure

    def _send(self, request: Request, timeout_s: float) -> Response:
        ends_s = self._elapsed_s() + timeout_s
        response = self._client.send(
            self._client.build_request(
                request.method,
                self.origin + request.wire_target(),
                content=request.wire_body(),
                headers={**self._headers, **request.wire_headers()},
                timeout=timeout_s,
            ),
            stream=True,
            follow_redirects=False,
        )
        try:
            limit = BodyLimit(self._max_body_bytes)
            headers = response.headers
            if "content-length" in headers:
                check_length(headers["content-length"], self._max_body_bytes)
            if response.is_stream_consumed:
                limit.add(response.content)
                body = limit.body(None)
            else:
                for piece in response.iter_raw():
                    limit.add(piece)
                    if self._elapsed_s() > ends_s:
                        raise UpstreamTimeoutError(_DRIPPING)
                body = limit.body(headers.get("content-encoding"))
            return Response(response.status_code, body, headers.get("retry-after"))
        finally:
            response.close()

    @override
    def close(self) -> None:
        if self._is_ours:
            self._client.close()


async def _abandon(pieces: AsyncIterator[bytes]) -> None:
    """End the generators that read a body, each inside of the one before, where they are.

    To close the outermost does not reach the others. asyncio ends them in silence, trio
    complains of them.
    """
    with anyio.CancelScope() as scope, suppress(Exception):
        scope.cancel()
        async for _ in pieces:
            pass


_DRIPPING = "the answer came too slowly"


def _checked(connections: int) -> int:
    if not 1 <= connections <= MAX_CONNECTIONS:
        problem = (
            f"httpx bears 1 to {MAX_CONNECTIONS} connections, not {connections}: "
            "the extra 'fast' brings transports that bear more"
        )
        raise ConfigurationError(problem)
    return connections


def _check_open(client: Any) -> None:  # noqa: ANN401 - whatever has httpx's API
    if getattr(client, "is_closed", False):
        problem = "the transport was closed"
        raise ClosedError(problem)


def _limits(connections: int) -> httpx.Limits:
    return httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=IDLE_S,
    )


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _twin_of(error: Exception) -> type[UpstreamError] | None:
    """Return what an error of httpx is for us; None if it is none of httpx's.

    Told by name: the errors of another library with httpx's API have the same names, and
    other classes.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "TimeoutException" in names:
        return UpstreamTimeoutError
    if "DecodingError" in names:
        return UpstreamGarbageError
    if names & {"TransportError", "HTTPError", "StreamError", "OSError"}:
        return UpstreamError
    return None
