"""How patiently the clients ask: the exchange by hand, deadlines, slots, cancellation."""

from __future__ import annotations

import pickle
import threading
from contextlib import suppress
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.thingspeak.tiny import TinyBlockingServer, TinyServer, at

from evara_core.errors import (
    AccessDeniedError,
    ChannelReset,
    ConfigurationError,
    InvalidInputError,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamTimeoutError,
)
from evara_core.testing.clock import ManualClock
from evara_core.testing.simulated import SimulatedTime
from evara_core.thingspeak.breaker import Breakers
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.client import AsyncClient, Client
from evara_core.thingspeak.messages import Request, Response
from evara_core.thingspeak.models import Position
from evara_core.thingspeak.paging import Rows
from evara_core.thingspeak.resume import REORDER_ROWS, read_since
from evara_core.thingspeak.retries import Pause, RetryPolicy, Send, exchange
from evara_core.thingspeak.rows import entries_of, entry_of
from evara_core.thingspeak.source import ChannelSource

ROW = b'{"created_at":"2026-01-01T00:00:00Z","entry_id":1,"field1":"3"}'
LAST = Calls().last(9, None)


class Hand:
    """An exchange that a test plays the other side of."""

    def __init__(
        self, call=LAST, *, policy: RetryPolicy = RetryPolicy(), chance: float = 1.0
    ) -> None:
        self.clock = ManualClock()
        self.flow = exchange(
            call, policy, Breakers(), elapsed_s=self.clock.elapsed_s, chance=lambda: chance
        )
        self.ask = next(self.flow)

    def answer(self, response: Response | None):
        self.ask = self.flow.send(response)
        return self.ask

    def fail(self, error: Exception):
        self.ask = self.flow.throw(error)
        return self.ask


def test_an_exchange_by_hand() -> None:
    hand = Hand()

    assert hand.ask == Send(LAST.request, 10.0)
    assert hand.answer(Response(503, b"")) == Pause(0.5)
    assert hand.answer(None) == Send(LAST.request, 10.0)
    assert hand.fail(UpstreamTimeoutError("slow")) == Pause(1.0)
    assert hand.answer(None) == Send(LAST.request, 10.0)
    with pytest.raises(StopIteration) as end:
        hand.answer(Response(200, ROW))
    assert end.value.value.entry_id == 1


@pytest.mark.parametrize(
    "response", [Response(401, b""), Response(404, b""), Response(402, b""), Response(413, b"")]
)
def test_a_refusal_is_not_tried_again(response: Response) -> None:
    hand = Hand()

    with pytest.raises(UpstreamError):
        hand.answer(response)


def test_what_is_asked_for_is_waited_for_and_jitter_comes_on_top() -> None:
    hand = Hand(chance=0.5)

    assert hand.answer(Response(429, b"", "7")) == Pause(7.25)


def test_a_host_in_maintenance_is_left_alone_as_long_as_it_asks() -> None:
    hand = Hand(chance=0.5)

    assert hand.answer(Response(503, b"", "7")) == Pause(7.25)


def test_a_host_in_maintenance_for_longer_than_there_is_patience_is_given_up() -> None:
    hand = Hand()

    with pytest.raises(UpstreamError) as caught:
        hand.answer(Response(503, b"", "120"))

    assert pickle.loads(pickle.dumps(caught.value)).asked_pause_s == 120


def test_it_gives_up_when_the_pause_would_pass_the_deadline() -> None:
    hand = Hand()
    hand.clock.advance(9)

    with pytest.raises(RateLimitedError):
        hand.answer(Response(429, b"", "25"))


def test_the_last_attempt_gets_only_the_time_that_is_left() -> None:
    hand = Hand(policy=RetryPolicy(attempts=9, total_s=30, attempt_s=10))
    hand.clock.advance(25)

    assert hand.fail(UpstreamTimeoutError("slow")) == Pause(0.5)
    hand.clock.advance(0.5)
    assert hand.answer(None) == Send(LAST.request, 4.5)


def test_what_cannot_be_repeated_is_not() -> None:
    hand = Hand(LAST._replace(is_repeatable=False))

    with pytest.raises(UpstreamTimeoutError):
        hand.fail(UpstreamTimeoutError("slow"))


@given(failures=st.integers(1, 400), chance=st.floats(0, 1))
def test_pauses_have_full_jitter_within_their_limit(failures: int, chance: float) -> None:
    policy = RetryPolicy()

    pause_s = policy.pause_s(failures, UpstreamError("HTTP 500"), chance=chance)

    assert 0 <= pause_s <= min(policy.longest_pause_s, 0.5 * 2.0 ** (failures - 1))


async def no_sleep(_: float) -> None:
    pass


async def test_no_more_requests_are_on_the_way_than_there_are_connections() -> None:
    time = SimulatedTime()
    server = TinyServer(connections=3)
    server.write(at(0), field1="1")
    inside, most = 0, 0

    class Slow(TinyServer):
        async def send(self, request: Request, timeout_s: float) -> Response:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await time.sleep(1)
            inside -= 1
            return server.answer(request)

    client = AsyncClient(transport=Slow(connections=3), clock=time, sleep=time.sleep)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(client.last, 9)
        await time.pass_by(10)

    assert most == 3
    assert len(server.requests) == 10


async def test_waiting_behind_ones_own_requests_is_not_counted() -> None:
    time = SimulatedTime()
    server = TinyServer(connections=1)
    server.write(at(0), field1="1")
    got = []

    class Slow(TinyServer):
        async def send(self, request: Request, timeout_s: float) -> Response:
            await time.sleep(9)
            return server.answer(request)

    client = AsyncClient(transport=Slow(connections=1), clock=time, sleep=time.sleep)

    async def last() -> None:
        got.append(await client.last(9))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(last)
        await time.pass_by(100)

    assert len(got) == 10


async def test_a_request_that_pauses_holds_no_connection() -> None:
    time = SimulatedTime()
    server = TinyServer(connections=1, failures=[Response(429, b"", "20")])
    server.write(at(0), field1="1")
    client = AsyncClient(transport=server, clock=time, sleep=time.sleep)
    done: list[str] = []

    async def last(name: str) -> None:
        await client.last(9)
        done.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(last, "slowed down")
        tasks.start_soon(last, "quick")
        await time.pass_by(30)

    assert done == ["quick", "slowed down"]


async def test_cancelled_requests_give_their_connections_back() -> None:
    time = SimulatedTime()
    server = TinyServer(connections=2)
    server.write(at(0), field1="1")

    class Stuck(TinyServer):
        is_stuck = True

        async def send(self, request: Request, timeout_s: float) -> Response:
            if self.is_stuck:
                await anyio.sleep_forever()
            return server.answer(request)

    transport = Stuck(connections=2)
    client = AsyncClient(transport=transport, clock=time, sleep=time.sleep)
    async with anyio.create_task_group() as tasks:
        for _ in range(7):
            tasks.start_soon(client.last, 9)
        await time.pass_by(1)
        tasks.cancel_scope.cancel()
    transport.is_stuck = False

    for _ in range(5):
        assert await client.last(9) is not None


async def test_a_request_cancelled_in_its_pause_leaves_the_count_right() -> None:
    time = SimulatedTime()
    server = TinyServer(connections=1, failures=[Response(503, b"")] * 3)
    server.write(at(0), field1="1")
    client = AsyncClient(transport=server, clock=time, sleep=time.sleep, chance=lambda: 1.0)

    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.last, 9)
            await time.pass_by(0.1)
            tasks.cancel_scope.cancel()

    assert await client.last(9) is not None
    assert client._performer._slots.value == 1


def test_threads_share_a_blocking_client() -> None:
    server = TinyServer(connections=3)
    server.write(at(0), field1="1")
    got = []
    client = Client(transport=TinyBlockingServer(server))

    def work() -> None:
        got.extend(client.last(9) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 400
    assert None not in got


def test_a_blocking_client_is_as_patient() -> None:
    pauses: list[float] = []
    server = TinyServer(failures=[Response(503, b""), Response(429, b"", "2")])
    server.write(at(0), field1="1")

    client = Client(transport=TinyBlockingServer(server), sleep=pauses.append, chance=lambda: 1.0)

    assert client.last(9) is not None
    assert pauses == [0.5, 3.0]


async def test_leaving_a_stream_early_ends_it() -> None:
    server = TinyServer()
    for n in range(250):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep)

    async for entry in client.entries(9):
        if entry.entry_id == 3:
            break

    assert await client.last(9) is not None


async def test_a_clear_in_the_middle_of_a_long_reading_is_noticed() -> None:
    server = TinyServer()
    for n in range(1000):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep, page_rows=50)

    async def read() -> None:
        async for entry in client.entries(9):
            if entry.entry_id == 100:
                server.clear()
                server.write(at(999_999), field1="new")

    with pytest.raises(ChannelReset) as caught:
        await read()

    assert (caught.value.channel_id, caught.value.last_entry_id) == (9, 1)


async def test_rewritten_history_is_a_reset_though_ids_and_times_are_the_same() -> None:
    server = TinyServer()
    for n in range(5):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep)
    position = Position.of([e async for e in client.entries_since(9, None)][-1])
    server.clear()
    for n in range(5):
        server.write(at(60 * n), field1=str(n + 1000))

    with pytest.raises(ChannelReset):
        [e async for e in client.entries_since(9, position)]


async def test_a_new_label_is_no_rewritten_history() -> None:
    server = TinyServer()
    server.write(at(0), field1="1")
    client = AsyncClient(transport=server, sleep=no_sleep)
    position = Position.of([e async for e in client.entries_since(9, None)][-1])
    server.rows[0][2]["field2"] = "was there all along"

    assert [e async for e in client.entries_since(9, position)] == []


async def test_an_emptied_channel_is_a_reset() -> None:
    server = TinyServer()
    server.write(at(0), field1="1")
    client = AsyncClient(transport=server, sleep=no_sleep)
    position = Position.of([e async for e in client.entries_since(9, None)][-1])
    server.clear()

    with pytest.raises(ChannelReset) as caught:
        [e async for e in client.entries_since(9, position)]

    assert caught.value.last_entry_id is None
    seen: list[ChannelReset] = []
    source = ChannelSource(client, on_reset=seen.append)
    assert await source.entries_since(9, position, read_key=None) == []
    assert len(seen) == 1


async def test_an_id_that_was_never_used_is_looked_for_once() -> None:
    server = TinyServer()
    for n in range(300):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep)
    position = Position.of([e async for e in client.entries_since(9, None)][-1])
    server.last_entry_id = 301
    server.requests.clear()

    for _ in range(5):
        assert await client.batch_since(9, position) == []

    assert len(server.requests) < 10
    assert len(server.requests) >= 5


async def test_a_batch_is_no_larger_than_asked_for() -> None:
    server = TinyServer()
    for n in range(50):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep)

    batch = await client.batch_since(9, None, most=20)
    rest = await client.batch_since(9, Position.of(batch[-1]), most=1000)

    assert [e.entry_id for e in batch + rest] == list(range(1, 51))


async def test_more_rows_in_a_second_than_can_be_asked_for_is_said() -> None:
    server = TinyServer()
    for n in range(8_200):
        server.write(at(0), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep)

    with pytest.raises(UpstreamGarbageError):
        [e async for e in client.entries(9)]


async def test_a_settled_past_is_asked_for_in_one_large_page() -> None:
    server = TinyServer()
    for n in range(500):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(
        transport=server, sleep=no_sleep, clock=ManualClock(datetime(2027, 1, 1, tzinfo=UTC))
    )

    got = [e async for e in client.entries(9, start=at(0), end=at(600))]

    assert len(got) == 11
    assert len(server.requests) == 1
    assert "results=8000" in server.requests[0].target


async def test_a_window_that_touches_the_present_begins_with_a_fresh_page() -> None:
    server = TinyServer()
    server.write(at(0), field1="1")
    client = AsyncClient(transport=server, sleep=no_sleep, clock=ManualClock(at(60)))

    [e async for e in client.entries(9, end=at(60))]

    assert "results=100" in server.requests[0].target


@pytest.mark.parametrize("channel_id", [-1, "9", 9.0, True, None, "9/../10"])
async def test_a_channel_id_that_is_none_is_refused(channel_id) -> None:
    server = TinyServer()
    client = AsyncClient(transport=server, sleep=no_sleep)

    with pytest.raises(InvalidInputError):
        await client.last(channel_id)
    assert server.requests == []


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="read_kye"):
        AsyncClient(read_kye="x")  # type: ignore[call-arg]


async def test_the_newest_entry_of_a_field_and_its_age() -> None:
    server = TinyServer(
        failures=[
            Response(200, ROW),
            Response(200, b'{"last_data_age":"174","last_data_age_units":"s"}'),
        ]
    )
    client = AsyncClient(transport=server, sleep=no_sleep, with_status=True)

    entry = await client.last_of_field(9, 1)
    age_s = await client.age_s(9)

    assert entry is not None
    assert age_s == 174
    assert server.requests[0].target == "/channels/9/fields/1/last.json?status=true"
    with pytest.raises(InvalidInputError):
        await client.last_of_field(9, 9)


async def test_a_private_channel_is_denied_on_every_read() -> None:
    server = TinyServer(failures=[Response(400, b"-1")] * 20)

    for read in ("last", "channel", "age_s"):
        with pytest.raises(AccessDeniedError):
            await getattr(AsyncClient(transport=server, sleep=no_sleep), read)(9)


async def test_a_pace_spreads_requests_after_a_first_burst() -> None:
    time = SimulatedTime()
    sent: list[float] = []

    class Noting(TinyServer):
        async def send(self, request: Request, timeout_s: float) -> Response:
            sent.append(time.elapsed_s())
            return self.answer(request)

    transport = Noting(connections=3)
    transport.write(at(0), field1="1")
    client = AsyncClient(transport=transport, clock=time, sleep=time.sleep, requests_per_s=2)

    async with anyio.create_task_group() as tasks:
        for _ in range(7):
            tasks.start_soon(client.last, 9)
        await time.pass_by(10)

    assert sent == [0, 0, 0, 0.5, 1, 1.5, 2]


def test_a_blocking_client_keeps_the_pace() -> None:
    clock = ManualClock()
    server = TinyServer(connections=1)
    server.write(at(0), field1="1")
    client = Client(
        transport=TinyBlockingServer(server), clock=clock, sleep=clock.advance, requests_per_s=2
    )

    for _ in range(5):
        client.last(9)

    assert clock.elapsed_s() == 2.0


@pytest.mark.parametrize("per_s", [-1, float("nan")])
def test_a_pace_that_is_none_is_refused(per_s: float) -> None:
    with pytest.raises(ConfigurationError):
        Client(transport=TinyBlockingServer(TinyServer()), requests_per_s=per_s)


async def test_a_row_further_displaced_than_rows_are_held_back_is_still_delivered() -> None:
    server = TinyServer()
    server.write(at(10_000_000 - 1), field1="its clock was ahead")
    for n in range(REORDER_ROWS + 500):
        server.write(at(60 * n), field1=str(n))
    client = AsyncClient(transport=server, sleep=no_sleep)

    ids = [entry.entry_id async for entry in client.entries_since(9, None)]

    assert sorted(ids) == list(range(1, REORDER_ROWS + 502))
    assert len(ids) == len(set(ids))


async def test_rows_with_the_same_id_are_both_delivered() -> None:
    server = TinyServer()
    for n in range(5):
        server.write(at(60 * n), field1=str(n))
    server.rows.append((at(150), 3, {"field1": "written at the same moment as another"}))
    client = AsyncClient(transport=server, sleep=no_sleep)

    got = [entry.entry_id async for entry in client.entries_since(9, None)]

    assert sorted(got) == [1, 2, 3, 3, 4, 5]


async def test_a_late_search_ends_at_its_limit() -> None:
    server = TinyServer()
    for n in range(2000):
        server.write(at(60 * n), field1=str(n))
    position = Position(entry_id=2000, created_at=at(60 * 1999))
    server.last_entry_id = 2001
    reading = read_since(position, rows=50, late_rows=200)
    asked = 0

    ask = next(reading)
    with suppress(StopIteration):
        while True:
            if isinstance(ask, Rows):
                ask = reading.send(None)
            else:
                asked += 1
                call = Calls().feed(9, None, rows=ask.rows, start=ask.start, end=ask.end)
                ask = reading.send(call.read(server.answer(call.request)))

    assert asked == 1 + 1 + 4


async def test_a_crowded_second_in_the_past_is_said() -> None:
    server = TinyServer()
    for n in range(8_100):
        server.write(at(0), field1=str(n))
    server.write(at(60), field1="x")
    position = Position(entry_id=8101, created_at=at(60))
    server.last_entry_id = 8102
    client = AsyncClient(transport=server, sleep=no_sleep)

    with pytest.raises(UpstreamGarbageError):
        await client.batch_since(9, position)


async def test_a_channel_described_wrongly_is_garbage_when_asked_for() -> None:
    body = b'{"channel":{"id":9,"name":[],"last_entry_id":null},"feeds":[]}'
    client = AsyncClient(transport=TinyServer(failures=[Response(200, body)]), sleep=no_sleep)

    with pytest.raises(UpstreamGarbageError, match="channel 9"):
        await client.channel(9)


def test_a_page_of_rows_and_a_single_row_are_read_alike() -> None:
    rows = [
        {"created_at": "2026-01-01T00:00:00Z", "entry_id": n, "field1": "1", "field3": None}
        for n in range(1, 4)
    ]

    assert entries_of(rows) == [entry_of(row) for row in rows]
    assert {repr(entry) for entry in entries_of(rows)} == {repr(entry_of(row)) for row in rows}
