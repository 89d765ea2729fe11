"""Fan-out: deliveries, memory, latency, and what one frozen client does to the others.

Server and clients share one event loop and talk over Unix sockets. What is compared is CPU time,
in runs that take turns; the clients only count what comes, which costs both sides the same.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import socket
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from starlette.websockets import WebSocket
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.asyncio.server import ServerConnection, broadcast, unix_serve

from evara_core.adapters.starlette.sockets import SERVER_OPTIONS, SocketEndpoint
from evara_core.clock import SystemClock
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.listeners import Listener
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.testing.servers import start_redis

BODY = json.dumps(
    {"node_id": "tank-17", "values": {f"metric_{n}": {"value": n * 1.5} for n in range(5)}}
).encode()
NODES = 100


def run(*, quick: bool) -> list[dict[str, Any]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        return asyncio.run(measured(quick))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def measured(quick: bool) -> list[dict[str, Any]]:
    records = []
    for count in (500, 5_000):
        rounds = (2 if quick else 5) if count == 500 else (1 if quick else 3)
        records += await fan_out(count, 400 if count == 500 else 100, rounds)
    records.append(await publish_cost())
    records.append(await idle_memory(300 if quick else 1_000))
    records.append(await commit_to_client(3 if quick else 10))
    records.append(await frozen_client(2 if quick else 4))
    return records


# --- servers without a listening socket, and clients that count ----------------------------


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def new_path() -> str:
    return str(Path(tempfile.mkdtemp(prefix="evara-")) / "socket")


async def served(app: Any) -> tuple[str, asyncio.Server]:
    """Serve an ASGI application as uvicorn does, on a Unix socket."""
    config = Config(app, log_level="critical", lifespan="off", **SERVER_OPTIONS)
    config.load()
    state, path = ServerState(), new_path()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(
        lambda: WebSocketsSansIOProtocol(config, state, {}), path, backlog=1024
    )
    return path, server


class Clients:
    """The other ends of the connections. They read and count what comes between marks."""

    def __init__(self) -> None:
        self.readers: list[asyncio.StreamReader] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.got: list[int] = []
        self.news = asyncio.Event()

    async def add(self, path: str, first: bytes | None = None) -> int:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        if first is not None:
            writer.write(masked(first))
        number = len(self.readers)
        self.readers.append(reader)
        self.writers.append(writer)
        self.got.append(0)
        return number

    def count(self, number: int, mark: bytes) -> None:
        """Count *mark* in what client *number* gets."""
        self.tasks.append(asyncio.create_task(self._count(number, mark)))

    async def _count(self, number: int, mark: bytes) -> None:
        reader, rest = self.readers[number], b""
        while data := await reader.read(262_144):
            data = rest + data
            self.got[number] += data.count(mark)
            rest = data[1 - len(mark) :]
            self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self.news.clear()
            await self.news.wait()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        for writer in self.writers:
            writer.close()
        await asyncio.sleep(0)


def masked(text: bytes) -> bytes:
    assert len(text) < 126
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


class Ours:
    """The hub behind uvicorn's protocol, as in a deployment but for the listening."""

    def __init__(self, **limits: Any) -> None:
        self.bus = MemoryBus(history=50_000)
        options = {"clients": 20_000, "clients_per_principal": 20_000, **limits}
        self.hub = Hub(self.bus, clock=SystemClock(), limits=HubLimits(**options))

        async def authenticate(token: str | None) -> Listener:
            return Listener(principal_id="u", topics=("platform",))

        endpoint = SocketEndpoint(
            self.hub, authenticate=authenticate, elapsed_s=SystemClock().elapsed_s
        )
        self.endpoint = endpoint
        self.path = ""
        self.runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.runner = asyncio.create_task(self.hub.run())
        while self.hub._position is None:
            await asyncio.sleep(0)
        self.path, self.server = await served(self.endpoint)

    async def stop(self) -> None:
        self.server.close()
        await self.hub.aclose()
        if self.runner is not None:
            await self.runner


HELLO = b'{"type":"hello"}'


def message(number: int, kind: str) -> Message:
    return Message(
        message_id=f"m{number}",
        kind=kind,
        key=f"n{number % NODES}",
        topics=("platform",),
        body=BODY,
    )


async def ours_with(count: int, **limits: Any) -> tuple[Ours, Clients]:
    ours = Ours(**limits)
    await ours.start()
    clients = Clients()
    for _ in range(count):
        await clients.add(ours.path, HELLO)
    while ours.hub.stats().clients < count:
        await asyncio.sleep(0.01)
    return ours, clients


# --- deliveries -----------------------------------------------------------------------------


async def fan_out(count: int, messages: int, rounds: int) -> list[dict[str, Any]]:
    """CPU per delivery of ours, of broadcast, of send_json one after the other, and of Redis."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, measure in (
            ("broadcast", broadcast_cost),
            ("alerts", alerts_cost),
            ("telemetry", telemetry_cost),
            ("broadcast burst", broadcast_burst_cost),
        ):
            found = await measure(count, messages)
            best[name] = min(best.get(name, float("inf")), found)
    peers: dict[str, float] = {}
    if count == 500:
        peers["sequential send_json"] = 1e6 / await send_json_cost(count, messages // 4)
        peers["a Redis subscription per client"] = 1e6 / await redis_cost(count, messages // 8)
    rate = {name: 1e6 / cost for name, cost in best.items()}
    return [
        {
            "id": f"realtime.alerts.{count}",
            "what": f"deliveries per CPU second of alerts to {count} clients, client side included",
            "value": round(rate["alerts"]),
            "unit": "1/s",
            "floor": round(rate["broadcast"]),
            "ratio": round(rate["alerts"] / rate["broadcast"], 2),
            "goal": ">= 0.7",
            "met": rate["alerts"] >= 0.7 * rate["broadcast"],
            "peers": {"websockets.broadcast": round(rate["broadcast"])}
            | {name: round(value) for name, value in peers.items()},
        },
        {
            "id": f"realtime.telemetry.{count}",
            "what": f"updates per CPU second taken for {count} clients in a burst, coalesced",
            "value": round(rate["telemetry"]),
            "unit": "1/s",
            "floor": None,
            "ratio": round(rate["telemetry"] / rate["broadcast burst"], 2),
            "goal": ">= 2",
            "met": rate["telemetry"] >= 2 * rate["broadcast burst"],
            "peers": {"websockets.broadcast": round(rate["broadcast burst"])},
        },
    ]


async def alerts_cost(count: int, messages: int) -> float:
    """Microseconds of CPU for each alert and client: each message is its own turn."""
    ours, clients = await ours_with(count)
    for number in range(count):
        clients.count(number, b'"v":1,')
    gc.collect()
    started = time.process_time()
    for number in range(messages):
        await ours.bus.publish([message(number, "alert")])
        await asyncio.sleep(0)
    await clients.until(lambda: min(clients.got) >= messages)
    spent = time.process_time() - started
    await ours.stop()
    await clients.close()
    return spent / (count * messages) * 1e6


async def telemetry_cost(count: int, messages: int) -> float:
    """The same for readings of `NODES` nodes, in one burst of ten times as many."""
    ours, clients = await ours_with(count)
    many = messages * 10
    for number in range(count):
        clients.count(number, f'"id":"m{many - 1}"'.encode())
    gc.collect()
    started = time.process_time()
    await ours.bus.publish([message(number, "reading") for number in range(many)])
    await clients.until(lambda: min(clients.got) >= 1)
    spent = time.process_time() - started
    await ours.stop()
    await clients.close()
    return spent / (count * many) * 1e6


async def broadcast_cost(count: int, messages: int, *, pause: bool = True) -> float:
    connections: set[ServerConnection] = set()
    clients, path, forever = Clients(), new_path(), asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        connections.add(connection)
        await forever.wait()

    server = await unix_serve(handler, path, compression=None, ping_interval=None, backlog=1024)
    for _ in range(count):
        await clients.add(path)
    while len(connections) < count:
        await asyncio.sleep(0.01)
    for number in range(count):
        clients.count(number, b'"v":1,')
    text = (b'{"v":1,"event":"alert","position":"p","id":"m","key":"n1","data":%b}' % BODY).decode()
    gc.collect()
    started = time.process_time()
    for _ in range(messages):
        broadcast(connections, text)
        if pause:
            await asyncio.sleep(0)
    await clients.until(lambda: min(clients.got) >= messages)
    spent = time.process_time() - started
    forever.set()
    await clients.close()
    server.close()
    await server.wait_closed()
    return spent / (count * messages) * 1e6


async def broadcast_burst_cost(count: int, messages: int) -> float:
    return await broadcast_cost(count, messages, pause=False)


async def send_json_cost(count: int, messages: int) -> float:
    """The original design: one `send_json` after the other."""
    sockets: list[WebSocket] = []
    forever = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found = WebSocket(scope, receive, send)
        await found.accept()
        sockets.append(found)
        await forever.wait()

    path, server = await served(app)
    clients = Clients()
    for _ in range(count):
        await clients.add(path)
    for number in range(count):
        clients.count(number, b'"v":1,')
    body = {"v": 1, "event": "alert", "data": json.loads(BODY)}
    started = time.process_time()
    for _ in range(messages):
        for each in sockets:
            await each.send_json(body)
        await asyncio.sleep(0)
    await clients.until(lambda: min(clients.got) >= messages)
    spent = time.process_time() - started
    forever.set()
    await asyncio.sleep(0.05)
    await clients.close()
    server.close()
    return spent / (count * messages) * 1e6


async def redis_cost(count: int, messages: int) -> float:
    """A Redis subscription for each client, as the original design has it."""
    server = start_redis()
    try:
        client = Redis.from_url(server.url, max_connections=count + 10, socket_timeout=None)
        got = [0] * count
        news = asyncio.Event()

        async def listen(number: int) -> None:
            async with client.pubsub() as subscription:
                await subscription.subscribe("all")
                async for found in subscription.listen():
                    got[number] += found["type"] == "message"
                    news.set()

        tasks = [asyncio.create_task(listen(number)) for number in range(count)]
        while (await client.pubsub_numsub("all"))[0][1] < count:
            await asyncio.sleep(0.02)
        started = time.process_time()
        for _ in range(messages):
            await client.publish("all", BODY)
        while min(got) < messages:
            news.clear()
            await news.wait()
        spent = time.process_time() - started
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()
    finally:
        server.remove()
    return spent / (count * messages) * 1e6


# --- the rest -------------------------------------------------------------------------------


async def publish_cost() -> dict[str, Any]:
    """What the publisher pays does not depend on who listens."""
    cost: dict[int, float] = {}
    for count in (0, 500):
        ours, clients = await ours_with(count)
        best = float("inf")
        for lot in range(30):
            batch = [message(lot * 100 + number, "reading") for number in range(100)]
            started = time.process_time()
            await ours.bus.publish(batch)
            best = min(best, (time.process_time() - started) / 100 * 1e6)
            await asyncio.sleep(0.01)
        cost[count] = best
        await ours.stop()
        await clients.close()
    return {
        "id": "realtime.publish",
        "what": "publishing one message with 500 clients, against none",
        "value": round(cost[500], 3),
        "unit": "us",
        "floor": round(cost[0], 3),
        "ratio": round(cost[500] / cost[0], 2),
        "goal": "<= 1.5",
        "met": cost[500] <= 1.5 * cost[0],
        "peers": {},
    }


async def idle_memory(count: int) -> dict[str, Any]:
    """Memory of the server's side for each connected client that hears nothing."""
    ours = Ours()
    await ours.start()
    clients = Clients()
    for _ in range(20):
        await clients.add(ours.path, HELLO)
    await asyncio.sleep(0.1)
    ends = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    gc.collect()
    tracemalloc.start()
    for end in ends:
        end.connect(ours.path)
        end.sendall(UPGRADE)
        await asyncio.sleep(0)
    await asyncio.sleep(0.2)
    for end in ends:
        end.sendall(masked(HELLO))
    while ours.hub.stats().clients < count + 20:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each_kb = used / count / 1024
    for end in ends:
        end.close()
    await ours.stop()
    await clients.close()
    return {
        "id": "realtime.memory",
        "what": "memory for each idle client, server side",
        "value": round(each_kb, 1),
        "unit": "KB",
        "floor": None,
        "goal": "< 40",
        "met": each_kb < 40,
        "peers": {},
    }


async def latencies(ours: Ours, clients: Clients, measured: list[int], seconds: int) -> float:
    """P99 in ms from publication to arrival, at 1,000 alerts/s, for the clients *measured*."""
    sent: dict[bytes, float] = {}
    found: list[float] = []
    done = asyncio.Event()
    total = seconds * 1_000

    async def read(number: int) -> None:
        reader, got, rest = clients.readers[number], 0, b""
        while got < total and (data := await reader.read(262_144)):
            now = time.perf_counter()
            parts = (rest + data).split(b'"id":"m')
            rest = parts[-1][-400:] if b'"' not in parts[-1] else b""
            for part in parts[1:]:
                if (at := sent.get(part.partition(b'"')[0])) is not None:
                    found.append(now - at)
                    got += 1

    readers = [asyncio.create_task(read(number)) for number in measured]
    began = time.perf_counter()
    for tick in range(seconds * 100):
        batch = [message(tick * 10 + step, "alert") for step in range(10)]
        at = time.perf_counter()
        for each in batch:
            sent[each.message_id[1:].encode()] = at
        await ours.bus.publish(batch)
        await asyncio.sleep(max(0.0, began + (tick + 1) / 100 - time.perf_counter()))
    await asyncio.sleep(0.3)
    done.set()
    for task in readers:
        task.cancel()
    found.sort()
    return found[int(len(found) * 0.99)] * 1000 if found else float("inf")


async def commit_to_client(seconds: int) -> dict[str, Any]:
    """From publication, which follows the commit at once, to 100 clients in the same process."""
    ours, clients = await ours_with(100)
    for number in range(50, 100):
        clients.count(number, b'"v":1,')
    p99_ms = await latencies(ours, clients, list(range(50)), seconds)
    await ours.stop()
    await clients.close()
    return {
        "id": "realtime.latency",
        "what": "P99 from commit to client at 1,000 messages/s for 100 clients, one core for all",
        "value": round(p99_ms, 1),
        "unit": "ms",
        "floor": HubLimits().window_s * 1000,
        "goal": "< 100",
        "met": p99_ms < 100,
        "peers": {},
    }


async def frozen_client(rounds: int) -> dict[str, Any]:
    """P99 of 20 of 500 clients, while one reads nothing and while all of them read."""
    p99: dict[bool, list[float]] = {True: [], False: []}
    for step in range(rounds):
        for is_frozen in (True, False) if step % 2 else (False, True):
            ours, clients = await ours_with(500)
            if is_frozen:
                # A stream reader stops its transport when nobody takes what it has.
                clients.readers[499]._transport.pause_reading()
            for number in range(20, 499):
                clients.count(number, b'"v":1,')
            if not is_frozen:
                clients.count(499, b'"v":1,')
            p99[is_frozen].append(await paced(ours, clients))
            await ours.stop()
            await clients.close()
    with_one, without = min(p99[True]), min(p99[False])
    return {
        "id": "realtime.frozen",
        "what": "P99 of the others while one client of 500 is frozen, against none",
        "value": round(with_one, 1),
        "unit": "ms",
        "floor": round(without, 1),
        "ratio": round(with_one / without, 2),
        "goal": "<= 1.1",
        "met": with_one <= 1.1 * without,
        "peers": {},
    }


async def paced(ours: Ours, clients: Clients) -> float:
    return await latencies(ours, clients, list(range(20)), 2)
