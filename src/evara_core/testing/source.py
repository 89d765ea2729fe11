"""Channels in memory, to be read by a monitor without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.errors import ChannelNotFoundError
from evara_core.monitor.ports import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.thingspeak.models import Entry, Position

__all__ = ["MemorySource"]


class MemorySource(Source):
    """Channels that hold what a test wrote, and fail when it says so."""

    def __init__(self, *, page: int = 8_000) -> None:
        self._channels: dict[int, list[Entry]] = {}
        self._faults: dict[int, list[Exception]] = {}
        self._page = page
        self.outage: Exception | None = None
        """Every channel fails with this while it is set."""

        self.asked: list[int] = []
        """The channels that were read, in order."""

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
        if self.outage is not None:
            raise self.outage
        if faults := self._faults.get(channel_id):
            raise faults.pop(0)
        if channel_id not in self._channels:
            raise ChannelNotFoundError
        entries = self._channels[channel_id]
        return entries[_after(entries, position) :][: self._page]


def _after(entries: Sequence[Entry], position: Position | None) -> int:
    """Return where what came after *position* begins, in the order of insertion."""
    if position is None:
        return 0
    for index in range(len(entries) - 1, -1, -1):
        known = entries[index]
        if (known.entry_id, known.created_at) == (position.entry_id, position.created_at):
            return index + 1
    return 0
