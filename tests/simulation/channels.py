"""What is true: devices, the rows that they sent, and the channels that hold them."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import anyio
from typing_extensions import override

from evara_core.errors import (
    ChannelReset,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamTimeoutError,
)
from evara_core.monitor.ports import Source
from evara_core.thingspeak.models import Entry, MalformedEntry, Position

JUNK = ("nan", "inf", "", "junk", None, "-5", "1e400", "99999", " 12 34", "0x1F")
"""What devices send for a level that is none."""

POISON = "6.66"
"""A voltage that the store refuses whatever happens."""


@dataclass
class Device:
    """A tank that reports, sometimes nonsense, sometimes nothing for a while."""

    node_id: str
    channel_id: int
    interval_s: float
    chance: Random
    entries: list[Entry] = field(default_factory=list)
    """All that was ever sent, in the order of sending."""

    written_s: list[float] = field(default_factory=list)
    """When each of them arrived in the channel."""

    held_from: int = 0
    """The channel holds what was sent from here on: it was cleared before."""

    silences: list[tuple[float, float]] = field(default_factory=list)

    def plan(self, duration_s: float, start) -> None:
        """Decide all that it will send."""
        chance = self.chance
        period_s, phase = chance.uniform(8, 40) * 3600, chance.uniform(0, math.tau)
        middle, swing = chance.uniform(30, 70), chance.uniform(5, 45)
        at_s = chance.uniform(0, self.interval_s)
        number = 0
        while at_s < duration_s:
            number += 1
            wave = middle + swing * math.sin(math.tau * at_s / period_s + phase)
            level_cm = 2.0 * min(99.0, max(1.0, wave + chance.gauss(0, 0.3)))
            text = f"{level_cm:.1f}"
            made_s, draw = at_s, chance.random()
            if draw < 0.02:
                text = chance.choice(JUNK)
            elif draw < 0.03:
                # It comes late, with an older time and no level: a row of another field.
                text, made_s = None, at_s - chance.uniform(0.1, 3.0) * self.interval_s
            elif draw < 0.031:
                made_s = -40 * 365 * 86_400.0
            created_at = (start + timedelta(seconds=made_s)).replace(microsecond=0)
            battery = POISON if chance.random() < 0.0003 else f"{chance.uniform(3.5, 4.1):.2f}"
            fields = {1: text, 2: battery}
            self.entries.append(Entry(entry_id=number, created_at=created_at, fields=fields))
            self.written_s.append(at_s)
            if chance.random() < 0.004:
                silence_s = chance.uniform(2, 30) * self.interval_s
                self.silences.append((at_s, at_s + silence_s))
                at_s += silence_s
            at_s += self.interval_s * chance.uniform(0.98, 1.02)

    def clear(self, now_s: float) -> None:
        """Empty the channel, as its owner can: its entry ids start again at 1."""
        self.held_from = sent = self.sent_by(now_s)
        for number, index in enumerate(range(sent, len(self.entries)), start=1):
            self.entries[index] = replace(self.entries[index], entry_id=number)

    def sent_by(self, now_s: float) -> int:
        """Return how many rows were sent until *now_s*."""
        return bisect.bisect_right(self.written_s, now_s)


class SimulatedSource(Source):
    """Channels that hold what devices have sent by now, behind an upstream in trouble."""

    def __init__(self, devices, *, chance: Random, trouble: float, now_s, page: int) -> None:
        self._devices = {device.channel_id: device for device in devices}
        self._chance = chance
        self._trouble = trouble
        self._now_s = now_s
        self._page = page
        self.outage: Exception | None = None
        self.asked = 0
        self.failed = 0

    @override
    async def entries_since(self, channel_id, position, *, read_key):
        self.asked += 1
        chance = self._chance
        await anyio.sleep(chance.uniform(0.05, 0.6))
        if self.outage is not None:
            self.failed += 1
            raise self.outage
        draw = chance.random()
        if draw < self._trouble:
            self.failed += 1
            await self._suffer(chance)
        found = self._since(self._devices[channel_id], position)
        if draw > 1 - self._trouble and found:
            return self._disordered(found)
        return found

    @staticmethod
    async def _suffer(chance: Random) -> None:
        kind = chance.randrange(5)
        if kind == 0:
            await anyio.sleep(chance.uniform(20, 100))
        errors = (
            UpstreamTimeoutError("no answer in time"),
            RateLimitedError(retry_after_s=chance.uniform(1, 30)),
            UpstreamError("502 Bad Gateway"),
            UpstreamGarbageError("the body is no JSON"),
            ValueError("garbage that nobody thought of"),
        )
        raise errors[kind]

    def _since(self, device: Device, position: Position | None):
        sent = device.sent_by(self._now_s())
        held = range(device.held_from, sent)
        if position is None:
            return device.entries[held.start : sent][: self._page]
        for index in reversed(held):
            if Position.of(device.entries[index]) == position:
                return device.entries[index + 1 : sent][: self._page]
        newest = device.entries[sent - 1].entry_id if held else None
        raise ChannelReset(device.channel_id, position.entry_id, newest)

    def _disordered(self, found):
        """Deliver rows twice, or with one that is no entry among them.

        Their order is that of the channel: a source promises it, and times are in disorder.
        """
        if self._chance.random() < 0.5:
            return [*found[: len(found) // 2 + 1], *found]
        broken = MalformedEntry(
            entry_id=found[0].entry_id,
            created_at=found[0].created_at,
            fields={},
            reason="a field is a list",
            body="{}",
            is_numbered=False,
        )
        return [broken, *found]
