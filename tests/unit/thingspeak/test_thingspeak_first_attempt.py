"""The first attempt is made without a flow. It must not be noticed, but for the time it takes."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.thingspeak.tiny import TinyBlockingServer, TinyServer, at

from evara_core.errors import EvaraError, UpstreamError, UpstreamOpenError, UpstreamTimeoutError
from evara_core.flow import run
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.breaker import BreakerPolicy, Breakers
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.client import AsyncClient, Client
from evara_core.thingspeak.messages import Request, Response
from evara_core.thingspeak.retries import Pause, RetryPolicy, Send, exchange

LAST = Calls().last(9, None)
FINE = Response(200, b'{"created_at":"2026-01-01T00:00:00Z","entry_id":1,"field1":"3"}')
ANSWERS = st.sampled_from(
    [
        FINE,
        Response(503, b""),
        Response(429, b"", "2"),
        Response(401, b""),
        Response(200, b"<html>"),
        UpstreamTimeoutError("slow"),
        UpstreamError("hung up"),
    ]
)
POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 4),
    total_s=st.sampled_from([3.0, 8.0, 30.0]),
    attempt_s=st.sampled_from([1.0, 10.0]),
)


class Side:
    """What one way of asking does: its own time, breakers and answers, and a diary."""

    origin = "https://side.example"
    connections = 1

    def __init__(self, answers: list[Response | Exception]) -> None:
        self.answers = list(answers)
        self.clock = ManualClock()
        self.breakers = Breakers(
            host=BreakerPolicy(failures=5, first_pause_s=5, longest_pause_s=60),
            channel=BreakerPolicy(failures=3, first_pause_s=60, longest_pause_s=900),
        )
        self.diary: list[object] = []

    def send(self, request: Request, timeout_s: float) -> Response:
        self.diary.append((request, timeout_s))
        self.clock.advance(0.5)
        answer = self.answers.pop(0) if self.answers else FINE
        if isinstance(answer, Exception):
            raise type(answer)(*answer.args)
        return answer

    def sleep(self, seconds: float) -> None:
        self.diary.append(seconds)
        self.clock.advance(seconds)

    def perform(self, ask: Send | Pause) -> Response | None:
        if isinstance(ask, Pause):
            self.sleep(ask.seconds)
            return None
        return self.send(*ask)

    def note(self, outcome: object) -> None:
        self.diary.append(outcome)
        self.clock.advance(1)

    def close(self) -> None:
        pass


class AsyncSide:
    """The same, awaited."""

    def __init__(self, side: Side) -> None:
        self.origin, self.connections, self._side = side.origin, side.connections, side

    async def send(self, request: Request, timeout_s: float) -> Response:
        return self._side.send(request, timeout_s)

    async def sleep(self, seconds: float) -> None:
        self._side.sleep(seconds)

    async def aclose(self) -> None:
        pass


@settings(max_examples=60)
@given(answers=st.lists(ANSWERS, max_size=25), policy=POLICIES, calls=st.integers(1, 12))
async def test_a_client_does_what_the_flow_alone_would_do(
    answers: list[Response | Exception], policy: RetryPolicy, calls: int
) -> None:
    by_hand, blocking, awaited = Side(answers), Side(answers), Side(answers)
    options = [
        {"clock": s.clock, "policy": policy, "breakers": s.breakers, "chance": lambda: 0.5}
        for s in (blocking, awaited)
    ]
    client = Client(transport=blocking, sleep=blocking.sleep, **options[0])
    transport = AsyncSide(awaited)
    async_client = AsyncClient(transport=transport, sleep=transport.sleep, **options[1])

    for _ in range(calls):
        try:
            flow = exchange(
                LAST, policy, by_hand.breakers, by_hand.clock.elapsed_s, chance=lambda: 0.5
            )
            by_hand.note(run(flow, by_hand.perform))
        except EvaraError as error:
            by_hand.note(repr(error))
        try:
            blocking.note(client.perform(LAST))
        except EvaraError as error:
            blocking.note(repr(error))
        try:
            awaited.note(await async_client.perform(LAST))
        except EvaraError as error:
            awaited.note(repr(error))

    assert blocking.diary == by_hand.diary
    assert awaited.diary == by_hand.diary


async def test_a_success_that_was_on_the_way_ends_a_row_of_failures() -> None:
    server = TinyServer(failures=[Response(500, b"")])
    server.write(at(0), field1="1")
    may_end = anyio.Event()

    class Slow(TinyServer):
        async def send(self, request: Request, timeout_s: float) -> Response:
            if "/8/" in request.target:
                await may_end.wait()
            return server.answer(request)

    breakers = Breakers(host=BreakerPolicy(failures=2, first_pause_s=60, longest_pause_s=60))
    policy = RetryPolicy(attempts=1)
    client = AsyncClient(transport=Slow(), breakers=breakers, policy=policy)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.last, 8)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(UpstreamError):
            await client.last(9)
        may_end.set()
    server.failures.append(Response(500, b""))
    with pytest.raises(UpstreamError):
        await client.last(9)

    assert await client.last(9) is not None


async def test_a_road_closed_meanwhile_is_closed_to_those_who_waited_for_a_connection() -> None:
    server = TinyServer(connections=1)
    may_end = anyio.Event()

    class Broken(TinyServer):
        async def send(self, request: Request, timeout_s: float) -> Response:
            server.requests.append(request)
            await may_end.wait()
            return Response(500, b"")

    breakers = Breakers(host=BreakerPolicy(failures=1, first_pause_s=60, longest_pause_s=60))
    client = AsyncClient(transport=Broken(connections=1), breakers=breakers)
    met: list[type[Exception]] = []

    async def last(channel_id: int) -> None:
        try:
            await client.last(channel_id)
        except UpstreamError as error:
            met.append(type(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(last, 8)
        tasks.start_soon(last, 9)
        await anyio.wait_all_tasks_blocked()
        may_end.set()

    assert sorted(kind.__name__ for kind in met) == ["UpstreamError", "UpstreamOpenError"]
    assert UpstreamOpenError in met
    assert len(server.requests) == 1


@pytest.mark.parametrize("error", [ValueError("a fault of the transport"), KeyboardInterrupt()])
def test_whatever_a_transport_raises_gives_the_connection_back(error: BaseException) -> None:
    server = TinyServer(connections=1)
    server.write(at(0), field1="1")

    class Faulty(TinyBlockingServer):
        faults: list[BaseException] = [error] * 3

        def send(self, request: Request, timeout_s: float) -> Response:
            if self.faults:
                raise self.faults.pop()
            return super().send(request, timeout_s)

    client = Client(transport=Faulty(server))
    for _ in range(3):
        with pytest.raises(type(error)):
            client.last(9)

    assert client.last(9) is not None
