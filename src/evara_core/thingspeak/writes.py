"""What a client writes, as flows of calls. Performs nothing.

An update that got no answer may have been stored. It is not sent again before a look at
the channel says that it was not: every row carries its own time, so it can be found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.errors import (
    AccessDeniedError,
    ConflictError,
    RateLimitedError,
    UpstreamError,
    UpstreamOpenError,
)
from evara_core.thingspeak.keys import as_key
from evara_core.thingspeak.outgoing import check_entry
from evara_core.thingspeak.paging import FRESH_ROWS
from evara_core.thingspeak.retries import Pause, asked_pause_s
from evara_core.thingspeak.times import render_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.flow import Flow
    from evara_core.thingspeak.calls import Calls
    from evara_core.thingspeak.keys import AnyKey, Key
    from evara_core.thingspeak.messages import Call
    from evara_core.thingspeak.models import Entry, Licence, NewEntry, Receipt
    from evara_core.thingspeak.rows import Page

__all__ = ["WriteFlow", "WritePolicy", "Writer", "Writers", "write_entry"]

WriteFlow: TypeAlias = "Flow[Call[Any] | Pause, Any, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePolicy:
    """How patiently to write."""

    attempts: int = 4
    """Updates in all, the first included; looks at the channel do not count."""

    first_pause_s: float = 1.0
    """The longest pause after the first failure. Each later limit is twice as long."""

    total_s: float = 90.0
    """How long it may take in all, from the turn to write: some intervals of a free channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes where."""

    calls: Calls
    channel_id: int
    write_key: Key | None
    read_key: Key | None
    """For looking whether a row is there; None: the write key reads as well."""

    interval_s: float
    """Between two updates of the channel."""

    policy: WritePolicy
    elapsed_s: Callable[[], float]
    chance: Callable[[], float]

    def pause_after(self, failures: int, error: UpstreamError) -> Pause:
        """Return the pause before the next attempt."""
        limit_s = self.policy.first_pause_s * 2.0 ** (failures - 1)
        return Pause(asked_pause_s(error) + self.chance() * limit_s)


class Writers:
    """The writers of one client: its calls, keys and patience.

    Args:
        calls: Makes the calls.
        write_key: The key where none is given.
        read_key: The same for looking at what was written.
        licence: How often the channels may be written.
        policy: How patiently.
        elapsed_s: What time it is, in seconds.
        chance: A number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        write_key: AnyKey,
        read_key: AnyKey,
        licence: Licence,
        policy: WritePolicy,
        elapsed_s: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._calls = calls
        self._write_key = as_key(write_key)
        self._read_key = as_key(read_key)
        self._licence = licence
        self._policy = policy
        self._elapsed_s = elapsed_s
        self._chance = chance

    def of(self, channel_id: int, write_key: AnyKey, read_key: AnyKey) -> Writer:
        """Return who writes to that channel with these keys, or with the client's own."""
        return Writer(
            calls=self._calls,
            channel_id=channel_id,
            write_key=self._write_key if write_key is None else as_key(write_key),
            read_key=self._read_key if read_key is None else as_key(read_key),
            interval_s=self._licence.update_interval_s,
            policy=self._policy,
            elapsed_s=self._elapsed_s,
            chance=self._chance,
        )


def write_entry(writer: Writer, entry: NewEntry) -> Flow[Call[Any] | Pause, Any, int]:
    """Write *entry*; return its id. Written once, however often it had to be tried.

    Raises:
        ConflictError: Another entry has that time, or the key is of another channel.
        InvalidInputError: It cannot be stored as it is.
        RateLimitedError: Somebody else keeps the channel busy.
        UpstreamTimeoutError: Whether it was stored could not be found out.
        UpstreamError: It was not stored.
    """
    check_entry(entry)
    call = writer.calls.update(
        writer.channel_id, writer.write_key, entry, interval_s=writer.interval_s
    )
    started_s = writer.elapsed_s()
    failures = 0
    while True:
        try:
            receipt: Receipt = yield call
            return _confirmed(receipt, writer.channel_id)
        except UpstreamError as error:
            if not error.retryable or isinstance(error, UpstreamOpenError):
                raise
            failure = error
        failures += 1
        pause = writer.pause_after(failures, failure)
        if not isinstance(failure, RateLimitedError):
            # It may still be on its way into the database.
            yield pause
        stored = yield from _look_for(writer, entry, failure)
        if stored is not None:
            return stored.entry_id
        spent_s = writer.elapsed_s() - started_s
        if failures >= writer.policy.attempts or spent_s + pause.seconds >= writer.policy.total_s:
            raise failure
        yield pause


def _confirmed(receipt: Receipt, channel_id: int) -> int:
    if receipt.channel_id not in {None, channel_id}:
        problem = f"the write key is of channel {receipt.channel_id}: the entry went there"
        raise ConflictError(problem)
    return receipt.entry_id


def _look_for(
    writer: Writer, entry: NewEntry, failure: UpstreamError
) -> Flow[Call[Any] | Pause, Any, Entry | None]:
    """Return the row that *entry* has become; None if it has not.

    Raises:
        ConflictError: There is another row at that time.
        UpstreamError: *failure*, if the look fails as well: nobody knows, then.
    """
    call = writer.calls.feed(
        writer.channel_id,
        writer.read_key or writer.write_key,
        rows=FRESH_ROWS,
        start=entry.created_at,
        end=entry.created_at,
    )
    try:
        page: Page = yield call
    except AccessDeniedError:
        if isinstance(failure, RateLimitedError):
            # It was not stored, that much is known. Too soon is the likely reason.
            return None
        raise failure from None
    except UpstreamError:
        raise failure from None
    if not page.entries:
        return None
    for found in page.entries:
        if _is_what_was_sent(found, entry):
            return found
    problem = f"channel {writer.channel_id} has another entry at {render_time(entry.created_at)}"
    raise ConflictError(problem)


def _is_what_was_sent(found: Entry, entry: NewEntry) -> bool:
    sent = {number: value for number, value in entry.fields.items() if value is not None}
    return all(
        text == (None if number not in sent else str(sent[number]))
        for number, text in found.fields.items()
    )
