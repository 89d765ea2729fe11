"""Leases: each store against the shipped suite, and who holds one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import pytest

from evara_core.clock import SystemClock
from evara_core.storage.engine import engine_for
from evara_core.storage.leases import SqlLeaseStore
from evara_core.testing.clock import ManualClock
from evara_core.testing.conformance.leases import LeaseStoreContract
from evara_core.testing.leases import MemoryLeaseStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestMemoryLeaseStore(LeaseStoreContract):
    @pytest.fixture
    def store(self, clock: ManualClock) -> MemoryLeaseStore:
        return MemoryLeaseStore(clock=clock)

    @pytest.fixture
    def let_pass(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        return advancing(clock)


class TestSqliteLeaseStore(LeaseStoreContract):
    @pytest.fixture
    async def store(
        self, sqlite_database_url: str, clock: ManualClock
    ) -> AsyncIterator[SqlLeaseStore]:
        engine = engine_for(sqlite_database_url)
        yield SqlLeaseStore(engine, clock=clock)
        await engine.dispose()

    @pytest.fixture
    def let_pass(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        return advancing(clock)


@pytest.mark.server
class TestPostgresLeaseStore(LeaseStoreContract):
    tick_s = 0.1

    @pytest.fixture
    async def store(self, postgres_database_url: str) -> AsyncIterator[SqlLeaseStore]:
        engine = engine_for(postgres_database_url)
        yield SqlLeaseStore(engine, clock=SystemClock())
        await engine.dispose()

    @pytest.fixture
    def let_pass(self) -> Callable[[float], Awaitable[None]]:
        return anyio.sleep


def advancing(clock: ManualClock) -> Callable[[float], Awaitable[None]]:
    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    return let_pass
