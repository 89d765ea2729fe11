"""The cache stores, against the suite that ships, and Redis at its worst."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from evara_core.caching.memory import MemoryStore
from evara_core.caching.redis import RedisStore, redis_client
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamTimeoutError
from evara_core.testing.clock import ManualClock
from evara_core.testing.conformance.caching import CacheStoreContract


class TestMemoryStore(CacheStoreContract):
    @pytest.fixture
    def store(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(clock=clock)

    @pytest.fixture
    def let_pass(self, clock: ManualClock) -> Callable[[float], None]:
        return clock.advance


@pytest.mark.server
class TestRedisStore(CacheStoreContract):
    tick_s = 0.02

    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[RedisStore]:
        client = redis_client(redis_url, timeout_s=5)
        yield RedisStore(client, deadline_s=5)
        await client.aclose()

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        # Redis reads its clock once per turn of its loop, in whole milliseconds.
        return lambda seconds: time.sleep(seconds + 0.01)


def test_a_client_that_decodes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="decode"):
        RedisStore(Redis(decode_responses=True))


async def test_nobody_there_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = redis_client(f"redis://127.0.0.1:{port}")

    started_s = time.perf_counter()
    with pytest.raises(UpstreamError):
        await RedisStore(client).get("tank")

    assert time.perf_counter() - started_s < 1
    await client.aclose()


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """A server that accepts and never says a word."""
    open_ones: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        while await reader.read(4096):
            pass

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_ones:
            writer.close()


async def test_silence_ends_with_the_deadline() -> None:
    async with black_hole() as url:
        client = redis_client(url)

        started_s = time.perf_counter()
        with pytest.raises((UpstreamTimeoutError, UpstreamError)):
            await RedisStore(client).get("tank")

        assert time.perf_counter() - started_s < 1
        await client.aclose()
