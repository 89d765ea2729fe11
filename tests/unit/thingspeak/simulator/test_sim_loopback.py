"""Over real sockets: our own small server, and uvicorn."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import anyio
import httpx
import pytest
import uvicorn

from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.connection import MAX_BODY_BYTES, MAX_HEAD_BYTES
from evara_core.thingspeak.simulator.faults import Delay, HangUp, Instead, Latency, Stall, Trickle
from evara_core.thingspeak.simulator.loopback import loopback, loopback_in_thread


@pytest.fixture
async def url(simulator):
    async with loopback(simulator) as url:
        yield url


@pytest.fixture
async def client(url):
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


@pytest.fixture
def public(simulator, fill):
    channel = simulator.create_channel(public=True)
    fill(simulator, channel, ["3.2", "3.1"])
    return channel


async def until(is_so):
    """Wait for what happens in another task of this loop."""
    with anyio.fail_after(5):
        while not is_so():  # noqa: ASYNC110 - neither uvicorn nor the simulator tells by an event
            await asyncio.sleep(0.001)


async def talk(url, *sent):
    """Send bytes and return all that comes back until the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    for data in sent:
        writer.write(data)
        await asyncio.sleep(0)
    with anyio.fail_after(5):
        answer = await reader.read()
    writer.close()
    return answer


async def test_one_connection_serves_many_requests(public, client):
    for _ in range(3):
        answer = await client.get("/channels/1/feeds.json")

        assert len(answer.json()["feeds"]) == 2


async def test_aiohttp_reads_it_as_well(public, url):
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/channels/1/feeds/last.json") as answer:
            assert (await answer.json())["entry_id"] == 2
        async with session.get(f"{url}/stream/channels/1/feeds.csv") as answer:
            assert len((await answer.text()).splitlines()) == 3


async def test_bodies_come_with_a_length_or_in_chunks(simulator, public, client, clock):
    async def pieces():
        yield b"field1=4&"
        yield b"field2=5&api_key=" + public.write_key.encode()

    plain = await client.post("/update", data={"api_key": public.write_key, "field1": "3"})
    clock.advance(15)
    chunked = await client.post("/update", content=pieces())

    assert (plain.text, chunked.text) == ("3", "4")


async def test_an_export_is_streamed_in_chunks(public, client):
    answer = await client.get("/stream/channels/1/feeds.csv")

    assert answer.headers["transfer-encoding"] == "chunked"
    assert len(answer.text.splitlines()) == 3


async def test_head_has_the_length_and_no_body(public, client):
    whole = await client.get("/channels/1/feeds.json")
    head = await client.head("/channels/1/feeds.json")

    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.content == b""


async def test_a_hang_up_before_the_answer_sends_nothing(simulator, public, client):
    simulator.faults.add(HangUp(), times=1)

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await client.get("/channels/1/feeds.json")
    assert (await client.get("/channels/1/feeds.json")).status_code == 200


async def test_a_hang_up_in_the_body_sends_its_beginning(simulator, public, client):
    simulator.faults.add(HangUp(after_bytes=10))

    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        await client.get("/channels/1/feeds.json")


async def test_a_write_that_is_lost_hangs_up_too(simulator, public, client):
    simulator.faults.add(HangUp(after_bytes=5, takes_effect=False))

    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/update", data={"api_key": public.write_key, "field1": "9"})
    assert public.history.count(simulator.now_s()) == 2


async def test_a_stalled_answer_ends_with_the_callers_patience(simulator, public, client):
    simulator.faults.add(Stall(), times=1)

    with pytest.raises(httpx.ReadTimeout):
        await client.get("/channels/1/feeds.json", timeout=httpx.Timeout(5, read=0.1))
    assert (await client.get("/channels/1/feeds.json")).status_code == 200


async def test_a_caller_that_leaves_while_an_answer_trickles_does_no_harm(
    simulator, public, client
):
    simulator.faults.add(Trickle(over_s=50, pieces=50), times=1)
    patience = httpx.Timeout(5, read=0.1)

    with pytest.raises(httpx.ReadTimeout):
        await client.get("/channels/1/feeds.json", timeout=patience)
    assert (await client.get("/channels/1/feeds.json")).status_code == 200


async def test_answers_are_late_together_and_not_one_after_the_other(simulator, public, url):
    simulator.faults.add(Delay(latency=Latency(typical_s=0.2)))
    async with httpx.AsyncClient(base_url=url) as client:
        with anyio.fail_after(2):
            answers = await asyncio.gather(
                *[client.get("/channels/1/feeds/last.json") for _ in range(40)]
            )

    assert {answer.status_code for answer in answers} == {200}


async def test_unencoded_blanks_reach_the_service_and_are_refused_there(simulator, public, url):
    key = public.write_key.encode()

    answer = await talk(
        url,
        b"GET /update?api_key=" + key + b"&status=pump on HTTP/1.1\r\nConnection: close\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"error_bad_request" in answer


async def test_pipelined_requests_are_answered_in_their_order(public, url):
    one = b"GET /channels/1/feeds/1.json HTTP/1.1\r\n\r\n"
    two = b"GET http://x/channels/1/feeds/2.json HTTP/1.1\r\nConnection: close\r\n\r\n"

    answer = await talk(url, one + two)

    assert answer.index(b'"entry_id":1') < answer.index(b'"entry_id":2')


async def test_requests_may_come_in_pieces(public, url):
    request = b"GET /channels/1/feeds/1.json HTTP/1.0\r\nX: y\r\n\r\n"

    answer = await talk(url, *[bytes([byte]) for byte in request])

    assert b'"entry_id":1' in answer


async def test_the_oldest_http_closes_unless_told_otherwise(public, url):
    answer = await talk(
        url,
        b"GET /channels/1/feeds/1.json HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        b"GET /channels/1/feeds/2.json HTTP/1.0\r\n\r\n",
    )

    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY_BYTES + 1),
        b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEAD_BYTES,
    ],
)  # fmt: skip
async def test_what_is_no_http_is_400_and_the_end(url, request_bytes):
    answer = await talk(url, request_bytes)

    assert answer.startswith(b"HTTP/1.1 400 Bad Request")


async def test_a_status_that_nobody_knows_has_a_phrase_all_the_same(simulator, public, client):
    simulator.faults.add(Instead(status=599))

    assert (await client.get("/channels/1/feeds.json")).status_code == 599


async def test_a_large_answer_waits_for_a_slow_reader(simulator, url, clock):
    channel = simulator.create_channel(public=True, labels=dict.fromkeys(range(1, 9), "x"))
    for _ in range(4000):
        simulator.write(channel.channel_id, dict.fromkeys(range(1, 9), "x" * 250))
        clock.advance(1)
    slow = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    reader, writer = await asyncio.open_connection(sock=slow, limit=65536)

    path = f"/channels/{channel.channel_id}/feeds.json?results=8000"
    writer.write(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.05)
    answer = await reader.read()
    writer.close()

    assert len(answer) > 8_000_000
    assert answer.endswith(b"}]}")


async def test_a_caller_that_sends_ahead_too_much_waits(public, url):
    one = b"GET /channels/1/feeds/1.json HTTP/1.1\r\nX: " + b"y" * 50_000 + b"\r\n\r\n"
    last = b"GET /channels/1/feeds/2.json HTTP/1.1\r\nConnection: close\r\n\r\n"

    answer = await talk(url, one * 100 + last)

    assert answer.count(b'"entry_id":1') == 100
    assert answer.count(b'"entry_id":2') == 1


async def test_a_body_may_come_in_pieces(public, url):
    body = b"field1=9&api_key=" + public.write_key.encode()
    head = b"POST /update HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    chunked = (
        b"POST /update HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x;ext=1\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    )

    first = await talk(url, *[bytes([byte]) for byte in head % len(body) + body])
    second = await talk(url, *[bytes([byte]) for byte in chunked])

    assert first.endswith(b"\r\n\r\n3")
    # Read whole, and refused because it came too soon.
    assert second.endswith(b"\r\n\r\n0")


async def test_ending_the_server_ends_what_it_was_answering(simulator, public):
    simulator.faults.add(Stall())
    async with httpx.AsyncClient() as client:
        async with loopback(simulator) as url:
            asked = asyncio.create_task(client.get(f"{url}/channels/1/feeds.json"))
            await until(lambda: simulator.asked)

        with pytest.raises(httpx.TransportError):
            await asked


async def test_an_application_that_fails_closes_its_connection_only():
    seen = []

    async def app(scope, receive, send):
        raise RuntimeError(scope["path"])

    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    async with loopback(app) as url, httpx.AsyncClient() as client:
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(url)

    assert [str(context["exception"]) for context in seen] == ["/", "/"]


def test_code_that_blocks_asks_a_server_in_a_thread(simulator, public):
    with loopback_in_thread(simulator) as url:
        answer = httpx.get(f"{url}/channels/1/feeds/last.json")

    assert answer.json()["entry_id"] == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_port_that_is_taken_is_said_at_once(simulator):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with (
            pytest.raises(OSError, match="in use"),
            loopback_in_thread(simulator, port=taken.getsockname()[1]),
        ):
            raise AssertionError


async def test_it_runs_under_uvicorn(simulator, public):
    server = uvicorn.Server(uvicorn.Config(simulator, port=0, log_config=None))
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        good = await client.get("/channels/1/feeds.json")
        stream = await client.get("/stream/channels/1/feeds.csv")
        simulator.faults.add(HangUp(after_bytes=10))
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/channels/1/feeds.json")
    server.should_exit = True
    await running

    assert len(good.json()["feeds"]) == 2
    assert len(stream.text.splitlines()) == 3


def test_a_simulator_needs_no_clock_of_ours():
    with loopback_in_thread(Simulator()) as url:
        assert httpx.get(f"{url}/_control").json()["channels"] == 0
