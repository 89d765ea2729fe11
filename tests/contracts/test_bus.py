"""Each bus against the shipped suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from evara_core.errors import ConfigurationError, UpstreamError
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.redis import RedisBus
from evara_core.testing.conformance.realtime import BusContract, message
from evara_core.testing.servers import start_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestMemoryBus(BusContract):
    @pytest.fixture
    def bus(self) -> MemoryBus:
        return MemoryBus()

    @pytest.fixture
    def small_bus(self) -> MemoryBus:
        return MemoryBus(history=50)

    async def test_a_position_of_another_life_is_unknown(self) -> None:
        before = MemoryBus()
        await before.publish([message(1), message(2)])
        position = await before.end()
        after = MemoryBus()
        await after.publish([message(3), message(4), message(5)])

        batch = await after.read(position, wait_s=0)

        assert batch.has_gap
        assert not after.is_after(await after.end(), position)

    async def test_keeps_exactly_its_history(self) -> None:
        bus = MemoryBus(history=3)
        start = await bus.end()
        await bus.publish([message(1)])
        second = await bus.end()
        await bus.publish([message(number) for number in (2, 3, 4)])

        whole = await bus.read(second, wait_s=0)
        cut = await bus.read(start, wait_s=0)

        assert [d.message.message_id for d in whole.deliveries] == ["m2", "m3", "m4"]
        assert not whole.has_gap
        assert whole.deliveries == cut.deliveries
        assert cut.has_gap


@pytest.mark.server
class TestRedisBus(BusContract):
    @pytest.fixture(params=[2, 3])
    async def client(self, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
        async with Redis.from_url(redis_url, protocol=request.param) as client:
            yield client

    @pytest.fixture
    def bus(self, client: Redis) -> RedisBus:
        return RedisBus(client, block_s=0.2)

    @pytest.fixture
    def small_bus(self, client: Redis) -> RedisBus:
        return RedisBus(client, history=100, block_s=0.2)

    async def test_waits_longer_than_the_client_would(self, redis_url: str) -> None:
        async with Redis.from_url(redis_url, socket_timeout=0.3) as client:
            bus = RedisBus(client, block_s=0.1)

            batch = await bus.read(await bus.end(), wait_s=0.8)

        assert batch.deliveries == ()

    async def test_refuses_a_client_that_gives_up_sooner(self, redis_url: str) -> None:
        async with Redis.from_url(redis_url, socket_timeout=1) as client:
            with pytest.raises(ConfigurationError, match="socket_timeout"):
                RedisBus(client, block_s=2)

    async def test_refuses_a_client_that_answers_text(self, redis_url: str) -> None:
        async with Redis.from_url(redis_url, decode_responses=True) as client:
            with pytest.raises(ConfigurationError, match="decode_responses"):
                RedisBus(client)

    async def test_the_stream_goes_on_behind_what_others_wrote(
        self, client: Redis, bus: RedisBus
    ) -> None:
        start = await bus.end()
        await client.xadd("evara:messages", {"what": "ever"})
        await client.xadd(
            "evara:messages",
            {"id": b"\xff", "kind": "x", "key": "y", "topics": "[", "body": ""},
        )
        only_foreign = await bus.read(start, wait_s=0)
        await bus.publish([message(1)])

        batch = await bus.read(only_foreign.position, wait_s=0)

        assert only_foreign.deliveries == ()
        assert only_foreign.position != start
        assert [d.message for d in batch.deliveries] == [message(1)]
        assert not batch.has_gap

    async def test_a_key_of_another_type_is_an_upstream_failure(self, client: Redis) -> None:
        await client.set("taken", "text")
        bus = RedisBus(client, stream="taken")

        with pytest.raises(UpstreamError):
            await bus.read("0-0", wait_s=0)
        with pytest.raises(UpstreamError):
            await bus.publish([message(1)])


@pytest.mark.server
async def test_a_redis_that_comes_back_empty_means_a_gap_and_then_goes_on() -> None:
    server = start_redis()
    try:
        async with Redis.from_url(server.url) as client:
            bus = RedisBus(client, block_s=0.2)
            await bus.publish([message(1)])
            position = await bus.end()

            server.stop()
            with pytest.raises(UpstreamError):
                await bus.read(position, wait_s=0)
            with pytest.raises(UpstreamError):
                await bus.publish([message(2)])
            server.start()
            lost = await bus.read(position, wait_s=0)
            await bus.publish([message(3)])
            found = await bus.read(lost.position, wait_s=0)

        assert lost.has_gap
        assert [d.message.message_id for d in found.deliveries] == ["m3"]
        assert not found.has_gap
    finally:
        server.remove()
