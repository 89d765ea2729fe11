"""WebSockets of a real server: what only the wire can show."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.adapters.live import ELSEWHERE, QUICK, alert, reading, serving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from evara_core.realtime.codes import ByeCode
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.session import SocketLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.adapters.live import LiveServer
    from websockets.asyncio.client import ClientConnection


class Talk:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **members: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **members}))

    async def hear(self, kind: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(await self.socket.recv())
            if message["type"] == kind:
                return message

    async def ids(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            found += [each["id"] for each in (await self.hear("events"))["events"]]
        return found

    async def closed(self) -> int:
        try:
            while True:
                await self.socket.recv()
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006


@asynccontextmanager
async def talking(live: LiveServer, **options: Any) -> AsyncIterator[Talk]:
    async with connect(live.socket_url, compression=None, ping_interval=None, **options) as socket:
        yield Talk(socket)


async def test_each_hears_what_it_may_and_what_it_asked_for() -> None:
    async with serving() as live, talking(live) as boss, talking(live) as mona:
        await boss.say("hello", token=live.token())
        await mona.say("hello", token=live.token("mona"), subscribe={"a": {"kinds": ["alert"]}})
        await boss.hear("welcome")
        await mona.hear("welcome")

        await live.bus.publish([reading(1), alert("far", *ELSEWHERE.topics), alert("near")])

        assert await boss.ids(3) == ["rn11", "far", "near"]
        assert await mona.ids(1) == ["near"]


async def test_asking_for_what_one_may_not_hear_brings_nothing() -> None:
    async with serving() as live, talking(live) as mona:
        topics = ["platform", *ELSEWHERE.topics]
        await mona.say("hello", token=live.token("mona"), subscribe={"a": {"topics": topics}})
        await mona.hear("welcome")

        await live.bus.publish([alert("far", *ELSEWHERE.topics), alert("near")])

        # "near" is of the platform, too: that is the only topic of hers that matches.
        assert await mona.ids(1) == ["near"]


async def test_a_later_selection_counts_from_the_position_in_its_answer() -> None:
    async with serving() as live, talking(live) as boss:
        await boss.say("hello", token=live.token(), subscribe={})
        await boss.hear("welcome")
        await live.bus.publish([alert("before")])

        await boss.say("subscribe", name="mine", topics=["node:n1"])
        answer = await boss.hear("subscribed")
        await live.bus.publish([alert("other"), reading(1), reading(1, "n2")])

        assert answer["position"]
        assert await boss.ids(1) == ["rn11"]
        await boss.say("unsubscribe", name="mine")
        await boss.hear("unsubscribed")


async def test_a_token_in_the_subprotocol_and_binary_frames() -> None:
    async with serving() as live:
        offered = [f"evara.token.{live.token()}", "evara.v1.msgpack"]
        async with connect(live.socket_url, subprotocols=offered) as socket:
            await socket.send(b"\x81\xa4type\xa5hello")
            answer = await socket.recv()
            extensions = socket.protocol.extensions

    assert socket.subprotocol == "evara.v1.msgpack"
    assert isinstance(answer, bytes)
    assert b"welcome" in answer
    assert not extensions, "per-message deflate is off unless somebody asks the server for it"


@pytest.mark.parametrize("user", ["nobody", "stranger"])
async def test_who_may_not_listen_is_told_for_good(user: str) -> None:
    async with serving() as live, talking(live) as talk:
        await talk.say("hello", token=live.token(user))

        bye = await talk.hear("bye")
        code = await talk.closed()

    assert not bye["resume"]
    assert code >= 4500


async def test_a_foreign_page_and_a_token_in_the_url_are_refused() -> None:
    async with serving() as live:
        with pytest.raises(InvalidStatus) as foreign:
            await connect(live.socket_url, origin="https://foe.example")
        with pytest.raises(InvalidStatus) as leaked:
            await connect(f"{live.socket_url}?token={live.token()}")

    assert foreign.value.response.status_code == 403
    assert leaked.value.response.status_code == 400


async def test_who_does_not_say_who_it_is_is_let_go() -> None:
    limits = SocketLimits(hello_within_s=0.05)
    async with serving(limits=limits) as live, talking(live) as talk:
        assert await talk.closed() == 4501


async def test_who_does_not_answer_is_let_go_and_may_resume() -> None:
    limits = SocketLimits(heartbeat_s=0.02, answer_within_s=0.1)
    async with serving(limits=limits) as live, talking(live) as talk:
        await talk.say("hello", token=live.token())

        bye = await talk.hear("bye")

        assert (bye["code"], bye["resume"]) == ("NO_ANSWER", True)
        assert await talk.closed() == 4002


async def test_streams_of_one_user_are_limited() -> None:
    limits = HubLimits(clients_per_principal=1, read_wait_s=0.05)
    async with serving(hub_limits=limits) as live, talking(live) as one, talking(live) as two:
        await one.say("hello", token=live.token())
        await one.hear("welcome")
        await two.say("hello", token=live.token())

        bye = await two.hear("bye")

    assert (bye["code"], bye["resume"]) == ("LIMIT_EXCEEDED", True)


async def test_a_fresh_token_keeps_the_stream_and_an_old_one_ends_it() -> None:
    async with serving() as live, talking(live) as talk:
        await talk.say("hello", token=live.token("mona", lifetime=timedelta(seconds=2)))
        await talk.hear("welcome")
        await talk.say("token", token=live.token("mona"))
        await talk.hear("renewed")
        (client,) = live.hub._clients
        assert client.expires_at is not None
        assert client.expires_at - timedelta(minutes=30) > live.issuer._clock.now()

        await talk.say("token", token=live.token("dora"))

        assert await talk.closed() == 4503


async def test_a_role_that_changes_narrows_a_live_stream() -> None:
    async with serving() as live, talking(live) as mona:
        await mona.say("hello", token=live.token("mona"))
        await mona.hear("welcome")

        live.hub.revise("mona", ELSEWHERE.topics[2:])
        await live.bus.publish([alert("near"), alert("far", *ELSEWHERE.topics)])

        assert (await mona.hear("resync"))["code"] == "RESYNC"
        assert await mona.ids(1) == ["far"]


async def test_a_drain_tells_everybody_to_come_back_after_another_pause() -> None:
    async with serving(hub_limits=QUICK) as live, talking(live) as one, talking(live) as two:
        for talk in (one, two):
            await talk.say("hello", token=live.token())
            await talk.hear("welcome")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live.hub.drain)
            byes = [await talk.hear("bye") for talk in (one, two)]
            codes = [await talk.closed() for talk in (one, two)]

    assert codes == [4000, 4000]
    assert all(bye["resume"] and 1 <= bye["retry_ms"] <= 20 for bye in byes)


async def test_all_streams_of_a_user_share_one_rate() -> None:
    limits = SocketLimits(commands_per_s=0.001, commands_at_once=6)
    async with (
        serving(limits=limits) as live,
        talking(live) as one,
        talking(live) as two,
        talking(live) as other,
    ):
        for talk, user in ((one, "boss"), (two, "boss"), (other, "mona")):
            await talk.say("hello", token=live.token(user))
            await talk.hear("welcome")
        for _ in range(3):
            await one.say("ping")
            await one.hear("pong")
            await two.say("ping")
            await two.hear("pong")

        await two.say("ping")

        assert await two.closed() == ByeCode.LIMIT_EXCEEDED.close_code
        await other.say("ping")
        await other.hear("pong")
