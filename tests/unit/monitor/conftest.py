"""A monitor in memory, in simulated time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import anyio
import pytest

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.testing.memory import MemoryStore
from evara_core.testing.samples import mapping_for, tank
from evara_core.testing.simulated import SimulatedTime
from evara_core.testing.source import MemorySource

LOW = AlertRule(id="low", kind="tank", when=expr("level_percent < 20"), hold=timedelta(minutes=2))


@dataclass
class World:
    """Everything around a monitor."""

    time: SimulatedTime = field(default_factory=SimulatedTime)
    store: MemoryStore = field(default_factory=MemoryStore)
    source: MemorySource = field(init=False)
    bus: MemoryBus = field(default_factory=MemoryBus)
    settings: MonitorSettings = field(default_factory=MonitorSettings)
    rules: tuple[AlertRule, ...] = (LOW,)

    def __post_init__(self) -> None:
        self.source = MemorySource(sleep=self.time.sleep)

    def watch(self, *node_ids: str, **fields: object) -> None:
        for node_id in node_ids:
            channel_id = len(self.source.channels) + 1
            self.source.write(channel_id)
            self.store.add(replace(tank(node_id), **fields), mapping_for(channel_id))

    def monitor(self, *, judge: object = None) -> Monitor:
        return Monitor(
            store=self.store,
            outbox=self.store,
            readings=self.store,
            source=self.source,
            bus=self.bus,
            judge=judge or AlertEngine(self.rules),
            clock=self.time,
            settings=self.settings,
            sleep=self.time.sleep,
        )

    @asynccontextmanager
    async def running(self, monitor: Monitor | None = None) -> AsyncIterator[Monitor]:
        monitor = monitor or self.monitor()
        async with anyio.create_task_group() as tasks:
            await tasks.start(run_monitor, monitor)
            yield monitor
            tasks.cancel_scope.cancel()

    async def published(self) -> list[Message]:
        position = "0-0"
        messages: list[Message] = []
        while True:
            batch = await self.bus.read(position, wait_s=0)
            messages += [delivery.message for delivery in batch.deliveries]
            if not batch.deliveries:
                return messages
            position = batch.position


async def run_monitor(monitor: Monitor, *, task_status: object) -> None:
    await monitor.run(task_status=task_status)


@pytest.fixture
def world() -> World:
    return World()


def ids_of(readings: Iterable[object]) -> list[int]:
    return [reading.entry_id for reading in readings]
