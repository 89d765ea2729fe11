"""What every transport to ThingSpeak must pass. Subclass, and provide the fixture `opened`.

One suite for transports that are awaited and for those that block: the latter are driven
in a thread. Requests go to a server of raw bytes on the loopback interface.
"""

from __future__ import annotations

import gzip
import inspect
import time
import traceback
import zlib
from typing import TYPE_CHECKING, Protocol, cast

import anyio
import anyio.to_thread
import pytest

from evara_core.errors import (
    ClosedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamTimeoutError,
)
from evara_core.testing.loopback import LoopbackServer, reply
from evara_core.thingspeak.keys import Key
from evara_core.thingspeak.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.testing.loopback import Received
    from evara_core.thingspeak.transports import AsyncTransport, Transport

__all__ = ["OpenTransport", "TransportContract"]

SECRET = "SECRETSECRETKEY9"
FEED = Request(target="/channels/9/feeds.json?results=100&start=2026-01-01%2000:00:00")
KEYED = Request(target=FEED.target, key=Key(SECRET))
PROMPT_S = 5.0
"""Time enough for a machine that is busy."""


class OpenTransport(Protocol):
    """Makes the transport under test."""

    def __call__(
        self, *, origin: str, connections: int, max_body_bytes: int
    ) -> AsyncTransport | Transport:
        """Return one that goes to *origin*, within these limits."""
        ...


async def send(
    transport: AsyncTransport | Transport, request: Request, timeout_s: float = PROMPT_S
) -> Response:
    """Send through either kind of transport."""
    if inspect.iscoroutinefunction(transport.send):
        return await _awaited(transport.send(request, timeout_s))
    response = await anyio.to_thread.run_sync(transport.send, request, timeout_s)
    assert isinstance(response, Response)
    return response


async def close(transport: AsyncTransport | Transport) -> None:
    """Close either kind of transport."""
    if inspect.iscoroutinefunction(transport.send):
        await cast("AsyncTransport", transport).aclose()
    else:
        cast("Transport", transport).close()


async def _awaited(response: Awaitable[Response]) -> Response:
    return await response


class TransportContract:
    """The behaviour of an `AsyncTransport` or a `Transport`, as tests."""

    @pytest.fixture
    def opened(self) -> OpenTransport:
        raise NotImplementedError

    @pytest.fixture
    def carried(self, opened: OpenTransport) -> Callable[..., Awaitable[Response]]:
        async def carried(
            server: LoopbackServer,
            request: Request = FEED,
            timeout_s: float = PROMPT_S,
            max_body_bytes: int = 100_000,
        ) -> Response:
            transport = opened(origin=server.origin, connections=4, max_body_bytes=max_body_bytes)
            try:
                return await send(transport, request, timeout_s)
            finally:
                await close(transport)

        return carried

    async def test_brings_status_and_body(self, carried: Carried) -> None:
        with LoopbackServer(lambda _: reply(b"-1", status="400 Bad Request")) as server:
            response = await carried(server)

        assert response == Response(400, b"-1")

    async def test_asks_for_exactly_the_target(self, carried: Carried) -> None:
        with LoopbackServer(lambda _: reply(b"{}")) as server:
            await carried(server)

        assert server.received[0].method == "GET"
        assert server.received[0].target == FEED.target
        assert server.received[0].body == b""

    async def test_a_path_before_thingspeaks_own_stays(self, opened: OpenTransport) -> None:
        with LoopbackServer(lambda _: reply(b"{}")) as server:
            origin = f"{server.origin}/thingspeak/"
            transport = opened(origin=origin, connections=1, max_body_bytes=1000)
            await send(transport, FEED)
            await close(transport)

        assert server.received[0].target == f"/thingspeak{FEED.target}"

    async def test_the_key_goes_into_the_header_alone(self, carried: Carried) -> None:
        with LoopbackServer(lambda _: reply(b"{}")) as server:
            await carried(server, KEYED)

        assert server.received[0].headers["thingspeakapikey"] == SECRET
        assert SECRET not in server.received[0].target

    async def test_the_key_goes_into_the_url_if_that_is_wished(self, carried: Carried) -> None:
        wished = Request(target=FEED.target, key=Key(SECRET), is_key_in_url=True)

        with LoopbackServer(lambda _: reply(b"{}")) as server:
            await carried(server, wished)

        assert server.received[0].target == f"{FEED.target}&api_key={SECRET}"
        assert "thingspeakapikey" not in server.received[0].headers

    async def test_a_body_is_posted_with_its_type(self, carried: Carried) -> None:
        update = Request(
            method="POST",
            target="/update.json",
            body=b"field1=3.2&status=a+b",
            content_type="application/x-www-form-urlencoded",
            key=Key(SECRET),
        )

        with LoopbackServer(lambda _: reply(b"7")) as server:
            await carried(server, update)

        assert server.received[0].method == "POST"
        assert server.received[0].body == update.body
        assert server.received[0].headers["content-type"] == update.content_type
        assert server.received[0].headers["thingspeakapikey"] == SECRET

    async def test_a_key_that_belongs_into_the_body_goes_there(self, carried: Carried) -> None:
        bulk = Request(
            method="POST",
            target="/channels/9/bulk_update.json",
            body=b'{"updates":[]}',
            content_type="application/json",
            key=Key(SECRET),
            is_key_in_body=True,
        )

        with LoopbackServer(lambda _: reply(b"{}")) as server:
            await carried(server, bulk)

        body = b'{"write_api_key":"%s","updates":[]}' % SECRET.encode()
        assert server.received[0].body == body

    async def test_a_key_that_belongs_into_a_form_goes_there(self, carried: Carried) -> None:
        bulk = Request(
            method="POST",
            target="/channels/9/bulk_update.csv",
            body=b"updates=2026-01-01T00%3A00%3A00Z%2C1",
            content_type="application/x-www-form-urlencoded",
            key=Key(SECRET),
            is_key_in_body=True,
        )

        with LoopbackServer(lambda _: reply(b"{}")) as server:
            await carried(server, bulk)

        body = b"write_api_key=%s&updates=2026-01-01T00%%3A00%%3A00Z%%2C1" % SECRET.encode()
        assert server.received[0].body == body

    async def test_passes_retry_after_on(self, carried: Carried) -> None:
        script = reply(b"", status="429 Too Many Requests", headers={"Retry-After": "7"})

        with LoopbackServer(lambda _: script) as server:
            response = await carried(server)

        assert response == Response(429, b"", "7")

    async def test_does_not_follow_redirects(self, carried: Carried) -> None:
        script = reply(b"", status="302 Found", headers={"Location": "/elsewhere"})

        with LoopbackServer(lambda _: script) as server:
            response = await carried(server, KEYED)

        assert response.status == 302
        assert len(server.received) == 1

    async def test_keeps_no_cookies(self, opened: OpenTransport) -> None:
        script = reply(b"{}", headers={"Set-Cookie": "session=1; Path=/"})
        with LoopbackServer(lambda _: script) as server:
            transport = opened(origin=server.origin, connections=1, max_body_bytes=1000)
            await send(transport, FEED)
            await send(transport, FEED)
            await close(transport)

        assert "cookie" not in server.received[1].headers

    async def test_reads_a_body_in_chunks(self, carried: Carried) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

        with LoopbackServer(lambda _: [head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"]) as server:
            response = await carried(server)

        assert response.body == b"abcde"

    async def test_reads_a_body_that_ends_with_the_connection(self, carried: Carried) -> None:
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

        with LoopbackServer(lambda _: [head, b"abc", None]) as server:
            response = await carried(server)

        assert response.body == b"abc"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    async def test_unpacks(self, carried: Carried, encoding: str) -> None:
        text = b'{"field1": "3.2"}' * 100
        packed = gzip.compress(text) if encoding == "gzip" else zlib.compress(text)

        with LoopbackServer(lambda _: reply(packed, headers={"Content-Encoding": encoding})) as s:
            response = await carried(s)

        assert response.body == text

    async def test_asks_for_nothing_but_gzip(self, carried: Carried) -> None:
        with LoopbackServer(lambda _: reply(b"{}")) as server:
            await carried(server)

        assert server.received[0].headers.get("accept-encoding") == "gzip"

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", b"not packed at all"),
            ("gzip", gzip.compress(b"cut" * 1000)[:-9]),
            ("gzip", gzip.compress(b"\0" * 10_000_000)),
            ("br", b"\x0b\x02\x80abc\x03"),
        ],
        ids=["damaged", "cut", "a bomb", "not asked for"],
    )
    async def test_refuses_a_bad_encoding(
        self, carried: Carried, encoding: str, body: bytes
    ) -> None:
        script = reply(body, headers={"Content-Encoding": encoding})

        with LoopbackServer(lambda _: script) as server, pytest.raises(UpstreamGarbageError):
            await carried(server)

    async def test_refuses_what_announces_itself_as_too_large(self, carried: Carried) -> None:
        # Some libraries look at the head only when they have some of the body.
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"
        script: list[bytes | float | None] = [head, b"x" * 70_000, 30.0]

        with LoopbackServer(lambda _: script) as server, pytest.raises(UpstreamGarbageError):
            await carried(server)

    async def test_refuses_what_turns_out_too_large(self, carried: Carried) -> None:
        def flood(_: Received) -> list[bytes | float | None]:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            return [head, *[b"2710\r\n" + b"x" * 10_000 + b"\r\n"] * 50, 30.0]

        with LoopbackServer(flood) as server, pytest.raises(UpstreamGarbageError):
            await carried(server)

    async def test_takes_a_body_of_exactly_the_limit(self, carried: Carried) -> None:
        with LoopbackServer(lambda _: reply(b"x" * 5000)) as server:
            response = await carried(server, max_body_bytes=5000)

        assert len(response.body) == 5000

    @pytest.mark.parametrize(
        "script",
        [
            [None],
            [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbegin", None],
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbe", None],
            [b"SSH-2.0-OpenSSH_9.2\r\n", None],
        ],
        ids=["says nothing", "cuts the body", "cuts a chunk", "speaks something else"],
    )
    async def test_a_broken_connection_is_an_upstream_error(
        self, carried: Carried, script: list[bytes | float | None]
    ) -> None:
        with LoopbackServer(lambda _: script) as server, pytest.raises(UpstreamError) as caught:
            await carried(server)

        assert not isinstance(caught.value, UpstreamGarbageError | UpstreamTimeoutError)

    async def test_a_closed_port_is_an_upstream_error(self, carried: Carried) -> None:
        with LoopbackServer(lambda _: [None]) as server:
            pass

        with pytest.raises(UpstreamError):
            await carried(server)

    @pytest.mark.parametrize(
        "script",
        [
            [30.0],
            [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 30.0],
            [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", *[b"x", 0.02] * 1000],
        ],
        ids=["silent", "silent after the head", "dripping"],
    )
    async def test_gives_up_when_the_time_is_up(
        self, carried: Carried, script: list[bytes | float | None]
    ) -> None:
        started_s = time.monotonic()

        with LoopbackServer(lambda _: script) as server, pytest.raises(UpstreamTimeoutError):
            await carried(server, timeout_s=0.3)

        assert time.monotonic() - started_s < PROMPT_S

    async def test_uses_a_connection_again(self, opened: OpenTransport) -> None:
        with LoopbackServer(lambda _: reply(b"{}")) as server:
            transport = opened(origin=server.origin, connections=4, max_body_bytes=1000)
            for _ in range(5):
                await send(transport, FEED)
            await close(transport)

        assert server.connections == 1

    async def test_carries_several_at_once(self, opened: OpenTransport) -> None:
        def answer(request: Received) -> list[bytes | float | None]:
            return [0.01, *reply(request.target.encode())]

        got: list[bytes] = []
        with LoopbackServer(answer) as server:
            transport = opened(origin=server.origin, connections=4, max_body_bytes=1000)

            async def ask(target: str) -> None:
                response = await send(transport, Request(target=target))
                assert response.body == target.encode()
                got.append(response.body)

            for _ in range(5):
                async with anyio.create_task_group() as tasks:
                    for number in range(4):
                        tasks.start_soon(ask, f"/{number}")
            await close(transport)

        assert len(got) == 20
        assert server.connections <= 4

    async def test_works_after_failures(self, opened: OpenTransport) -> None:
        scripts: dict[str, list[bytes | float | None]] = {
            "/hang-up": [None],
            "/silence": [30.0],
            "/flood": reply(b"x" * 2000),
            "/fine": reply(b"fine"),
        }

        with LoopbackServer(lambda request: scripts[request.target]) as server:
            transport = opened(origin=server.origin, connections=1, max_body_bytes=1000)
            for target in ("/hang-up", "/silence", "/flood"):
                with pytest.raises(UpstreamError):
                    await send(transport, Request(target=target), 0.3)
            response = await send(transport, Request(target="/fine"))
            await close(transport)

        assert response.body == b"fine"

    async def test_works_after_a_request_was_abandoned(self, opened: OpenTransport) -> None:
        scripts = {"/late": [0.2, *reply(b"late")], "/fine": reply(b"fine")}

        with LoopbackServer(lambda request: scripts[request.target]) as server:
            transport = opened(origin=server.origin, connections=1, max_body_bytes=1000)
            with anyio.move_on_after(0.05):
                await send(transport, Request(target="/late"))
            response = await send(transport, Request(target="/fine"))
            await close(transport)

        assert response.body == b"fine"

    @pytest.mark.parametrize(
        ("script", "timeout_s"),
        [([None], PROMPT_S), ([30.0], 0.2), ([b"SSH-2.0\r\n", None], PROMPT_S)],
        ids=["hang-up", "silence", "nonsense"],
    )
    @pytest.mark.parametrize("is_key_in_url", [False, True])
    async def test_no_error_tells_the_key(
        self,
        carried: Carried,
        script: list[bytes | float | None],
        timeout_s: float,
        is_key_in_url: bool,  # noqa: FBT001 - pytest passes it by name
    ) -> None:
        request = Request(target="/update.json", key=Key(SECRET), is_key_in_url=is_key_in_url)

        with LoopbackServer(lambda _: script) as server, pytest.raises(UpstreamError) as caught:
            await carried(server, request, timeout_s)

        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert SECRET not in "".join(told.format())
        assert caught.value.__context__ is None or SECRET not in repr(caught.value.__context__)

    async def test_closed_means_closed(self, opened: OpenTransport) -> None:
        with LoopbackServer(lambda _: reply(b"{}")) as server:
            transport = opened(origin=server.origin, connections=1, max_body_bytes=1000)
            await send(transport, FEED)
            await close(transport)
            await close(transport)

            with pytest.raises(ClosedError):
                await send(transport, FEED)


class Carried(Protocol):
    """Opens a transport to a server, sends one request and closes it."""

    async def __call__(
        self,
        server: LoopbackServer,
        request: Request = ...,
        timeout_s: float = ...,
        max_body_bytes: int = ...,
    ) -> Response:
        """Return what came."""
        ...
