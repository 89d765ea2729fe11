"""The store and the bus of the simulated fleet, and the life of a process that uses them."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from random import Random

import anyio
from typing_extensions import override

from evara_core.errors import StorageUnavailableError, UpstreamError
from evara_core.monitor.ports import IngestStore, OutboxStore
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Bus
from evara_core.telemetry.models import Quality
from evara_core.telemetry.ports import ReadingStore
from evara_core.testing.memory import MemoryStore

RECENT = 48
"""Readings of a node that are kept whole, for rules that look back."""

UNUSABLE = {Quality.BAD, Quality.MISSING}


class Life:
    """One process, from its start to its end: killed, it does nothing more, nowhere."""

    def __init__(self, chance: Random, crash_rate: float) -> None:
        self._chance = chance
        self._crash_rate = crash_rate
        self.scope = anyio.CancelScope()
        self.is_over = False

    def kill(self) -> None:
        self.is_over = True
        self.scope.cancel()

    async def gate(self) -> None:
        """Go on, or die right here."""
        if not self.is_over and self._chance.random() < self._crash_rate:
            self.kill()
        if self.is_over:
            # Whoever is killed does not come to what follows; a shielded wait runs out.
            await anyio.sleep_forever()


class Lived:
    """A port as one process sees it: it may die before and after each call."""

    def __init__(self, port, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name):
        method = getattr(self._port, name)

        async def call(*args, **more):
            await self._life.gate()
            found = await method(*args, **more)
            await self._life.gate()
            return found

        setattr(self, name, call)
        return call


@dataclass
class Kept:
    """What the store holds of a node, as far as the truth asks for it."""

    levels: dict[tuple[float, int], float | None] = field(default_factory=dict)
    """By time and id, in the order in which they were stored. None: not known."""

    recent: deque = field(default_factory=lambda: deque(maxlen=RECENT))
    offered_twice: int = 0


class SimulatedStore(IngestStore, OutboxStore, ReadingStore):
    """A `MemoryStore` in trouble that keeps of old readings only what the truth asks for."""

    def __init__(self, *, chance: Random, trouble: float) -> None:
        self.inner = MemoryStore()
        self.kept: dict[str, Kept] = {}
        self.alert_messages: list = []
        """All that were ever stored, in order."""

        self.counts: Counter[str] = Counter()
        self.is_away = False
        self._chance = chance
        self._trouble = trouble

    def add(self, node, mapping) -> None:
        self.inner.add(node, mapping)
        self.kept[node.node_id] = Kept()

    @override
    async def watched(self):
        await self._answer()
        return await self.inner.watched()

    @override
    async def ingest(self, updates):
        await self._answer()
        for update in updates:
            if any(r.values["battery_v"].value == 6.66 for r in update.readings):
                raise ValueError("a battery cannot have 6.66 V")
        report = await self.inner.ingest([replace(u, readings=()) for u in updates])
        stored = offered = 0
        for update in updates:
            offered += len(update.readings)
            stored += self._keep(update)
        self.counts["commits"] += 1
        await self._broken_off()
        return replace(report, stored=stored, duplicates=offered - stored)

    def _keep(self, update) -> int:
        kept, stored = self.kept[update.node.node_id], 0
        for reading in update.readings:
            key = (reading.measured_at.timestamp(), reading.entry_id)
            if key in kept.levels:
                kept.offered_twice += 1
                continue
            level = reading.values["level_percent"]
            kept.levels[key] = None if level.quality in UNUSABLE else level.value
            kept.recent.append(reading)
            stored += 1
        for message in update.messages:
            self.counts[message.kind] += 1
            if message.kind == "alert":
                self.alert_messages.append(message)
        return stored

    @override
    async def unpublished(self, *, limit):
        await self._answer()
        return await self.inner.unpublished(limit=limit)

    @override
    async def mark_published(self, message_ids):
        await self._answer()
        await self.inner.mark_published(message_ids)
        await self._broken_off()

    @override
    async def prune(self, *, keep):
        await self._answer()
        return await self.inner.prune(keep=keep)

    @override
    async def append(self, readings):
        raise NotImplementedError

    @override
    async def latest(self, node_ids):
        return {i: self.kept[i].recent[-1] for i in node_ids if self.kept[i].recent}

    @override
    async def between(self, node_id, start, end, *, limit):
        await self._answer()
        found = [r for r in self.kept[node_id].recent if start <= r.measured_at < end]
        return sorted(found, key=lambda r: (r.measured_at, r.entry_id))[:limit]

    async def _answer(self) -> None:
        if self._chance.random() < 0.3:
            await anyio.sleep(self._chance.uniform(0.001, 0.2))
        if self.is_away or self._chance.random() < self._trouble:
            self.counts["failed"] += 1
            raise StorageUnavailableError("the store is away")

    async def _broken_off(self) -> None:
        if self._chance.random() < self._trouble:
            self.counts["broken off"] += 1
            raise StorageUnavailableError("the connection broke at the commit")


class SimulatedBus(Bus):
    """A bus in trouble: away, restarted without its history, delivering twice."""

    def __init__(self, *, chance: Random, trouble: float) -> None:
        self._chance = chance
        self._trouble = trouble
        self._lives = 0
        self.is_away = False
        self._inner = self._new()

    def _new(self) -> MemoryBus:
        self._lives += 1
        return MemoryBus(history=5_000, new_epoch=lambda: f"{self._lives:08x}")

    async def restart(self) -> None:
        old, self._inner = self._inner, self._new()
        await old.aclose()

    @override
    async def publish(self, messages):
        draw = self._chance.random()
        if self.is_away or draw < self._trouble:
            raise UpstreamError("the bus is away")
        await self._inner.publish(messages)
        if draw > 1 - self._trouble:
            raise UpstreamError("the bus took it and did not say so")
        if draw > 1 - 2 * self._trouble:
            await self._inner.publish(messages[-3:])

    @override
    async def end(self):
        self._check()
        return await self._inner.end()

    @override
    async def read(self, after, *, wait_s, limit=1000):
        self._check()
        return await self._inner.read(after, wait_s=wait_s, limit=limit)

    @override
    def is_after(self, position, other):
        return self._inner.is_after(position, other)

    @override
    async def aclose(self):
        await self._inner.aclose()

    def _check(self) -> None:
        if self.is_away:
            raise UpstreamError("the bus is away")
