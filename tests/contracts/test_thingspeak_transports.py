"""Every transport, against the one suite."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
import pytest

from evara_core.testing.conformance.thingspeak import OpenTransport, TransportContract
from evara_core.thingspeak.transports import IDLE_S
from evara_core.thingspeak.transports.aiohttp import AiohttpTransport
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport, HttpxTransport
from evara_core.thingspeak.transports.pyreqwest import AsyncPyreqwestTransport, PyreqwestTransport


class TestAsyncHttpxTransport(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return AsyncHttpxTransport


class TestHttpxTransport(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return HttpxTransport


class TestAiohttpTransport(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return AiohttpTransport


class TestAsyncPyreqwestTransport(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return AsyncPyreqwestTransport


class TestPyreqwestTransport(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return PyreqwestTransport


class TestAsyncHttpxTransportOnTrio(TransportContract):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "trio"

    @pytest.fixture
    def opened(self) -> OpenTransport:
        return AsyncHttpxTransport


class OverAsyncHttpx2(AsyncHttpxTransport):
    """A transport over a client of another make, which goes with it."""

    def __init__(self, *, origin: str, connections: int, max_body_bytes: int) -> None:
        self._other = httpx2.AsyncClient(limits=limits(connections), cookies=no_cookies())
        super().__init__(
            self._other, origin=origin, connections=connections, max_body_bytes=max_body_bytes
        )

    async def aclose(self) -> None:
        await self._other.aclose()


class OverHttpx2(HttpxTransport):
    """The same, blocking."""

    def __init__(self, *, origin: str, connections: int, max_body_bytes: int) -> None:
        self._other = httpx2.Client(limits=limits(connections), cookies=no_cookies())
        super().__init__(
            self._other, origin=origin, connections=connections, max_body_bytes=max_body_bytes
        )

    def close(self) -> None:
        self._other.close()


def limits(connections: int) -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE_S
    )


def no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class TestAsyncHttpxTransportOverHttpx2(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return OverAsyncHttpx2


class TestAsyncHttpxTransportOverHttpx2OnTrio(TransportContract):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "trio"

    @pytest.fixture
    def opened(self) -> OpenTransport:
        return OverAsyncHttpx2


class TestHttpxTransportOverHttpx2(TransportContract):
    @pytest.fixture
    def opened(self) -> OpenTransport:
        return OverHttpx2
