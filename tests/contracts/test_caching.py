"""The cache stores, against the suite that ships, and Redis at its worst."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from evara_core.caching.memory import MemoryStore
from evara_core.caching.redis import RedisStore, redis_client
from evara_core.caching.redis_backplane import RedisBackplane
from evara_core.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamTimeoutError,
)
from evara_core.testing.clock import ManualClock
from evara_core.testing.conformance.caching import (
    BackplaneContract,
    CacheStoreContract,
    SharedStoreContract,
    ask,
)
from evara_core.testing.processes import LocalServer
from evara_core.testing.servers import find_redis, start_redis
from evara_core.testing.shared_cache import MemorySharedStore


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


class TestMemorySharedStore(SharedStoreContract, BackplaneContract):
    @pytest.fixture
    def store(self, clock: ManualClock) -> MemorySharedStore:
        return MemorySharedStore(clock=clock)

    @pytest.fixture
    def backplane(self, store: MemorySharedStore) -> MemorySharedStore:
        return store

    @pytest.fixture
    def let_pass(self, clock: ManualClock) -> Callable[[float], None]:
        return clock.advance


PROGRAMS = list(find_redis())
"""Of several versions of Redis, and of Valkey: whichever are installed."""


@pytest.fixture(scope="module", params=PROGRAMS, ids=[each.source for each in PROGRAMS])
def each_server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    server = start_redis(program=request.param)
    yield server
    server.remove()


@pytest.mark.server
@pytest.mark.parametrize("protocol", [2, 3], scope="module")
class TestSharedRedis(SharedStoreContract, BackplaneContract):
    tick_s = 0.02

    @pytest.fixture
    async def client(self, each_server: LocalServer, protocol: int) -> AsyncIterator[Redis]:
        client = redis_client(f"{each_server.url}&protocol={protocol}", timeout_s=10)
        await client.flushall()
        yield client
        await client.aclose()

    @pytest.fixture
    def store(self, client: Redis) -> RedisStore:
        return RedisStore(client, deadline_s=5)

    @pytest.fixture
    def backplane(self, client: Redis) -> RedisBackplane:
        return RedisBackplane(client)

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return lambda seconds: time.sleep(seconds + 0.01)

    async def test_a_version_that_was_lost_comes_back_larger(
        self, store: RedisStore, client: Redis
    ) -> None:
        await self.fill(store, "k", "a")
        before = await store.invalidate(keys=[], tags=["a"], origin="me")
        await self.fill(store, "k", "a")

        await client.delete("{evara:cache}:v:a")
        [taken] = await store.take([ask("k", "a")])

        assert taken.value is None
        assert taken.versions[0] > before["a"]

    async def test_scripts_that_the_server_forgot_are_sent_again(
        self, store: RedisStore, client: Redis
    ) -> None:
        await self.fill(store, "k")
        await client.script_flush()

        assert (await store.take([ask("k")]))[0].value == b"value"

    async def test_a_stream_that_was_trimmed_has_a_gap(
        self, store: RedisStore, backplane: RedisBackplane, client: Redis
    ) -> None:
        position = await backplane.position()
        for key in "abc":
            await store.invalidate(keys=[key], tags=[], origin="me")
        await client.xtrim("{evara:cache}:news", maxlen=1, approximate=False)

        news = await backplane.read(position, wait_s=5)

        assert news.has_gap
        assert [told.keys for told in news.invalidations] == [("c",)]

    async def test_a_client_that_gives_up_early_waits_for_news_all_the_same(
        self, store: RedisStore, each_server: LocalServer, protocol: int
    ) -> None:
        client = redis_client(f"{each_server.url}&protocol={protocol}", timeout_s=0.4)
        backplane = RedisBackplane(client)
        position = await backplane.position()

        silent = await backplane.read(position, wait_s=60)
        await store.invalidate(keys=["a"], tags=[], origin="me")
        news = await backplane.read(silent.position, wait_s=60)

        assert silent.invalidations == ()
        assert [told.keys for told in news.invalidations] == [("a",)]
        await client.aclose()

    async def test_a_redis_that_began_anew_has_a_gap(
        self, store: RedisStore, backplane: RedisBackplane, client: Redis
    ) -> None:
        await store.invalidate(keys=["a"], tags=[], origin="me")
        position = await backplane.position()
        await client.flushall()

        silent = await backplane.read(position, wait_s=0.01)
        assert silent.has_gap
        await store.invalidate(keys=["b"], tags=[], origin="me")

        assert (await backplane.read(position, wait_s=5)).has_gap
        assert not (await backplane.read(silent.position, wait_s=5)).has_gap

    @pytest.mark.parametrize("body", ["{", "[]", '[["k"], ["a"]]'])
    async def test_a_message_that_is_not_ours_is_a_gap(
        self, store: RedisStore, backplane: RedisBackplane, client: Redis, body: str
    ) -> None:
        position = await backplane.position()
        await client.xadd("{evara:cache}:news", {"s": 1, "o": "x", "b": body, "v": ""})
        await store.invalidate(keys=["b"], tags=[], origin="me")

        news = await backplane.read(position, wait_s=5)

        assert news.has_gap
        assert [told.keys for told in news.invalidations] == [("b",)]


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
