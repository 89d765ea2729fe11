"""The shared cache against a real Redis, at its worst."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from evara_core.caching.cache import Cache
from evara_core.caching.entries import Freshness
from evara_core.caching.keys import CacheKey
from evara_core.caching.memory import MemoryStore
from evara_core.caching.redis import RedisStore, redis_client
from evara_core.caching.redis_backplane import RedisBackplane
from evara_core.testing.clock import ManualClock
from evara_core.testing.processes import LocalServer
from evara_core.testing.servers import start_redis

pytestmark = pytest.mark.server

KEY = CacheKey(region="r", scope="s")
FRESHNESS = Freshness(ttl_s=60, refresh_ahead=0)


class Source:
    """A database that a test changes."""

    def __init__(self) -> None:
        self.version = 0
        self.loads = 0
        self.takes_s = 0.0

    async def __call__(self) -> bytes:
        self.loads += 1
        seen = self.version
        await asyncio.sleep(self.takes_s)
        return str(seen).encode()


@asynccontextmanager
async def process(
    url: str, *, deadline_s: float = 2.0, hears: bool = False, **options: Any
) -> AsyncIterator[Cache]:
    """A cache as another process has it."""
    client = redis_client(url, timeout_s=deadline_s)
    news = redis_client(url, timeout_s=10, max_connections=2)
    cache = Cache(
        l2=RedisStore(client, deadline_s=deadline_s),
        backplane=RedisBackplane(news) if hears else None,
        **({"unheard_ttl_s": 0.0, "beat_every_s": 0.05, "deaf_after_s": 1.0} | options),
    )
    listening = asyncio.create_task(cache.listen()) if hears else None
    try:
        if hears:
            await until(lambda: cache.is_heard)
        yield cache
    finally:
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        await cache.aclose()
        await client.aclose()
        await news.aclose()


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


async def read(cache: Cache, source: Callable[[], Awaitable[bytes]], key: CacheKey = KEY) -> int:
    return int((await cache.get_or_load(key, source, freshness=FRESHNESS, tags=["a"])).value)


@pytest.fixture
def own_redis() -> Iterator[LocalServer]:
    """A server that this test may freeze, crash and start again."""
    server = start_redis()
    yield server
    server.thaw()
    server.remove()


async def test_an_invalidation_in_another_process_during_a_load_is_never_lost(
    redis_url: str,
) -> None:
    source, stale = Source(), 0
    async with process(redis_url) as one, process(redis_url) as other:
        for round_number in range(100):
            source.takes_s = 0.002
            loading = asyncio.create_task(read(one, source))
            await asyncio.sleep(0.0005 * (round_number % 5))
            source.version += 1
            if round_number % 2:
                await other.invalidate(KEY)
            else:
                await other.invalidate(tags=["a"])
            await loading
            source.takes_s = 0.0
            stale += await read(other, source) != source.version
            stale += await read(one, source) != source.version

    assert stale == 0


async def test_forty_readers_in_four_processes_load_a_cold_key_once(redis_url: str) -> None:
    script = textwrap.dedent(
        """
        import asyncio, sys
        from evara_core.caching.cache import Cache
        from evara_core.caching.keys import CacheKey
        from evara_core.caching.redis import RedisStore, redis_client

        loads = 0

        async def load():
            global loads
            loads += 1
            await asyncio.sleep(0.3)
            return b"value"

        async def main():
            client = redis_client(sys.argv[1], timeout_s=5)
            cache = Cache(l2=RedisStore(client, deadline_s=5), lease_wait_s=10)
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            key = CacheKey(region="r", scope="s")
            found = await asyncio.gather(*(cache.get_or_load(key, load) for _ in range(10)))
            assert {each.value for each in found} == {b"value"}
            print(loads, flush=True)
            await cache.aclose()
            await client.aclose()

        asyncio.run(main())
        """
    )
    children = [start(script, redis_url) for _ in range(4)]
    for child in children:
        assert await asyncio.to_thread(child.stdout.readline) == "ready\n"

    answers = await asyncio.gather(
        *(asyncio.to_thread(child.communicate, "go\n") for child in children)
    )

    assert sum(int(out) for out, _ in answers) == 1


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": "src"},
    )


async def test_what_is_kept_in_one_process_hears_of_invalidations_in_another(
    own_redis: LocalServer,
) -> None:
    source, url = Source(), own_redis.url
    async with process(url, hears=True) as one, process(url, hears=True) as other:
        for _ in range(20):
            await read(one, source)
            source.version += 1
            await other.invalidate(tags=["a"])
            began_s = time.monotonic()
            while await read(one, source) != source.version:
                assert time.monotonic() - began_s < 5
                await asyncio.sleep(0)

        assert one.stats.gaps == 0
        assert one.stats.hits > 0


async def test_cut_connections_lose_no_invalidation(redis_url: str) -> None:
    source = Source()
    async with process(redis_url, hears=True) as one, process(redis_url) as other:
        admin = Redis.from_url(redis_url)
        for number in range(60):
            await read(one, source)
            if number % 20 == 10:
                with suppress(Exception):
                    await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            source.version += 1
            await other.invalidate(KEY)
            assert await read(other, source) == source.version
            began_s = time.monotonic()
            while await read(one, source) != source.version:
                assert time.monotonic() - began_s < 10
                await asyncio.sleep(0.001)
        await until(lambda: one.is_heard)
        await admin.aclose()


async def test_a_redis_that_hangs_costs_a_request_its_deadline_and_then_nothing(
    own_redis: LocalServer,
) -> None:
    source, slowest_s, late_s = Source(), 0.0, 0.0
    async with process(own_redis.url, deadline_s=0.05) as cache:
        await read(cache, source)
        own_redis.freeze()
        for number in range(60):
            key = CacheKey(region="r", scope="s", name=str(number))
            began_s = time.perf_counter()
            await read(cache, source, key)
            took_s = time.perf_counter() - began_s
            slowest_s = max(slowest_s, took_s)
            if number >= 20:
                late_s = max(late_s, took_s)
        own_redis.thaw()

        await until_reading(cache, source)

    assert slowest_s < 0.06 + 0.05, "the deadline, and what a busy machine needs"
    assert late_s < 0.03, "the breaker is open"


async def until_reading(cache: Cache, source: Source) -> None:
    """Wait until Redis is asked and answers again."""
    shared, began_s = cache.stats.shared_hits, time.monotonic()
    while cache.stats.shared_hits == shared:
        assert time.monotonic() - began_s < 20
        await read(cache, source)
        await asyncio.sleep(0.02)


async def test_while_redis_is_away_answers_are_right_and_afterwards_too(
    own_redis: LocalServer,
) -> None:
    source = Source()
    async with process(own_redis.url, deadline_s=0.2) as cache, process(own_redis.url) as other:
        await read(cache, source)
        own_redis.crash()

        for _ in range(10):
            source.version += 1
            await cache.invalidate(tags=["a"])
            assert await read(cache, source) == source.version
        own_redis.start()
        await until_reading(cache, source)

        assert await read(cache, source) == source.version
        assert await read(other, source) == source.version


async def test_an_invalidation_that_redis_did_not_hear_is_made_up_for(
    own_redis: LocalServer,
) -> None:
    source = Source()
    async with process(own_redis.url, deadline_s=0.05) as cache, process(own_redis.url) as other:
        await read(cache, source)
        own_redis.freeze()
        source.version += 1
        await cache.invalidate(tags=["a"])
        assert await read(cache, source) == source.version
        own_redis.thaw()

        await until_reading(cache, source)

        assert await read(other, source) == source.version


async def test_a_redis_that_forgets_everything_revives_nothing(redis_url: str) -> None:
    source = Source()
    async with process(redis_url, hears=True) as one, process(redis_url) as other:
        admin = Redis.from_url(redis_url)
        for forget in ("FLUSHALL", "versions", "FLUSHALL", "versions"):
            await read(one, source)
            source.version += 1
            await other.invalidate(tags=["a"])
            if forget == "FLUSHALL":
                await admin.flushall()
            else:
                async for key in admin.scan_iter(match="*}:v:*"):
                    await admin.delete(key)
            assert await read(other, source) == source.version
            began_s = time.monotonic()
            while await read(one, source) != source.version:
                assert time.monotonic() - began_s < 10
                await asyncio.sleep(0.005)
        await admin.aclose()


async def test_clocks_of_processes_need_not_agree(redis_url: str) -> None:
    source, wrong = Source(), 0
    ahead = ManualClock(start=datetime(2040, 1, 1, tzinfo=UTC))
    ahead.advance(400 * 86_400)
    behind = ManualClock(start=datetime(1990, 1, 1, tzinfo=UTC))
    async with (
        process(redis_url, clock=ahead) as one,
        process(redis_url, clock=behind) as other,
        process(redis_url) as third,
    ):
        for number in range(30):
            source.version += 1
            teller = (one, other, third)[number % 3]
            if number % 2:
                await teller.invalidate(KEY)
            else:
                await teller.invalidate(tags=["a"])
            loads = source.loads
            for reader in (other, third, one):
                wrong += await read(reader, source) != source.version
            wrong += source.loads != loads + 1

    assert wrong == 0


@pytest.mark.slow
async def test_a_replica_that_takes_over_without_the_last_invalidation_is_told_again(
    own_redis: LocalServer,
) -> None:
    replica = start_redis()
    source = Source()
    primary, copy = Redis.from_url(own_redis.url), Redis.from_url(replica.url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await primary.config_set("port", port)
    await copy.execute_command("REPLICAOF", "127.0.0.1", port)
    try:
        async with process(own_redis.url) as one, process(own_redis.url) as other:
            await read(one, source)
            assert await primary.wait(1, 10_000) == 1
            await copy.execute_command("REPLICAOF", "NO", "ONE")
            source.version += 1
            await other.invalidate(tags=["a"])
            own_redis.crash()
            take_over(one, copy)
            take_over(other, copy)

            assert await read(other, source) == source.version
            assert await read(other, source) == source.version
            assert await read(one, source) == source.version
            async with process(replica.url) as third:
                assert await read(third, source) == source.version
    finally:
        await primary.aclose()
        await copy.aclose()
        replica.remove()


def take_over(cache: Cache, client: Redis) -> None:
    """Let the cache ask another server, as a client with Sentinel does."""
    assert cache._tier is not None
    cache._tier._store = RedisStore(client, deadline_s=5)


async def test_a_redis_that_evicts_is_never_wrong(own_redis: LocalServer) -> None:
    admin = Redis.from_url(own_redis.url)
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    await admin.config_set("maxmemory", str(3 * 2**20))
    source, wrong = Source(), 0
    async with process(own_redis.url) as one, process(own_redis.url) as other:
        for number in range(300):
            filler = CacheKey(region="r", scope="s", name=f"filler-{number}")

            async def large() -> bytes:
                return b"x" * 50_000

            await one.get_or_load(filler, large, freshness=FRESHNESS)
            await read(one, source)
            if number % 3 == 0:
                source.version += 1
                await other.invalidate(tags=["a"])
            wrong += await read(one, source) != source.version
            wrong += await read(other, source) != source.version
        evicted = (await admin.info("stats"))["evicted_keys"]
    await admin.aclose()

    assert evicted > 0
    assert wrong == 0


async def test_ages_are_told_by_the_clock_of_redis(redis_url: str) -> None:
    source = Source()
    freshness = Freshness(ttl_s=0.2, refresh_ahead=0, jitter=0)

    async def ask(cache: Cache) -> bool:
        return (await cache.get_or_load(KEY, source, freshness=freshness)).is_hit

    async with process(redis_url) as one, process(redis_url) as other:
        await ask(one)
        assert await ask(other)
        await asyncio.sleep(0.25)
        assert not await ask(other)


async def test_sixty_four_readers_of_one_turn_ask_redis_once(redis_url: str) -> None:
    source = Source()
    async with process(redis_url) as cache:
        keys = [CacheKey(region="r", scope="s", name=str(number)) for number in range(64)]
        await asyncio.gather(*(read(cache, source, key) for key in keys))
        assert cache._tier is not None
        before = cache._tier.batches

        await asyncio.gather(*(read(cache, source, key) for key in keys))

        assert cache._tier.batches == before + 1
        assert cache.stats.shared_hits == 64


async def test_ten_thousand_keys_are_invalidated_in_one_step(redis_url: str) -> None:
    source = Source()
    async with process(redis_url) as cache:
        keys = [CacheKey(region="r", scope="s", name=str(number)) for number in range(1000)]
        await asyncio.gather(*(read(cache, source, key) for key in keys))
        source.version += 1
        admin = Redis.from_url(redis_url)
        before = (await admin.info("stats"))["total_commands_processed"]

        await cache.invalidate(tags=["a"])

        after = (await admin.info("stats"))["total_commands_processed"]
        await admin.aclose()
        assert after - before < 20
        assert await read(cache, source, keys[500]) == source.version


def test_a_forked_child_starts_with_nothing_of_its_parent(redis_url: str) -> None:
    script = textwrap.dedent(
        """
        import asyncio, os, sys
        from evara_core.caching.cache import Cache
        from evara_core.caching.keys import CacheKey
        from evara_core.caching.redis import RedisStore, redis_client
        from evara_core.caching.redis_backplane import RedisBackplane

        key = CacheKey(region="r", scope="s")
        client, news = (redis_client(sys.argv[1], timeout_s=5) for _ in range(2))
        cache = Cache(l2=RedisStore(client), backplane=RedisBackplane(news), beat_every_s=0.05)

        async def load():
            return b"of " + str(os.getpid()).encode()

        async def parent():
            listening = asyncio.create_task(cache.listen())
            while not cache.is_heard:
                await asyncio.sleep(0.01)
            await cache.get_or_load(key, load)
            assert cache.peek(key) is not None
            cache.memory.lock.acquire()
            listening.cancel()
            await client.aclose()
            await news.aclose()

        asyncio.run(parent())
        origin = cache._tier.origin
        if child := os.fork():
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert not cache.is_heard
        assert cache.peek(key) is None
        assert cache._tier.origin != origin
        asyncio.run(cache.get_or_load(CacheKey(region="r", scope="s", name="new"), load))
        os._exit(0)
        """
    )

    child = subprocess.run(
        [sys.executable, "-c", script, redis_url],
        env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert child.returncode == 0, child.stderr


@dataclass(frozen=True)
class Node:
    id: str


async def test_what_a_user_writes_works_as_it_is_written(redis_url: str) -> None:
    client = redis_client(redis_url, timeout_s=2)
    cache = Cache(
        l1=MemoryStore(max_bytes=64 << 20),
        l2=RedisStore(client, deadline_s=2),
        backplane=RedisBackplane(client),
    )
    asked = []

    @cache.cached(
        ttl="5m",
        stale_for="1h",
        tags=lambda scope, community_id, **_: [f"community:{community_id}"],
        scope="tenant",
    )
    async def nodes_of(scope: str, community_id: str, limit: int = 20) -> list[Node]:
        asked.append((scope, community_id, limit))
        return [Node(f"{community_id}-{len(asked)}")]

    listening = asyncio.create_task(cache.listen())
    await until(lambda: cache.is_heard)

    assert await nodes_of("d1", "42") == await nodes_of("d1", "42", 20) == [Node("42-1")]
    await cache.invalidate(tags=["community:42"])
    assert await nodes_of("d1", community_id="42") == [Node("42-2")]
    assert await nodes_of.refresh("d1", "42") == [Node("42-3")]
    assert nodes_of.peek("d1", "42") == [Node("42-3")]
    assert nodes_of.peek("d2", "42") is None
    assert cache.stats().loads == len(asked) == 3

    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await cache.aclose()
    await client.aclose()
