"""A client as a source of entries for somebody who polls many channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.errors import ChannelReset
from evara_core.thingspeak.keys import as_key
from evara_core.thingspeak.paging import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evara_core.thingspeak.client import AsyncClient
    from evara_core.thingspeak.keys import Key
    from evara_core.thingspeak.models import Entry, Position

__all__ = ["ChannelSource"]


class ChannelSource:
    """Entries of any number of channels, through one client and its few connections.

    It fulfils `evara_core.monitor.ports.Source`.

    Args:
        client: Asks. It stays open.
        batch_entries: How many entries to return at most; the next call goes on after them.
        on_reset: Told when a channel was cleared or rewritten. It is then read again from
            its beginning: who stores rows under their time and id keeps those that are the
            same.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        batch_entries: int = BATCH_ENTRIES,
        on_reset: Callable[[ChannelReset], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._batch_entries = batch_entries
        self._on_reset = on_reset

    async def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: str | None
    ) -> Sequence[Entry]:
        """Return what came after *position*, by id; the position is then that of the last.

        Rows that are no entries are among them, as `MalformedEntry`.

        Raises:
            UpstreamError: It cannot be had now.
        """
        key = as_key(read_key)
        del read_key  # or a traceback with local variables would show it
        try:
            return await self._since(channel_id, position, key)
        except ChannelReset as reset:
            self._on_reset(reset)
        return await self._since(channel_id, None, key)

    async def _since(
        self, channel_id: int, position: Position | None, key: Key | None
    ) -> Sequence[Entry]:
        return await self._client.batch_since(
            channel_id, position, most=self._batch_entries, read_key=key, with_malformed=True
        )
