"""Administration with the User key, against the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.unit.thingspeak.against import client_against
from tests.unit.thingspeak.tiny import TinyServer

from evara_core.errors import AccessDeniedError, InvalidInputError, UpstreamGarbageError
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.administration import (
    Administrator,
    AsyncAdministrator,
    ChannelSettings,
    ListedChannel,
)
from evara_core.thingspeak.client import AsyncClient, Client
from evara_core.thingspeak.keys import Key
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.transports.httpx import HttpxTransport


@pytest.fixture
def simulator(clock: ManualClock) -> Simulator:
    return Simulator(clock=clock)


@pytest.fixture
async def client(simulator: Simulator, clock: ManualClock) -> AsyncIterator[AsyncClient]:
    async with client_against(simulator, clock) as client:
        yield client


@pytest.fixture
def administrator(client: AsyncClient, simulator: Simulator) -> AsyncAdministrator:
    return AsyncAdministrator(client, user_key=simulator.user_key)


async def test_a_channel_from_its_making_to_its_end(
    administrator: AsyncAdministrator, client: AsyncClient, simulator: Simulator
) -> None:
    made = await administrator.create_channel(
        ChannelSettings(name="Tank 7", field_labels={1: "level", 3: "battery"}, tags=("a", "b"))
    )
    assert made.write_key is not None
    await client.write(made.channel_id, {1: 3.2}, write_key=made.write_key)

    changed = await administrator.change_channel(
        made.channel_id, ChannelSettings(description="on the roof", latitude=17.4, is_public=True)
    )
    channel = await client.channel(made.channel_id)
    listed = await administrator.own_channels()
    await administrator.clear_channel(made.channel_id)
    emptied = await client.last(made.channel_id)
    await administrator.delete_channel(made.channel_id)

    assert (made.name, made.tags) == ("Tank 7", ("a", "b"))
    assert (changed.description, changed.latitude, changed.is_public) == (
        "on the roof",
        "17.4",
        True,
    )
    assert channel.field_labels == {1: "level", 3: "battery"}
    assert [one.channel_id for one in listed] == [made.channel_id]
    assert emptied is None
    assert simulator.channels == {}


async def test_public_channels_are_listed(
    administrator: AsyncAdministrator, simulator: Simulator
) -> None:
    simulator.create_channel(channel_id=5, public=True, name="Well")
    simulator.write(5, {1: "3"})

    (listed,) = await administrator.public_channels()

    assert (listed.channel_id, listed.name, listed.write_key) == (5, "Well", None)


async def test_a_channels_key_does_not_administer(
    client: AsyncClient, simulator: Simulator
) -> None:
    channel = simulator.create_channel(channel_id=5)
    administrator = AsyncAdministrator(client, user_key=channel.write_key)

    for job in (
        administrator.own_channels(),
        administrator.create_channel(ChannelSettings()),
        administrator.change_channel(5, ChannelSettings(name="x")),
        administrator.clear_channel(5),
        administrator.delete_channel(5),
    ):
        with pytest.raises(AccessDeniedError):
            await job


async def test_a_field_that_does_not_exist_is_refused(administrator: AsyncAdministrator) -> None:
    with pytest.raises(InvalidInputError):
        await administrator.create_channel(ChannelSettings(field_labels={9: "x"}))


@pytest.mark.parametrize(
    "body",
    [
        b"[1]", b'[{"id":"x"}]', b'{"channels":7}', b"[]", b'[{"id":1},{"id":2}]',
        b'{"id":1,"api_keys":[{"api_key":"a b","write_flag":true}]}', b'{"id":1,"tags":[1]}',
        b'{"id":1,"created_at":"yesterday"}',
    ],
)  # fmt: skip
async def test_an_answer_that_is_none_is_garbage(body: bytes) -> None:
    server = TinyServer(failures=[Response(200, body)])
    administrator = AsyncAdministrator(AsyncClient(transport=server), user_key="U")

    with pytest.raises(UpstreamGarbageError):
        await administrator.create_channel(ChannelSettings(name="x"))


def test_the_blocking_one_does_the_same() -> None:
    told = {"id": 7, "name": "Tank", "api_keys": [{"api_key": "WW", "write_flag": True}]}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json=[told] if request.method == "GET" else told)

    raw = httpx.Client(transport=httpx.MockTransport(answer))
    with raw, Client(transport=HttpxTransport(raw)) as client:
        administrator = Administrator(client, user_key="UU")
        listed = administrator.own_channels()
        administrator.public_channels(2)
        administrator.create_channel(ChannelSettings(name="x"))
        administrator.change_channel(7, ChannelSettings(name="y"))
        administrator.clear_channel(7)
        administrator.delete_channel(7)

    assert listed == [ListedChannel(channel_id=7, name="Tank", write_key=Key("WW"))]
    assert asked == [
        "GET /channels.json", "GET /channels/public.json", "POST /channels.json",
        "PUT /channels/7.json", "DELETE /channels/7/feeds.json", "DELETE /channels/7.json",
    ]  # fmt: skip
