"""The store in memory keeps the promises of its ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from evara_core.errors import StorageUnavailableError
from evara_core.telemetry.mapping import ChannelMapping
from evara_core.telemetry.models import Node, SetAside
from evara_core.telemetry.state import NodeStatus
from evara_core.testing.conformance.monitor import MonitorStoreContract, StoreUnderTest
from evara_core.testing.conformance.telemetry import ReadingStoreContract
from evara_core.testing.memory import MemoryStore


class MemoryStoreUnderTest:
    def __init__(self) -> None:
        self.ingest = self.outbox = self.readings = MemoryStore()

    async def add_node(
        self, node: Node, mapping: ChannelMapping | None, *, read_key: str | None = None
    ) -> None:
        if mapping is not None:
            self.ingest.add(node, mapping, read_key=read_key)

    async def status_counts(self) -> Mapping[NodeStatus, int]:
        return self.ingest.status_counts()

    async def set_aside(self) -> Sequence[SetAside]:
        return list(self.ingest.set_aside)

    async def active_episodes(self) -> frozenset[str]:
        return self.ingest.active_episodes()

    @contextmanager
    def failing(self) -> Iterator[None]:
        self.ingest.fail_next(StorageUnavailableError("gone"))
        yield


class TestMemoryMonitorStore(MonitorStoreContract):
    @pytest.fixture
    def store(self) -> StoreUnderTest:
        return MemoryStoreUnderTest()


class TestMemoryReadingStore(ReadingStoreContract):
    @pytest.fixture
    def readings(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def add_node(self, readings: MemoryStore) -> Callable[[Node, ChannelMapping], Awaitable[None]]:
        async def add(node: Node, mapping: ChannelMapping) -> None:
            readings.add(node, mapping)

        return add
