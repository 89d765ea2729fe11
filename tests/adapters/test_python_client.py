"""The Python client against a real server, over each wire."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from tests.adapters.live import alert, reading, serving

from evara_core.errors import UpstreamRefusedError
from evara_core.realtime.client import EventsLink, StreamClient, StreamLink
from evara_core.realtime.client_socket import SocketLink
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.encoding import JsonEncoding
from evara_core.realtime.following import Patience
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.msgpack import MessagePackEncoding
from evara_core.realtime.selection import Selection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.adapters.live import LiveServer

QUICK = Patience(first_pause_s=0.001, longest_pause_s=0.02)
ALERTS = Selection(kinds=frozenset({"alert"}))
WIRES = ["events", "json", "msgpack"]


@asynccontextmanager
async def link_to(
    live: LiveServer, wire: str, *, user: str = "boss", selection: Selection | None = None
) -> AsyncIterator[StreamLink]:
    async def token() -> str:
        return live.token(user)

    if wire != "events":
        encoding = JsonEncoding() if wire == "json" else MessagePackEncoding()
        selections = None if selection is None else {"mine": selection}
        yield SocketLink(live.socket_url, token=token, selections=selections, encoding=encoding)
        return
    async with httpx.AsyncClient(base_url=live.origin) as http:
        yield EventsLink(http, "/api/v1/stream", token=token, selection=selection)


def cut_all(live: LiveServer) -> None:
    live.hub.let_all_go(ByeCode.SLOW_CONSUMER)


@pytest.mark.parametrize("wire", WIRES)
async def test_alerts_come_once_and_in_order_through_every_break(wire: str) -> None:
    wanted = [f"a{number}" for number in range(60)]
    heard: list[str] = []
    async with serving() as live, link_to(live, wire, selection=ALERTS) as link:
        client = StreamClient(link, after=live.hub.position, patience=QUICK)
        async with anyio.create_task_group() as tasks:

            async def publish() -> None:
                for number, name in enumerate(wanted):
                    await live.bus.publish([alert(name), reading(number)])
                    if number % 7 == 0:
                        cut_all(live)
                    await anyio.sleep(0.002)

            tasks.start_soon(publish)
            async with aclosing(client.events()) as events:
                async for event in events:
                    heard.append(event.message_id)
                    if len(heard) == len(wanted):
                        break

    assert heard == wanted


@pytest.mark.parametrize("wire", WIRES)
async def test_a_gap_means_a_snapshot_and_then_the_stream(wire: str) -> None:
    bus = MemoryBus(history=5)
    taken: list[str] = []
    limits = HubLimits(window_s=0.001, held_messages=5, read_wait_s=0.05)
    async with serving(bus=bus, hub_limits=limits) as live, link_to(live, wire) as link:
        start = live.hub.position
        await bus.publish([alert(f"gone {number}") for number in range(20)])

        async def snapshot() -> str:
            taken.append(live.hub.position)
            await bus.publish([alert("after")])
            return taken[-1]

        client = StreamClient(link, after=start, snapshot=snapshot, patience=QUICK)
        async with aclosing(client.events()) as events:
            async for event in events:
                if event.message_id == "after":
                    break

    assert len(taken) == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_the_newest_value_of_each_thing_is_kept(wire: str) -> None:
    async with serving() as live, link_to(live, wire) as link:
        client = StreamClient(link, after=live.hub.position, patience=QUICK)
        await live.bus.publish([reading(1), reading(2, "n2"), reading(3), alert("last")])

        async with aclosing(client.events()) as events:
            async for event in events:
                if event.kind == "alert":
                    break

    assert {key: event.data for key, event in client.latest.items()} == {
        ("reading", "n1"): {"n": 3},
        ("reading", "n2"): {"n": 2},
    }


@pytest.mark.parametrize("wire", WIRES)
async def test_who_may_not_listen_is_told_and_does_not_come_back(wire: str) -> None:
    async with serving() as live, link_to(live, wire, user="nobody") as link:
        client = StreamClient(link, patience=QUICK)

        with pytest.raises(UpstreamRefusedError):
            async with aclosing(client.events()) as events:
                await anext(events)


@pytest.mark.parametrize("wire", WIRES)
async def test_who_loses_the_right_hears_no_more(wire: str) -> None:
    async with serving() as live, link_to(live, wire, user="mona") as link:
        client = StreamClient(link, after=live.hub.position, patience=QUICK)
        await live.bus.publish([alert("before")])
        async with aclosing(client.events()) as events:
            first = await anext(events)

            del live.users["mona"]
            live.hub.revise("mona", ())
            await live.bus.publish([alert("after")])
            with pytest.raises(UpstreamRefusedError):
                await anext(events)

    assert first.message_id == "before"


def test_pauses_grow_up_to_a_limit() -> None:
    patience = Patience(first_pause_s=1, longest_pause_s=30)

    assert [patience.pause_s(n, lambda: 1.0) for n in (0, 1, 2, 5, 50)] == [1, 2, 4, 30, 30]
    assert patience.pause_s(5, lambda: 0.0) == 0
