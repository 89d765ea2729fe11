"""What a client reads, as flows of calls. Performs nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.thingspeak.history import read_history
from evara_core.thingspeak.paging import MAX_ROWS, Rows
from evara_core.thingspeak.resume import LATE_ROWS, read_since

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from evara_core.flow import Flow
    from evara_core.thingspeak.calls import Calls
    from evara_core.thingspeak.keys import Key
    from evara_core.thingspeak.models import Channel, Entry, Page, Position
    from evara_core.thingspeak.paging import Reading
    from evara_core.thingspeak.protocol import Call

__all__ = ["Reads", "RowsFlow"]

RowsFlow: TypeAlias = "Generator[Call[Page] | Rows, Page | None, None]"
"""Asks for pages, and puts out rows on the way."""

# Upstream caches large answers for five minutes; what ends before that is as it will be.
_SETTLED = timedelta(minutes=6)


class Reads:
    """The reads of one client.

    Args:
        calls: Makes the calls.
        with_status: Ask for each entry's status.
        with_location: Ask for each entry's latitude, longitude and elevation.
    """

    def __init__(
        self, calls: Calls, *, with_status: bool = False, with_location: bool = False
    ) -> None:
        self._calls = calls
        self._extras = ("&status=true" if with_status else "") + (
            "&location=true" if with_location else ""
        )

    def last(self, channel_id: int, key: Key | None) -> Flow[Call[Any], Any, Entry | None]:
        """Return the newest entry by id; None only if the channel holds none.

        Raises:
            AccessDeniedError: The channel is private and the key does not open it.
        """
        entry: Entry | None = yield self._calls.last(channel_id, key, extras=self._extras)
        if entry is None:
            # `-1` is "no data" as well as "no access". An answer without rows tells which.
            yield self._calls.feed(channel_id, key, rows=0)
        return entry

    def channel(self, channel_id: int, key: Key | None) -> Flow[Call[Any], Any, Channel]:
        """Return the channel's labels, newest id and metadata."""
        page: Page = yield self._calls.feed(channel_id, key, rows=0, extras="&metadata=true")
        return page.channel

    def entries(
        self,
        channel_id: int,
        key: Key | None,
        *,
        start: datetime | None,
        end: datetime | None,
        rows: int = MAX_ROWS,
        now: datetime,
    ) -> RowsFlow:
        """Read from *start* to *end*, each row once, oldest first."""
        is_past = end is not None and end < now - _SETTLED
        return self._ask(channel_id, key, read_history(start, end, is_past=is_past, rows=rows))

    def entries_since(
        self,
        channel_id: int,
        key: Key | None,
        position: Position | None,
        *,
        rows: int = MAX_ROWS,
        late_rows: int = LATE_ROWS,
    ) -> RowsFlow:
        """Read what came after *position*, in the order of the ids."""
        return self._ask(channel_id, key, read_since(position, rows=rows, late_rows=late_rows))

    def _ask(self, channel_id: int, key: Key | None, reading: Reading) -> RowsFlow:
        """Turn the windows that *reading* wants into calls."""
        feed, extras = self._calls.feed, self._extras
        try:
            ask = next(reading)
            while True:
                if isinstance(ask, Rows):
                    yield ask
                    ask = reading.send(None)
                else:
                    page = yield feed(
                        channel_id, key, rows=ask.rows, start=ask.start, end=ask.end, extras=extras
                    )
                    ask = reading.send(page)
        except StopIteration:
            return
        finally:
            reading.close()
