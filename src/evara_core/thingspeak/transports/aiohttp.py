"""aiohttp (extra `fast`): a tenth of the processor time of httpx, on asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import (
    ClosedError,
    UpstreamError,
    UpstreamTimeoutError,
)
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.transports import (
    CONNECTIONS,
    IDLE_S,
    MAX_BODY_BYTES,
    ORIGIN,
    AsyncTransport,
)
from evara_core.thingspeak.transports._bodies import HEADERS, BodyLimit, check_length, decoded
from evara_core.thingspeak.transports._failures import translated

with provided_by("fast", package="aiohttp"):
    import aiohttp
    import yarl

if TYPE_CHECKING:
    from evara_core.thingspeak.messages import Request

__all__ = ["AiohttpTransport"]

_NOT_PACKED = {"Accept-Encoding": "identity"}


class AiohttpTransport(AsyncTransport):
    """Requests through aiohttp.

    Args:
        session: A session of yours. It stays open. If it unpacks answers itself, it is sent
            for answers that are not packed, because it does so without a limit.
        origin: Where ThingSpeak is.
        connections: How many requests may be on the way at once.
        max_body_bytes: A larger answer is refused.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        origin: str = ORIGIN,
        connections: int = CONNECTIONS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.origin = origin.rstrip("/")
        self.connections = connections
        self._session = session
        self._is_ours = session is None
        self._is_closed = False
        self._unpacks_itself = session is not None and session.auto_decompress
        self._max_body_bytes = max_body_bytes
        self._timeout = aiohttp.ClientTimeout(total=None)

    @override
    async def send(self, request: Request, timeout_s: float) -> Response:
        if timeout_s != self._timeout.total:
            self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        headers = _NOT_PACKED if self._unpacks_itself else {}
        try:
            response = await self._open().request(
                request.method,
                yarl.URL(self.origin + request.wire_target(), encoded=True),
                data=request.wire_body(),
                headers={**headers, **request.wire_headers()},
                timeout=self._timeout,
                allow_redirects=False,
            )
            try:
                body = await self._body_of(response)
            except BaseException:
                response.close()
                raise
            return Response(response.status, body, response.headers.get("Retry-After"))
        except TimeoutError as error:
            failure = translated(error, UpstreamTimeoutError, request)
        except (aiohttp.ClientError, OSError) as error:
            failure = translated(error, UpstreamError, request)
        raise failure

    async def _body_of(self, response: aiohttp.ClientResponse) -> bytes:
        encoding = None if self._unpacks_itself else response.headers.get("Content-Encoding")
        announced = response.content_length
        if announced is not None:
            check_length(announced, self._max_body_bytes)
            return decoded(await response.read(), encoding, self._max_body_bytes)
        limit = BodyLimit(self._max_body_bytes)
        async for piece in response.content.iter_any():
            limit.add(piece)
        return limit.body(encoding)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            if self._is_closed:
                problem = "the transport was closed"
                raise ClosedError(problem)
            # Made here and not before: a session belongs to the loop in which it is made.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.connections, keepalive_timeout=IDLE_S),
                auto_decompress=False,
                headers=HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    @override
    async def aclose(self) -> None:
        self._is_closed = True
        if self._session is not None and self._is_ours:
            session, self._session = self._session, None
            await session.close()
