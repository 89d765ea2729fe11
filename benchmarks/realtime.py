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
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from benchmarks.realtime_rig import (
    BODY,
    HELLO,
    UPGRADE,
    Bare,
    Broadcast,
    Clients,
    Ours,
    OwnLoop,
    masked,
    preferred,
)
from evara_core.testing.servers import start_redis


def run(*, quick: bool) -> list[dict[str, Any]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    try:
        with preferred():
            found = asyncio.run(measured(quick))
            with asyncio.Runner(loop_factory=OwnLoop) as runner:
                found.append(runner.run(commit_to_client(2 if quick else 8)))
                found.append(runner.run(frozen_client(1 if quick else 4)))
            return found
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def measured(quick: bool) -> list[dict[str, Any]]:
    return [
        *await to_500(1 if quick else 5),
        *await to_5_000(1 if quick else 3, messages=20 if quick else 60),
        await publish_cost(),
        await idle_memory(200 if quick else 1_000),
    ]


def record(
    name: str, what: str, value: float, unit: str, *, goal: str, met: bool, **more: Any
) -> dict[str, Any]:
    found = {"id": f"realtime.{name}", "what": what, "value": value, "unit": unit}
    return found | {"floor": None, "goal": goal, "met": met, "peers": {}} | more


# --- deliveries -----------------------------------------------------------------------------


Work = Callable[[], Awaitable[None]]


async def cost_us(clients: Clients, work: Work, *, each: int) -> float:
    """Microseconds of CPU for each of *each* messages and each client, until all have them."""
    clients.await_from_now(each)
    started = time.process_time()
    await work()
    await clients.complete.wait()
    return (time.process_time() - started) / (each * len(clients.ears)) * 1e6


async def in_turns(send: Work, messages: int) -> None:
    """Each message is a turn of the event loop."""
    for _ in range(messages):
        await send()
        await asyncio.sleep(0)


async def alone(clients: Clients, send: Work, messages: int) -> float:
    """The same where each message has reached all before the next: a frame for each."""
    return min([await cost_us(clients, send, each=1) for _ in range(messages)])


async def burst_cost(ours: Ours, many: int) -> float:
    """For readings of 100 nodes in one burst: newer ones replace older ones."""
    news = ours.messages(many, "reading")
    clients = ours.clients
    clients.await_from_now(1, f'"id":"{news[-1].message_id}"'.encode())
    started = time.process_time()
    await ours.bus.publish(news)
    await clients.complete.wait()
    return (time.process_time() - started) / (many * len(clients.ears)) * 1e6


class Best(dict[str, float]):
    """The least of each: others' load only ever adds."""

    def note(self, name: str, value: float) -> None:
        self[name] = min(value, self.get(name, value))

    def rates(self) -> dict[str, int]:
        return {name: round(1e6 / value) for name, value in self.items()}


async def to_500(rounds: int) -> list[dict[str, Any]]:
    count, messages = 500, 300
    ours, quick = await Ours().start(count), await Ours(window_s=0).start(count)
    peer, bare = await Broadcast().start(count), await Bare().start(count)
    body = {"v": 1, "event": "alert", "data": json.loads(BODY)}
    best = Best()
    for _ in range(rounds):
        for name, server in (("broadcast", peer), ("alerts", ours), ("bare", bare)):
            work = in_turns(server.send, messages)
            best.note(name, await cost_us(server.clients, lambda w=work: w, each=messages))

        async def at_once() -> None:
            for _ in range(messages):
                await peer.send()

        best.note("broadcast burst", await cost_us(peer.clients, at_once, each=messages))
        best.note("telemetry", await burst_cost(ours, messages * 10))
        for name, server in (("peer alone", peer), ("alone", quick), ("bare alone", bare)):
            best.note(name, await alone(server.clients, server.send, 15))
    json_work = in_turns(lambda: bare.send_json(body), 50)
    best.note("send_json", await cost_us(bare.clients, lambda: json_work, each=50))
    for server in (ours, quick, peer, bare):
        await server.stop()
    best.note("redis", await redis_cost(count, 40))
    rate = best.rates()
    return [
        *delivery_records(count, rate),
        record(
            "alone.500",
            "deliveries per CPU second where each message is a frame of its own",
            rate["alone"],
            "1/s",
            floor=rate["bare alone"],
            ratio=round(rate["alone"] / rate["bare alone"], 2),
            goal=">= 0.4 of a bare ASGI send",
            met=rate["alone"] >= 0.4 * rate["bare alone"],
            peers={"websockets.broadcast": rate["peer alone"]},
        ),
    ]


async def to_5_000(rounds: int, *, messages: int) -> list[dict[str, Any]]:
    """One after the other: both at once would need 20,000 open files."""
    count = 5_000
    best = Best()
    ours = await Ours().start(count)
    for _ in range(rounds):
        work = in_turns(ours.send, messages)
        best.note("alerts", await cost_us(ours.clients, lambda w=work: w, each=messages))
        best.note("telemetry", await burst_cost(ours, messages * 10))
    await ours.stop()
    peer = await Broadcast().start(count)
    for _ in range(rounds):
        work = in_turns(peer.send, messages)
        best.note("broadcast", await cost_us(peer.clients, lambda w=work: w, each=messages))

        async def at_once() -> None:
            for _ in range(messages):
                await peer.send()

        best.note("broadcast burst", await cost_us(peer.clients, at_once, each=messages))
    await peer.stop()
    return delivery_records(count, best.rates())


def delivery_records(count: int, rate: dict[str, int]) -> list[dict[str, Any]]:
    peers = {
        "websockets.broadcast": rate["broadcast"],
        "a bare ASGI send": rate.get("bare"),
        "sequential send_json": rate.get("send_json"),
        "a Redis subscription per client": rate.get("redis"),
    }
    return [
        record(
            f"alerts.{count}",
            f"deliveries per CPU second of alerts to {count} clients, client side included",
            rate["alerts"],
            "1/s",
            ratio=round(rate["alerts"] / rate["broadcast"], 2),
            goal=">= 0.7",
            met=rate["alerts"] >= 0.7 * rate["broadcast"],
            peers={name: value for name, value in peers.items() if value is not None},
        ),
        record(
            f"telemetry.{count}",
            f"updates per CPU second taken for {count} clients in a burst, coalesced",
            rate["telemetry"],
            "1/s",
            ratio=round(rate["telemetry"] / rate["broadcast burst"], 2),
            goal=">= 2",
            met=rate["telemetry"] >= 2 * rate["broadcast burst"],
            peers={"websockets.broadcast": rate["broadcast burst"]},
        ),
    ]


async def redis_cost(count: int, messages: int) -> float:
    """A Redis subscription for each client, as the original design has it."""
    server = start_redis()
    try:
        client = Redis.from_url(server.url, max_connections=count + 10, socket_timeout=None)
        left = count * messages
        complete = asyncio.Event()

        async def listen() -> None:
            nonlocal left
            async with client.pubsub() as subscription:
                await subscription.subscribe("all")
                async for found in subscription.listen():
                    left -= found["type"] == "message"
                    if not left:
                        complete.set()

        tasks = [asyncio.create_task(listen()) for _ in range(count)]
        while (await client.pubsub_numsub("all"))[0][1] < count:
            await asyncio.sleep(0.02)
        started = time.process_time()
        for _ in range(messages):
            await client.publish("all", BODY)
        await complete.wait()
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
    best = Best()
    servers = {"none": await Ours().start(0), "many": await Ours().start(500)}
    for _ in range(30):
        for name, ours in servers.items():
            news = ours.messages(100, "reading")
            started = time.process_time()
            await ours.bus.publish(news)
            best.note(name, (time.process_time() - started) / 100 * 1e6)
            await asyncio.sleep(0.01)
    for ours in servers.values():
        await ours.stop()
    return record(
        "publish",
        "publishing one message with 500 clients, against none",
        round(best["many"], 3),
        "us",
        floor=round(best["none"], 3),
        ratio=round(best["many"] / best["none"], 2),
        goal="<= 1.5",
        met=best["many"] <= 1.5 * best["none"],
    )


async def idle_memory(count: int) -> dict[str, Any]:
    """Memory of the server's side for each connected client that hears nothing."""
    ours = await Ours().start(20)
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
    return record(
        "memory",
        "memory for each idle client, server side",
        round(each_kb, 1),
        "KB",
        goal="< 40",
        met=each_kb < 40,
    )


async def p99_ms(ours: Ours, ears: int, *, rate: int, seconds: float) -> tuple[float, float]:
    """P99 from publication to arrival at the first *ears* clients; P99 of a timer's lateness."""
    sent: dict[bytes, float] = {}
    found: list[float] = []
    late: list[float] = []

    def timed(number: bytes, now: float) -> None:
        if (at := sent.get(number)) is not None:
            found.append(now - at)

    for ear in ours.clients.ears[:ears]:
        ear.timed = timed
    elapsed_s = asyncio.get_running_loop().time
    began = elapsed_s()
    for tick in range(int(seconds * 100)):
        batch = ours.messages(rate // 100, "alert")
        at = elapsed_s()
        for each in batch:
            sent[each.message_id[1:].encode()] = at
        await ours.bus.publish(batch)
        due = began + (tick + 1) / 100
        await asyncio.sleep(max(0.0, due - elapsed_s()))
        late.append(max(0.0, elapsed_s() - due))
    while len(found) < len(sent) * ears and elapsed_s() < began + seconds + 5:
        await asyncio.sleep(0.05)
    for ear in ours.clients.ears[:ears]:
        ear.timed = None
    return nth(found), nth(late)


def nth(values: list[float], share: float = 0.99) -> float:
    return sorted(values)[int(len(values) * share)] * 1000 if values else float("inf")


async def commit_to_client(seconds: int) -> dict[str, Any]:
    """From publication, which follows the commit at once, to 100 clients in the same process.

    By the clock of a core of its own, `OwnLoop`: what other processes take is left out.
    """
    ours = await Ours().start(100)
    cpu = time.process_time()
    got_ms, late_ms = await p99_ms(ours, 50, rate=1_000, seconds=seconds)
    cpu = (time.process_time() - cpu) / seconds
    await ours.stop()
    return record(
        "latency",
        "P99 from commit to client at 1,000 messages/s for 100 clients, one core for all",
        round(got_ms, 1),
        "ms",
        floor=round(ours.limits.window_for(100) * 1000, 1),
        goal="< 100",
        met=got_ms < 100,
        peers={"a timer of the same loop, ms late": round(late_ms, 1), "cores": round(cpu, 2)},
    )


async def frozen_client(rounds: int) -> dict[str, Any]:
    """P99 of 20 of 500 clients, while one reads nothing and while all of them read."""
    ours = await Ours().start(500)
    frozen = ours.clients.ears[-1]
    p99: dict[bool, list[float]] = {True: [], False: []}
    for step in range(rounds):
        for is_frozen in (True, False) if step % 2 else (False, True):
            if is_frozen:
                frozen.transport.pause_reading()
                # More than kernel and server hold for it: its writer is stuck from here on.
                news = ours.messages(300, "alert", body=b'"%b"' % (b"x" * 2_000))
                await ours.bus.publish(news)
            await asyncio.sleep(0.5)
            found, _ = await p99_ms(ours, 20, rate=200, seconds=1.5)
            p99[is_frozen].append(found)
            if is_frozen:
                assert any(client.pending for client in ours.hub._clients)
                frozen.transport.resume_reading()
                await asyncio.sleep(0.5)
    assert ours.hub.stats().clients == 500
    await ours.stop()
    with_one, without = min(p99[True]), min(p99[False])
    return record(
        "frozen",
        "P99 of the others while one client of 500 is frozen, against none",
        round(with_one, 1),
        "ms",
        floor=round(without, 1),
        ratio=round(with_one / without, 2),
        goal="<= 1.1",
        met=with_one <= 1.1 * without,
    )
