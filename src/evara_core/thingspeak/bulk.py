"""Writing many rows at once, as a flow of calls. Performs nothing.

A bulk update is answered "accepted", and no more is ever said: rows appear seconds later,
and a row whose time is taken disappears without a word. The report keeps these apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from evara_core.errors import InvalidInputError, UpstreamError, UpstreamOpenError
from evara_core.thingspeak.history import read_history
from evara_core.thingspeak.outgoing import check_entry
from evara_core.thingspeak.paging import FRESH_ROWS, Rows
from evara_core.thingspeak.retries import Pause

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from evara_core.flow import Flow
    from evara_core.thingspeak.messages import Call
    from evara_core.thingspeak.models import Entry, Licence, NewEntry
    from evara_core.thingspeak.writes import Writer

__all__ = ["BulkBatch", "BulkReport", "LeftOut", "write_bulk"]

MAX_LISTED: Final = 1_000
"""How many entries that were left out are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkBatch:
    """One bulk update that was accepted."""

    entries: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An entry that was not sent."""

    index: int
    """Its place among those that were given, from 0."""

    reason: str


@dataclass(slots=True, kw_only=True)
class BulkReport:
    """What became of a bulk write."""

    accepted: int = 0
    """Entries that ThingSpeak took on. It may drop some: see `confirmed`."""

    batches: list[BulkBatch] = field(default_factory=list)
    left_out: int = 0
    """Entries that could not be sent as they are."""

    left_out_list: list[LeftOut] = field(default_factory=list)
    """The first 1,000 of them."""

    unknown: int = 0
    """Entries of the batch that failed. If it timed out, it may have been accepted; to send
    it again does no harm, because a time that is taken is refused."""

    unsent: int = 0
    """Entries after that batch."""

    error: UpstreamError | None = None
    """Why it ended before all was sent."""

    confirmed: int | None = None
    """Accepted entries that were seen in the channel; None: nobody looked."""


def write_bulk(
    writer: Writer,
    licence: Licence,
    entries: Iterable[NewEntry | Entry],
    *,
    confirm_s: float = 0.0,
) -> Flow[Call[Any] | Pause, Any, BulkReport]:
    """Write *entries*, as many at a time and as often as *licence* allows.

    Args:
        writer: Who writes where.
        licence: How many, how often.
        entries: Taken one batch at a time.
        confirm_s: How long to wait for the rows to appear; 0: do not look.
    """
    report = BulkReport()
    expected: set[datetime] = set()
    supply = _sendable(entries, report)
    pause: Pause | None = None
    while batch := _take(supply, licence.bulk_entries):
        if pause is not None:
            yield pause
        try:
            yield from _send(writer, batch)
        except UpstreamError as error:
            report.error = error
            report.unknown = len(batch)
            report.unsent = sum(1 for _ in supply)
            break
        moments = [entry.created_at.replace(microsecond=0) for entry in batch]
        if confirm_s:
            expected.update(moments)
        report.accepted += len(batch)
        report.batches.append(
            BulkBatch(entries=len(batch), first_at=min(moments), last_at=max(moments))
        )
        pause = Pause(licence.bulk_interval_s)
    if confirm_s and expected:
        yield from _confirm(writer, report, expected, confirm_s)
    return report


def _sendable(
    entries: Iterable[NewEntry | Entry], report: BulkReport
) -> Iterator[NewEntry | Entry]:
    """Yield those of *entries* that can be sent; note the others."""
    seconds: set[int] = set()
    for index, entry in enumerate(entries):
        try:
            check_entry(entry)
            second = int(entry.created_at.timestamp())
            if second in seconds:
                problem = "another entry has the same second"
                raise InvalidInputError(problem)  # noqa: TRY301 - one place notes them all
        except InvalidInputError as error:
            report.left_out += 1
            if len(report.left_out_list) < MAX_LISTED:
                report.left_out_list.append(LeftOut(index=index, reason=str(error)))
            continue
        seconds.add(second)
        yield entry


def _take(supply: Iterator[NewEntry | Entry], count: int) -> list[NewEntry | Entry]:
    return [entry for _, entry in zip(range(count), supply, strict=False)]


def _send(writer: Writer, batch: list[NewEntry | Entry]) -> Flow[Call[Any] | Pause, Any, None]:
    call = writer.calls.bulk_update(writer.channel_id, writer.write_key, batch)
    failures = 0
    while True:
        try:
            yield call
        except UpstreamError as error:
            failures += 1
            if not error.retryable or isinstance(error, UpstreamOpenError):
                raise
            if failures >= writer.policy.attempts:
                raise
            pause = writer.pause_after(failures, error)
        else:
            return
        yield pause


def _confirm(
    writer: Writer, report: BulkReport, expected: set[datetime], confirm_s: float
) -> Flow[Call[Any] | Pause, Any, None]:
    """Look until all are there, or time is up."""
    started_s = writer.elapsed_s()
    missing, pause_s = set(expected), 2.0
    while True:
        try:
            missing -= yield from _times_between(writer, min(missing), max(missing))
        except UpstreamError as error:
            report.error = report.error or error
            return
        report.confirmed = len(expected) - len(missing)
        if not missing or writer.elapsed_s() - started_s + pause_s > confirm_s:
            return
        yield Pause(pause_s)
        pause_s *= 1.5


def _times_between(
    writer: Writer, first_at: datetime, last_at: datetime
) -> Flow[Call[Any] | Pause, Any, set[datetime]]:
    times: set[datetime] = set()
    # Small pages only: a large one would be the same cached answer at each look.
    reading = read_history(first_at, last_at, is_past=False, rows=FRESH_ROWS)
    answer = None
    try:
        while True:
            ask = reading.send(answer)
            answer = None
            if isinstance(ask, Rows):
                times.update(entry.created_at for entry in ask.entries)
            else:
                answer = yield writer.calls.feed(
                    writer.channel_id,
                    writer.read_key or writer.write_key,
                    rows=ask.rows,
                    start=ask.start,
                    end=ask.end,
                )
    except StopIteration:
        return times
    finally:
        reading.close()
