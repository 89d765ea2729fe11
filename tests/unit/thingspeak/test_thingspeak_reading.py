"""Reading through the clients: entries, what came since, the last one, the channel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.thingspeak.tiny import TinyBlockingServer, TinyServer, at

from evara_core.errors import AccessDeniedError, ChannelReset, UpstreamError, UpstreamTimeoutError
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.client import AsyncClient, Client
from evara_core.thingspeak.history import read_history
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.models import Position
from evara_core.thingspeak.paging import Rows
from evara_core.thingspeak.resume import read_since
from evara_core.thingspeak.source import ChannelSource


async def no_sleep(_: float) -> None:
    pass


def client_of(server: TinyServer) -> AsyncClient:
    return AsyncClient(transport=server, sleep=no_sleep)


async def test_last_is_the_newest_row() -> None:
    server = TinyServer()
    server.write(at(0), field1="1")
    server.write(at(60), field1="2")

    entry = await client_of(server).last(9)

    assert entry is not None
    assert (entry.entry_id, entry.created_at, entry.fields) == (2, at(60), {1: "2"})


async def test_last_of_an_empty_channel_is_none_after_asking_whether_it_is_private() -> None:
    server = TinyServer()

    assert await client_of(server).last(9) is None
    assert len(server.requests) == 2


async def test_last_of_a_private_channel_is_refused() -> None:
    server = TinyServer(failures=[Response(200, b'"-1"'), Response(400, b"-1")])

    with pytest.raises(AccessDeniedError):
        await client_of(server).last(9)


async def test_entries_come_oldest_first_over_many_pages() -> None:
    server = TinyServer()
    for n in range(20_000):
        server.write(at(60 * n), field1=str(n))

    got = [entry async for entry in client_of(server).entries(9)]

    assert [entry.entry_id for entry in got] == list(range(1, 20_001))
    assert len(server.requests) < 9


async def test_polling_takes_one_request_of_at_most_a_hundred_rows() -> None:
    server = TinyServer()
    for n in range(500):
        server.write(at(60 * n), field1=str(n))
    source = ChannelSource(client_of(server))
    position = Position.of([e async for e in client_of(server).entries_since(9, None)][-1])
    server.write(at(60 * 500), field1="new")
    server.requests.clear()

    got = await source.entries_since(9, position, read_key="KEY1")

    assert [entry.entry_id for entry in got] == [501]
    assert len(server.requests) == 1
    assert "results=100" in server.requests[0].target


async def test_a_late_row_is_found() -> None:
    server = TinyServer()
    for n in range(300):
        server.write(at(60 * n), field1=str(n))
    position = Position.of([e async for e in client_of(server).entries_since(9, None)][-1])
    server.write(at(90), field1="late")
    server.write(at(60 * 300), field1="new")

    got = [e.entry_id async for e in client_of(server).entries_since(9, position)]

    assert got == [301, 302]


async def test_a_cleared_channel_is_a_reset_and_the_source_reads_it_anew() -> None:
    server = TinyServer()
    for n in range(5):
        server.write(at(60 * n), field1=str(n))
    client = client_of(server)
    position = Position.of([e async for e in client.entries_since(9, None)][-1])
    server.clear()
    for n in range(7):
        server.write(at(1000 + 60 * n), field1=str(n))

    with pytest.raises(ChannelReset):
        [e async for e in client.entries_since(9, position)]
    got = await ChannelSource(client).entries_since(9, position, read_key=None)

    assert [entry.entry_id for entry in got] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_failure_is_asked_again() -> None:
    server = TinyServer(failures=[Response(503, b""), UpstreamTimeoutError("slow")])
    server.write(at(0), field1="1")

    entry = await client_of(server).last(9)

    assert entry is not None
    assert len(server.requests) == 3


async def test_patience_ends() -> None:
    server = TinyServer(failures=[Response(500, b"")] * 9)

    with pytest.raises(UpstreamError, match="HTTP 500"):
        await client_of(server).last(9)
    assert len(server.requests) == 4


def test_the_blocking_client_reads_the_same() -> None:
    server = TinyServer()
    server.write(at(0), field1="1")
    with Client(transport=TinyBlockingServer(server)) as client:
        assert client.channel(9).field_labels == {1: "level"}
        assert [e.entry_id for e in client.entries(9)] == [1]
        assert [e.entry_id for e in client.entries_since(9, None)] == [1]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(-50, 50)),
        st.tuples(st.just("ahead"), st.integers(1, 50)),
        st.tuples(st.just("pass"), st.integers(0, 5)),
    ),
    max_size=60,
)


def collect(server: TinyServer, reading, take: int = 10**9):
    calls = Calls()
    out = []
    try:
        ask = next(reading)
        while True:
            if isinstance(ask, Rows):
                for e in ask.entries:
                    out.append(e)
                    if len(out) >= take:
                        return out
                ask = reading.send(None)
            else:
                call = calls.feed(9, None, rows=ask.rows, start=ask.start, end=ask.end)
                ask = reading.send(call.read(server.answer(call.request)))
    except StopIteration:
        return out


def play(server: TinyServer, steps_) -> None:
    clock = 0
    server.now = at(clock)
    for kind, n in steps_:
        clock += 1
        server.now = at(clock)
        if kind == "write":
            server.write(at(clock + min(n, 0)), field1=str(n))
        elif kind == "ahead":
            server.write(at(clock + n), field1=str(n))
        else:
            clock += n


@settings(max_examples=300)
@given(steps=steps, rows=st.integers(1, 9))
def test_history_yields_each_row_once_in_order(steps, rows) -> None:
    server = TinyServer()
    play(server, steps)

    got = collect(server, read_history(None, None, is_past=False, rows=rows))

    assert [(e.created_at, e.entry_id) for e in got] == sorted((t, i) for t, i, _ in server.rows)


@settings(max_examples=300)
@given(
    parts=st.lists(st.tuples(steps, st.integers(1, 40)), min_size=1, max_size=4),
    rows=st.integers(1, 9),
)
def test_since_yields_each_row_once_however_it_is_interrupted(parts, rows) -> None:
    server = TinyServer()
    got = []
    position = None
    all_steps = []
    for more, take in parts:
        play_more(server, more, first=not all_steps)
        all_steps += more or [1]
        part = collect(server, read_since(position, rows=rows, late_rows=10**6), take)
        got += part
        if part:
            position = Position.of(part[-1])
    got += collect(server, read_since(position, rows=rows, late_rows=10**6))

    assert [e.entry_id for e in got] == [i for _, i, _ in server.rows]


def play_more(server, steps_, first):
    if first:
        server.now = at(0)
    for kind, n in steps_:
        server.now += at(1) - at(0)
        if kind == "write":
            server.write(server.now + (at(min(n, 0)) - at(0)), field1=str(n))
        elif kind == "ahead":
            server.write(server.now + (at(n) - at(0)), field1=str(n))
        else:
            server.now += at(n) - at(0)
