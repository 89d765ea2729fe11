"""The stores of idempotency keys, against the suite that ships."""

from __future__ import annotations

import socket
import time

import pytest
from sqlalchemy import MetaData

from evara_core.adapters.redis import RedisIdempotencyStore
from evara_core.api.idempotency import Begun, MemoryIdempotencyStore, Running
from evara_core.caching.redis import redis_client
from evara_core.errors import StorageUnavailableError
from evara_core.storage.engine import engine_for
from evara_core.storage.idempotency import SqlIdempotencyStore, idempotency_table
from evara_core.testing.conformance.idempotency import KEY, OTHER_KEY, IdempotencyStoreContract


class TestMemoryStore(IdempotencyStoreContract):
    @pytest.fixture
    def store(self, clock):
        return MemoryIdempotencyStore(clock=clock, policy=self.policy())

    @pytest.fixture
    def let_pass(self, clock):
        return clock.advance

    async def test_forgets_the_oldest_when_it_is_full(self, clock):
        store = MemoryIdempotencyStore(clock=clock, most_keys=1)
        await store.begin(KEY)
        await store.begin(OTHER_KEY)

        assert await store.begin(OTHER_KEY) == Running()
        assert await store.begin(KEY) == Begun()


class SqlStoreContract(IdempotencyStoreContract):
    @pytest.fixture
    async def store(self, clock, url):
        metadata = MetaData()
        table = idempotency_table(metadata)
        engine = engine_for(url)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield SqlIdempotencyStore(engine, table, clock=clock, policy=self.policy())
        await engine.dispose()

    @pytest.fixture
    def let_pass(self, clock):
        return clock.advance

    async def test_prunes_what_is_over(self, store, let_pass):
        await store.begin(KEY)
        let_pass(self.tick_s)
        await store.begin(OTHER_KEY)

        assert await store.prune() == 1
        assert await store.begin(OTHER_KEY) == Running()


class TestSqliteStore(SqlStoreContract):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/keys.db"


@pytest.mark.server
class TestPostgresStore(SqlStoreContract):
    @pytest.fixture
    def url(self, postgres_url):
        return postgres_url


@pytest.mark.server
class TestRedisStore(IdempotencyStoreContract):
    tick_s = 0.05

    @pytest.fixture
    async def store(self, redis_url):
        client = redis_client(redis_url, timeout_s=5)
        yield RedisIdempotencyStore(client, policy=self.policy(), deadline_s=5)
        await client.aclose()

    @pytest.fixture
    def let_pass(self):
        return lambda seconds: time.sleep(seconds + 0.01)


async def test_without_redis_nothing_is_run_that_might_run_twice():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = redis_client(f"redis://127.0.0.1:{port}")

    with pytest.raises(StorageUnavailableError):
        await RedisIdempotencyStore(client).begin(KEY)
    await client.aclose()
