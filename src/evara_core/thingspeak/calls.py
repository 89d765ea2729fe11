"""The calls that ThingSpeak knows: what to send, and how to read what comes. Performs nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evara_core.errors import InvalidInputError
from evara_core.thingspeak.messages import FORM, Call, Request
from evara_core.thingspeak.outgoing import render_bulk, render_bulk_csv, render_update
from evara_core.thingspeak.protocol import (
    read_age,
    read_bulk,
    read_entry,
    read_feed,
    read_update,
)
from evara_core.thingspeak.times import render_query_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.thingspeak.keys import Key
    from evara_core.thingspeak.models import Entry, NewEntry, Receipt
    from evara_core.thingspeak.rows import Page

__all__ = ["Calls"]


class Calls:
    """Makes calls.

    Args:
        is_key_in_url: Send keys as a query parameter. They then stand in the logs of every
            proxy on the way; only for servers that do not read the header.
        is_bulk_csv: Send bulk updates as CSV where that can say all that they hold.
    """

    def __init__(self, *, is_key_in_url: bool = False, is_bulk_csv: bool = False) -> None:
        self._is_key_in_url = is_key_in_url
        self._is_bulk_csv = is_bulk_csv

    def feed(
        self,
        channel_id: int,
        key: Key | None,
        *,
        rows: int,
        start: datetime | None = None,
        end: datetime | None = None,
        extras: str = "",
    ) -> Call[Page]:
        """The newest *rows* rows from *start* to *end*.

        Args:
            channel_id: Which channel.
            key: A read or write key of it; None: it is public.
            rows: At most 8,000. Above 100 the answer may be five minutes old.
            start: Included; None: from the beginning, if *rows* is not 0.
            end: Included; None: up to the server's now.
            extras: More query parameters, each with an ampersand before it.
        """
        target = f"/channels/{_checked(channel_id)}/feeds.json?results={rows}"
        if start is not None:
            target += "&start=" + render_query_time(start)
        if end is not None:
            target += "&end=" + render_query_time(end)
        if extras:
            target += extras
        request = Request(target, key, "GET", None, None, self._is_key_in_url)
        read = read_feed if start is None else partial(read_feed, since=start)
        return Call(request, read, channel_id)

    def last(self, channel_id: int, key: Key | None, *, extras: str = "") -> Call[Entry | None]:
        """The newest row by id; None: no data, or no access."""
        target = f"/channels/{_checked(channel_id)}/feeds/last.json"
        if extras:
            target += "?" + extras[1:]
        return Call(self._get(target, key), read_entry, channel_id)

    def last_of_field(
        self, channel_id: int, field: int, key: Key | None, *, extras: str = ""
    ) -> Call[Entry | None]:
        """The newest row in which *field* was sent; None: no data, or no access."""
        target = f"/channels/{_checked(channel_id)}/fields/{_field(field)}/last.json"
        if extras:
            target += "?" + extras[1:]
        return Call(self._get(target, key), read_entry, channel_id)

    def age(self, channel_id: int, key: Key | None) -> Call[float | None]:
        """How many seconds old the newest row is; None: no data, or no access."""
        target = f"/channels/{_checked(channel_id)}/feeds/last_data_age.json"
        return Call(self._get(target, key), read_age, channel_id)

    def update(
        self, channel_id: int, key: Key | None, entry: NewEntry, *, interval_s: float
    ) -> Call[Receipt]:
        """Write one row. Which channel it goes to, the key decides alone."""
        request = Request(
            method="POST",
            target="/update.json",
            body=render_update(entry),
            content_type=FORM,
            key=key,
            is_key_in_url=self._is_key_in_url,
        )
        read = partial(read_update, interval_s=interval_s)
        return Call(request, read, _checked(channel_id), is_repeatable=False)

    def bulk_update(
        self, channel_id: int, key: Key | None, entries: Sequence[NewEntry | Entry]
    ) -> Call[None]:
        """Write many rows. That they were accepted is all that the answer says."""
        form = render_bulk_csv(entries) if self._is_bulk_csv else None
        what = "json" if form is None else "csv"
        request = Request(
            method="POST",
            target=f"/channels/{_checked(channel_id)}/bulk_update.{what}",
            body=render_bulk(entries) if form is None else form,
            content_type="application/json" if form is None else FORM,
            key=key,
            is_key_in_body=True,
        )
        return Call(request, read_bulk, channel_id, is_repeatable=False)

    def _get(self, target: str, key: Key | None) -> Request:
        return Request(target, key, "GET", None, None, self._is_key_in_url)


def _checked(channel_id: int) -> int:
    if type(channel_id) is not int or channel_id < 0:
        problem = f"a channel id is a whole number, not {channel_id!r}"
        raise InvalidInputError(problem)
    return channel_id


def _field(number: int) -> int:
    if number not in range(1, 9):
        problem = f"fields are numbered 1 to 8, not {number!r}"
        raise InvalidInputError(problem)
    return number
