"""What the transports are beyond their common contract."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from contextlib import suppress

import aiohttp
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyreqwest.client import ClientBuilder

from evara_core.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamTimeoutError,
)
from evara_core.testing.loopback import LoopbackServer, reply
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.messages import Request, Response
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.transports import IDLE_S
from evara_core.thingspeak.transports.aiohttp import AiohttpTransport
from evara_core.thingspeak.transports.httpx import (
    MAX_CONNECTIONS,
    AsyncHttpxTransport,
    HttpxTransport,
)
from evara_core.thingspeak.transports.pyreqwest import AsyncPyreqwestTransport

ASK = Request(target="/channels/9/feeds.json?results=1")


@pytest.mark.parametrize("connections", [0, -1, MAX_CONNECTIONS + 1, 100])
def test_httpx_gets_no_pool_in_which_it_collapses(connections: int) -> None:
    with pytest.raises(ConfigurationError, match="fast"):
        AsyncHttpxTransport(connections=connections)
    with pytest.raises(ConfigurationError):
        HttpxTransport(connections=connections)


def test_idle_connections_outlast_a_cycle() -> None:
    assert IDLE_S > 60


async def test_idle_connections_are_kept_that_long() -> None:
    ours = AsyncHttpxTransport()
    pool = ours._client._transport._pool

    assert pool._keepalive_expiry == IDLE_S
    assert pool._max_connections == pool._max_keepalive_connections == ours.connections
    await ours.aclose()


async def test_a_client_of_the_users_own_stays_open() -> None:
    with LoopbackServer(lambda _: reply(b"{}")) as server:
        async with (
            httpx.AsyncClient() as raw,
            aiohttp.ClientSession() as session,
            ClientBuilder().build() as rust,
        ):
            for transport in (
                AsyncHttpxTransport(raw, origin=server.origin),
                AiohttpTransport(session, origin=server.origin),
                AsyncPyreqwestTransport(rust, origin=server.origin),
            ):
                assert await transport.send(ASK, 5) == Response(200, b"{}")
                await transport.aclose()
                assert await transport.send(ASK, 5) == Response(200, b"{}")


async def test_a_session_that_unpacks_itself_is_asked_for_nothing_packed() -> None:
    packed = reply(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    with LoopbackServer(lambda _: packed) as server:
        async with aiohttp.ClientSession() as session:
            response = await AiohttpTransport(session, origin=server.origin).send(ASK, 5)

    assert response == Response(200, b"{}")
    assert server.received[0].headers["accept-encoding"] == "identity"


class TimeoutException(Exception):  # noqa: N818 - named as httpx and httpx2 name it
    pass


class TransportError(Exception):
    pass


class DecodingError(Exception):
    pass


class LookAlike:
    """An object with httpx's API whose classes are not httpx's, as httpx2 has them."""

    is_closed = False

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self._raw = httpx.AsyncClient(
            transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"a": 1}))
        )

    def build_request(self, *arguments, **options):
        return self._raw.build_request(*arguments, **options)

    async def send(self, request, **options):
        if self._error is not None:
            raise self._error
        return await self._raw.send(request, **options)


async def test_any_object_with_the_api_of_httpx_will_do() -> None:
    assert await AsyncHttpxTransport(LookAlike()).send(ASK, 5) == Response(200, b'{"a":1}')


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (TimeoutException("slow"), UpstreamTimeoutError),
        (TransportError("broken"), UpstreamError),
        (DecodingError("odd"), UpstreamGarbageError),
        (ConnectionResetError("gone"), UpstreamError),
    ],
)
async def test_its_errors_are_known_by_their_names(error: Exception, ours: type) -> None:
    with pytest.raises(UpstreamError) as caught:
        await AsyncHttpxTransport(LookAlike(error)).send(ASK, 5)

    assert type(caught.value) is ours


async def test_an_error_that_is_not_the_librarys_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await AsyncHttpxTransport(LookAlike(ZeroDivisionError())).send(ASK, 5)


@pytest.mark.parametrize("module", ["aiohttp", "pyreqwest"])
def test_a_missing_library_names_the_extra(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from evara_core.errors import MissingExtraError\n"
        f"try:\n    import evara_core.thingspeak.transports.{module}\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "evara-core[fast]" in done.stdout


def test_the_client_imports_no_extra() -> None:
    code = (
        "import sys, evara_core.thingspeak.client, evara_core.thingspeak.source\n"
        "print([n for n in ('aiohttp', 'pyreqwest', 'aiomqtt', 'sqlalchemy', 'fastapi') "
        "if n in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


HEADS = st.sampled_from([
    b"",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 999 Odd\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
])  # fmt: skip


@pytest.mark.parametrize("kind", [AsyncHttpxTransport, AiohttpTransport, AsyncPyreqwestTransport])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(head=HEADS, body=st.binary(max_size=200))
async def test_whatever_a_server_sends_an_upstream_error_comes_out_in_time(
    kind, head: bytes, body: bytes
) -> None:
    policy = RetryPolicy(attempts=2, attempt_s=0.2, total_s=0.5, first_pause_s=0)
    started_s = time.monotonic()

    with LoopbackServer(lambda _: [head + body, None]) as server:
        async with AsyncClient(transport=kind(origin=server.origin), policy=policy) as client:
            with suppress(UpstreamError):
                await client.last(9)

    assert time.monotonic() - started_s < 10
