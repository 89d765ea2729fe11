"""Channels in memory, to be read by a monitor without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from evara_core.errors import ChannelNotFoundError, ChannelReset
from evara_core.monitor.ports import Source
from evara_core.thingspeak.models import Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.monitor.waiting import Sleep
    from evara_core.thingspeak.models import Entry

__all__ = ["MemorySource"]


class MemorySource(Source):
    """Channels that hold what a test wrote, and fail when it says so."""

    def __init__(self, *, page: int = 8_000, sleep: Sleep = anyio.sleep) -> None:
        self._sleep = sleep
        self._channels: dict[int, list[Entry]] = {}
        self._faults: dict[int, list[Exception]] = {}
        self._page = page
        self.outage: Exception | None = None
        """Every channel fails with this while it is set."""

        self.asked: list[int] = []
        """The channels that were read, in order."""

        self.delay_s = 0.0
        """How long an answer takes, on the clock that `sleep` belongs to."""

        self.slow: dict[int, float] = {}
        """How long it takes for some channels."""

    @property
    def channels(self) -> frozenset[int]:
        """The channels that there are."""
        return frozenset(self._channels)

    def write(self, channel_id: int, entries: Iterable[Entry] = ()) -> None:
        """Append *entries* to a channel, which need not have been there."""
        self._channels.setdefault(channel_id, []).extend(entries)

    def clear(self, channel_id: int) -> None:
        """Empty a channel, as its owner can: its entry ids start again at 1."""
        self._channels[channel_id] = []

    def fail_next(self, channel_id: int, error: Exception) -> None:
        """Let the next look at a channel raise *error*."""
        self._faults.setdefault(channel_id, []).append(error)

    @override
    async def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: str | None
    ) -> Sequence[Entry]:
        self.asked.append(channel_id)
        if delay_s := self.slow.get(channel_id, self.delay_s):
            await self._sleep(delay_s)
        if self.outage is not None:
            raise self.outage
        if faults := self._faults.get(channel_id):
            raise faults.pop(0)
        if channel_id not in self._channels:
            raise ChannelNotFoundError
        entries = self._channels[channel_id]
        if position is None:
            return entries[: self._page]
        for index in range(len(entries) - 1, -1, -1):
            if Position.of(entries[index]) == position:
                return entries[index + 1 :][: self._page]
        newest = entries[-1].entry_id if entries else None
        raise ChannelReset(channel_id, position.entry_id, newest)
