"""The awaited client on trio: reading, writing, patience and cancellation, as on asyncio."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest
import sniffio
from tests.unit.thingspeak.against import client_against
from tests.unit.thingspeak.tiny import TinyServer, at

from evara_core.errors import AccessDeniedError, ChannelReset, UpstreamError, UpstreamTimeoutError
from evara_core.testing.clock import ManualClock
from evara_core.testing.loopback import LoopbackServer, Received, reply
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.messages import Request, Response
from evara_core.thingspeak.models import Position
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


CHANNEL = 9


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at(0))


@pytest.fixture
def simulator(clock: ManualClock) -> Simulator:
    simulator = Simulator(clock=clock)
    simulator.create_channel(channel_id=CHANNEL, labels={1: "level"})
    return simulator


async def test_these_tests_run_on_trio() -> None:
    assert sniffio.current_async_library() == "trio"


async def test_writes_are_spaced_and_come_back_when_read(
    simulator: Simulator, clock: ManualClock
) -> None:
    key = simulator.channels[CHANNEL].write_key

    async with client_against(simulator, clock, write_key=key, read_key=key) as client:
        async with anyio.create_task_group() as tasks:
            for level in range(5):
                tasks.start_soon(client.write, CHANNEL, {"field1": level})
        entries = [entry async for entry in client.entries(CHANNEL, start=at(0))]
        newest = await client.last(CHANNEL)

    assert {entry.fields[1] for entry in entries} == {"0", "1", "2", "3", "4"}
    assert newest == entries[-1]
    assert clock.now() >= at(60)


async def test_a_resumed_reading_yields_what_came_since_and_a_clear_is_a_reset() -> None:
    server = TinyServer()
    for second in range(250):
        server.write(at(second), field1=str(second))
    client = AsyncClient(transport=server, page_rows=30)
    position = Position(entry_id=100, created_at=at(99))

    fresh = [entry.entry_id async for entry in client.entries_since(CHANNEL, position)]
    server.clear()
    server.write(at(300), field1="new")
    with pytest.raises(ChannelReset):
        await client.batch_since(CHANNEL, position)

    assert fresh == list(range(101, 251))


async def test_a_stream_left_early_leaves_nothing_behind() -> None:
    server = TinyServer()
    for second in range(250):
        server.write(at(second), field1=str(second))
    client = AsyncClient(transport=server, page_rows=30)

    async with aclosing(client.entries(CHANNEL)) as entries:
        async for entry in entries:
            if entry.entry_id == 40:
                break

    assert entry.created_at == at(39)


async def test_failures_are_tried_again_and_refusals_are_not() -> None:
    server = TinyServer(failures=[Response(503, b""), Response(401, b"")])
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    client = AsyncClient(transport=server, sleep=sleep, chance=lambda: 1.0)
    with pytest.raises(AccessDeniedError):
        await client.last(CHANNEL)

    assert pauses == [0.5]


async def test_the_deadline_of_an_attempt_holds_over_sockets() -> None:
    with LoopbackServer(lambda _: [30.0]) as server:
        transport = AsyncHttpxTransport(origin=server.origin)
        policy = RetryPolicy(attempts=1, attempt_s=0.2)
        async with AsyncClient(transport=transport, policy=policy) as client:
            with pytest.raises(UpstreamTimeoutError):
                await client.last(CHANNEL)


async def test_a_cancelled_request_gives_its_connection_back() -> None:
    row = b'{"created_at":"2026-01-01T00:00:00Z","entry_id":1}'

    def answer(request: Received) -> list[bytes | float | None]:
        return [30.0] if "/8/" in request.target else reply(row)

    with LoopbackServer(answer) as server:
        transport = AsyncHttpxTransport(origin=server.origin, connections=1)
        async with AsyncClient(transport=transport) as client:
            with anyio.move_on_after(0.1) as scope:
                await client.last(8)
            entry = await client.last(CHANNEL)

    assert scope.cancelled_caught
    assert entry is not None


async def test_those_who_wait_for_a_connection_are_served_in_turn() -> None:
    inside, most = 0, 0
    server = TinyServer(connections=3)
    server.write(at(0), field1="1")

    class Slow(TinyServer):
        async def send(self, request: Request, timeout_s: float) -> Response:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await anyio.lowlevel.checkpoint()
            inside -= 1
            return server.answer(request)

    client = AsyncClient(transport=Slow(connections=3))
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(client.last, CHANNEL)

    assert most == 3
    assert len(server.requests) == 20


async def test_an_answer_that_is_too_large_is_given_up_in_the_middle() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    flood: list[bytes | float | None] = [head, *[b"2710\r\n" + b"x" * 10_000 + b"\r\n"] * 50, 30.0]

    with LoopbackServer(lambda _: flood) as server:
        transport = AsyncHttpxTransport(origin=server.origin, max_body_bytes=50_000)
        async with AsyncClient(transport=transport) as client:
            with pytest.raises(UpstreamError, match="larger than 50000 bytes"):
                await client.last(CHANNEL)
