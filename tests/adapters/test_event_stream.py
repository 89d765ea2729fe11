"""A subscription written as an HTTP response."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from evara_core.adapters.starlette.streams import EventStreamResponse
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.realtime.wire import EventParser
from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from evara_core.realtime.subscription import Subscription


class Peer:
    """The server's side of one connection: what was sent, and when the client leaves."""

    def __init__(self, *, is_stuck: bool = False) -> None:
        self.sent: list[Any] = []
        self.left = anyio.Event()
        self.is_stuck = is_stuck

    async def receive(self) -> dict[str, str]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.is_stuck and self.sent:
            await anyio.sleep_forever()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def has_sent(self, what: bytes) -> None:
        while what not in self.body:
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def streaming(
    peer: Peer, **options: Any
) -> AsyncIterator[tuple[MemoryBus, Hub, Subscription]]:
    bus = MemoryBus(new_epoch=lambda: "e")
    hub = Hub(bus, clock=ManualClock(), limits=HubLimits(window_s=0))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            subscription = await hub.subscribe(principal_id="u", topics=["platform"])
            response = EventStreamResponse(subscription, chance=lambda: 0.5, **options)
            tasks.start_soon(response, {"type": "http"}, peer.receive, peer.send)
            yield bus, hub, subscription
            await hub.aclose()


def alert(number: int) -> Message:
    return Message(
        message_id=f"a{number}", kind="alert", key="n", topics=("platform",), body=b'{"n":1}'
    )


async def test_a_stream_begins_with_the_pause_and_carries_what_comes() -> None:
    peer = Peer()
    async with streaming(peer) as (bus, _, _):
        await bus.publish([alert(1)])
        await peer.has_sent(b"a1")

    start = peer.sent[0]
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"private, no-store, no-transform"
    assert headers[b"x-accel-buffering"] == b"no"
    assert b"content-length" not in headers
    assert peer.sent[1]["body"] == b"retry: 3000\n\n:\nid: e-0\n\n"
    events = list(EventParser().feed(peer.body))
    assert (events[0].event, events[0].last_id) == ("alert", "e-1")


async def test_silence_is_filled_with_heartbeats() -> None:
    peer = Peer()
    async with streaming(peer, heartbeat_s=0.01):
        await peer.has_sent(b":\nid: e-0\n\n" * 3)


async def test_a_client_that_leaves_is_forgotten() -> None:
    peer = Peer()
    async with streaming(peer) as (_, hub, _):
        await peer.has_sent(b"retry")

        peer.left.set()
        while hub.stats().clients:
            await anyio.lowlevel.checkpoint()


async def test_a_client_that_takes_nothing_is_forgotten() -> None:
    peer = Peer(is_stuck=True)
    async with streaming(peer, send_timeout_s=0.02) as (_, hub, _):
        while hub.stats().clients:
            await anyio.lowlevel.checkpoint()


async def test_the_server_says_goodbye_and_ends_the_response() -> None:
    peer = Peer()
    async with streaming(peer) as (bus, hub, _):
        await peer.has_sent(b"retry")
        await bus.publish([alert(1)])
        await peer.has_sent(b"a1")

        await hub.drain(grace_s=10)

        assert hub.stats().clients == 0
    bye = list(EventParser().feed(peer.body))[-1]
    assert bye.event == "bye"
    assert json.loads(bye.data) == {"code": "SHUTTING_DOWN", "resume": True, "retry_ms": 3000}
    assert "more_body" not in peer.sent[-1]


async def test_a_gap_is_told_as_resync() -> None:
    peer = Peer()
    async with streaming(peer) as (_, _, subscription):
        subscription.offer_resync()
        await peer.has_sent(b"event: resync")
