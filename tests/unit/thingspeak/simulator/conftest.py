"""A simulator whose clock stands still, and ways to ask it."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.profile import RAILS

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Visitor:
    """Asks a simulator over HTTP, as a program would."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path, key=None, /, **params):
        return await self.send("GET", path, key, params=params or None)

    async def post(self, path, key=None, /, **form):
        return await self.send("POST", path, key, data=form)

    async def send(self, method, path, key=None, **options):
        headers = {"THINGSPEAKAPIKEY": key} if key else {}
        return await self._client.request(method, path, headers=headers, **options)

    async def send_json(self, path, content):
        """Send bytes that claim to be JSON."""
        headers = {"content-type": "application/json"}
        return await self._client.post(path, content=content, headers=headers)

    async def feeds(self, channel, **params):
        """Return the rows of a channel."""
        answer = await self.get(
            f"/channels/{channel.channel_id}/feeds.json", channel.read_key, **params
        )
        assert answer.status_code == 200
        return answer.json()["feeds"]

    async def ids(self, channel, **params):
        """Return the ids of the rows of a channel."""
        return [row["entry_id"] for row in await self.feeds(channel, **params)]


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def simulator(clock):
    return Simulator(clock=clock)


@pytest.fixture
def rails(clock):
    return Simulator(clock=clock, profile=RAILS)


@pytest.fixture
def channel(simulator):
    return simulator.create_channel(name="Tank", labels={1: "Level", 2: "Temperature"})


@pytest.fixture
def rails_channel(rails):
    return rails.create_channel(name="Tank", labels={1: "Level", 2: "Temperature"})


@pytest.fixture
async def visitor(simulator):
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=simulator), base_url="http://simulator"
    ) as client:
        yield Visitor(client)


@pytest.fixture
async def rails_visitor(rails):
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=rails), base_url="http://simulator"
    ) as client:
        yield Visitor(client)


@pytest.fixture
def fill(clock):
    """Write rows into a channel, one a minute; the clock goes on."""

    def fill(simulator, channel, values):
        for value in values:
            fields = value if isinstance(value, dict) else {1: value}
            simulator.write(channel.channel_id, fields)
            clock.advance(60)

    return fill
