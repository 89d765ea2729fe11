"""Shards: each store against the shipped suite, and what SQL makes of a fence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import pytest

from evara_core.clock import SystemClock
from evara_core.monitor.shards import ShardStore
from evara_core.storage.engine import engine_for
from evara_core.storage.shards import SqlShardStore
from evara_core.testing.clock import ManualClock
from evara_core.testing.conformance.shards import ShardStoreContract
from evara_core.testing.shards import MemoryShardStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestMemoryShardStore(ShardStoreContract):
    @pytest.fixture
    def make_store(self, clock: ManualClock) -> Callable[[], ShardStore]:
        shared = MemoryShardStore(clock=clock)
        return lambda: shared

    @pytest.fixture
    def let_pass(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        return advancing(clock)


class TestSqliteShardStore(ShardStoreContract):
    @pytest.fixture
    async def make_store(
        self, sqlite_database_url: str, clock: ManualClock
    ) -> AsyncIterator[Callable[[], ShardStore]]:
        engine = engine_for(sqlite_database_url)
        yield lambda: SqlShardStore(engine, clock=clock)
        await engine.dispose()

    @pytest.fixture
    def let_pass(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        return advancing(clock)


@pytest.mark.server
class TestPostgresShardStore(ShardStoreContract):
    tick_s = 0.1

    @pytest.fixture
    async def make_store(
        self, postgres_database_url: str
    ) -> AsyncIterator[Callable[[], ShardStore]]:
        engine = engine_for(postgres_database_url)
        yield lambda: SqlShardStore(engine, clock=SystemClock())
        await engine.dispose()

    @pytest.fixture
    def let_pass(self) -> Callable[[float], Awaitable[None]]:
        return anyio.sleep


def advancing(clock: ManualClock) -> Callable[[float], Awaitable[None]]:
    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    return let_pass
