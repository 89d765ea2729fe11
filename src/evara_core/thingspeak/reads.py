"""What a client reads, as flows of calls. Performs nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from evara_core.thingspeak.history import read_history
from evara_core.thingspeak.keys import as_key
from evara_core.thingspeak.paging import FRESH_ROWS, MAX_ROWS
from evara_core.thingspeak.resume import VainSearches, all_since, first_moment, read_since

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from evara_core.flow import Flow
    from evara_core.thingspeak.calls import Calls
    from evara_core.thingspeak.keys import AnyKey, Key
    from evara_core.thingspeak.messages import Call
    from evara_core.thingspeak.models import Channel, Entry, Position
    from evara_core.thingspeak.paging import Reading, Window
    from evara_core.thingspeak.rows import Page

__all__ = ["Reads", "RowsFlow"]


class RowsFlow(NamedTuple):
    """A reading of many rows, and how to ask for what it wants."""

    reading: Reading
    call_of: Callable[[Window], Call[Page]]


# Upstream caches large answers for five minutes; what ends before that is as it will be.
_SETTLED = timedelta(minutes=6)


class Reads:
    """The reads of one client.

    Methods wrap the key they are given before the flow begins: a flow's frame with the
    text of a key in it would show it in a traceback with local variables.

    Args:
        calls: Makes the calls.
        read_key: The key where none is given.
        with_status: Ask for each entry's status.
        with_location: Ask for each entry's latitude, longitude and elevation.
        page_rows: How many rows to ask for at once.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        read_key: AnyKey = None,
        with_status: bool = False,
        with_location: bool = False,
        page_rows: int = MAX_ROWS,
    ) -> None:
        self._calls = calls
        self._key = as_key(read_key)
        self._page_rows = page_rows
        self._fresh_rows = min(FRESH_ROWS, page_rows)
        self._searches = VainSearches()
        self._extras = ("&status=true" if with_status else "") + (
            "&location=true" if with_location else ""
        )

    def key(self, key: AnyKey) -> Key | None:
        """Return *key* wrapped, or the client's own for None."""
        return self._key if key is None else as_key(key)

    def last(self, channel_id: int, key: AnyKey) -> Flow[Call[Any], Any, Entry | None]:
        """Return the newest entry by id; None only if the channel holds none.

        Raises:
            AccessDeniedError: The channel is private and the key does not open it.
        """
        own = self.key(key)
        return self._or_nothing(
            self._calls.last(channel_id, own, extras=self._extras), channel_id, own
        )

    def last_of_field(
        self, channel_id: int, field: int, key: AnyKey
    ) -> Flow[Call[Any], Any, Entry | None]:
        """Return the newest entry in which *field* was sent; None only if there is none."""
        own = self.key(key)
        return self._or_nothing(
            self._calls.last_of_field(channel_id, field, own, extras=self._extras), channel_id, own
        )

    def age_s(self, channel_id: int, key: AnyKey) -> Flow[Call[Any], Any, float | None]:
        """Return how old the newest entry is, by the server; None only if there is none."""
        own = self.key(key)
        return self._or_nothing(self._calls.age(channel_id, own), channel_id, own)

    def channel(self, channel_id: int, key: AnyKey) -> Flow[Call[Any], Any, Channel]:
        """Return the channel's labels, newest id and metadata."""
        call = self._calls.feed(channel_id, self.key(key), rows=0, extras="&metadata=true")
        return _channel(call)

    def entries(
        self,
        channel_id: int,
        key: AnyKey,
        *,
        start: datetime | None,
        end: datetime | None,
        now: datetime,
    ) -> RowsFlow:
        """Read from *start* to *end*, each row once, oldest first."""
        is_past = end is not None and end < now - _SETTLED
        reading = read_history(start, end, is_past=is_past, rows=self._page_rows)
        return self._ask(channel_id, key, reading)

    def entries_since(
        self,
        channel_id: int,
        key: AnyKey,
        position: Position | None,
        page: Page | None = None,
    ) -> RowsFlow:
        """Read what came after *position*, in the order of the ids.

        *page* is the answer to `first_since`, if it is there already.
        """
        reading = read_since(position, page=page, rows=self._page_rows, searches=self._searches)
        return self._ask(channel_id, key, reading)

    def first_since(
        self, channel_id: int, key: Key | None, position: Position | None
    ) -> Call[Page]:
        """Ask for what nearly always is all that came after *position*."""
        start = first_moment(position)
        return self._calls.feed(
            channel_id, key, rows=self._fresh_rows, start=start, extras=self._extras
        )

    def all_since(self, page: Page, position: Position | None) -> list[Entry] | None:
        """Return what came after *position*; None if *page* alone does not tell."""
        return all_since(page, position, rows=self._page_rows)

    def _or_nothing(
        self, call: Call[Any], channel_id: int, key: Key | None
    ) -> Flow[Call[Any], Any, Any]:
        answer = yield call
        if answer is None:
            # `-1` is "no data" as well as "no access". An answer without rows tells which.
            yield self._calls.feed(channel_id, key, rows=0)
        return answer

    def _ask(self, channel_id: int, key: AnyKey, reading: Reading) -> RowsFlow:
        feed, own, extras = self._calls.feed, self.key(key), self._extras
        del key

        def call_of(window: Window) -> Call[Page]:
            rows, start, end = window
            return feed(channel_id, own, rows=rows, start=start, end=end, extras=extras)

        return RowsFlow(reading, call_of)


def _channel(call: Call[Page]) -> Flow[Call[Any], Any, Channel]:
    page: Page = yield call
    return page.channel
