"""Every transport, against the one suite."""

from __future__ import annotations

import pytest

from evara_core.testing.conformance.thingspeak import OpenTransport, TransportContract
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
