"""Rows of an answer that are no entries, read as far as they can be. Performs nothing.

One row that cannot be read must not cost the others of its page. It keeps its place among
them, so that what is counted, sorted and looked for by its number comes out as if it were
whole. What its place is, its own number and time say; where one of them is unreadable, its
neighbours do, since an answer is in the order of time and a channel numbers without a gap.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evara_core.errors import InvalidInputError, UpstreamGarbageError
from evara_core.thingspeak.models import Entry, MalformedEntry
from evara_core.thingspeak.rows import FIELDS, MALFORMED, Page, entry_of, text_of, whole_of
from evara_core.thingspeak.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

__all__ = ["MAX_BODY_BYTES", "OnRejected", "Once", "numbered", "salvaged", "sifted"]

OnRejected: TypeAlias = Callable[[MalformedEntry], object]
"""Told of each row that is no entry, in its turn."""

MAX_BODY_BYTES: Final = 4_096
"""What is kept of a malformed row: more than ThingSpeak's limit of 3,000 for a whole one."""

MAX_UNTIMED_ROWS: Final = 100
"""An answer of so many rows, without one readable time, is none: what came before them could
not be told."""

_HIGHEST_ID = 2**63 - 1
_TEXTS = (*(name for _, name in FIELDS), "status", "latitude", "longitude", "elevation")


def salvaged(told: Any, rows: Any, *, since: datetime | None) -> Page:  # noqa: ANN401 - checked here
    """Return the page of an answer in which some rows are no entries.

    Args:
        told: What the answer says of its channel.
        rows: As they came, in the order of time.
        since: What was asked for begins here.

    Raises:
        MALFORMED: The channel or the list is malformed as well, or nothing tells where on the
            line of time the rows belong.
    """
    if not isinstance(rows, list):
        raise TypeError(type(rows).__name__)
    page = Page(told, [], has_malformed=True)
    times = _filled_times([_time_in(row) for row in rows], since)
    numbers = _filled_numbers([_number_in(row) for row in rows], page.last_entry_id or 0)
    page.entries = [
        _entry(row, at, number) for row, at, number in zip(rows, times, numbers, strict=True)
    ]
    page.entries.sort(key=lambda entry: (entry.created_at, entry.entry_id))
    return page


class Once:
    """Lets each row through once whose place was worked out: in another page it is another.

    Rows that tell neither number nor time, and hold the same, are one.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[int | None, datetime | None, str]] = set()

    def of(self, entries: list[Entry]) -> list[Entry]:
        """Return *entries* without those that came before."""
        if MalformedEntry not in map(type, entries):
            return entries
        return [entry for entry in entries if self._is_new(entry)]

    def _is_new(self, entry: Entry) -> bool:
        if not isinstance(entry, MalformedEntry) or (entry.is_numbered and entry.is_timed):
            return True
        number = entry.entry_id if entry.is_numbered else None
        at = entry.created_at if entry.is_timed and number is None else None
        key = (number, at, entry.body)
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


def numbered(page: Page) -> list[Entry]:
    """Return the entries of *page* up to the last that has a number of its own.

    Who goes on from a position takes no others: behind them nothing tells yet which rows came
    after them, so that the next look would bring them again.
    """
    entries = page.entries
    if page.has_malformed:
        end = len(entries)
        while end and not _has_number(entries[end - 1]):
            end -= 1
        entries = entries[:end]
    return entries


def sifted(entries: Sequence[Entry], on_rejected: OnRejected | None) -> Iterable[Entry]:
    """Return the entries that are whole, and hand each of the others to *on_rejected*.

    Raises:
        UpstreamGarbageError: One is malformed, and there is nobody to hand it to. It is raised
            where the row stands, after those before it.
    """
    # At the speed of C: there is hardly ever one.
    if MalformedEntry not in map(type, entries):
        return entries
    return _sifted(entries, on_rejected)


def _sifted(entries: Iterable[Entry], on_rejected: OnRejected | None) -> Iterator[Entry]:
    for entry in entries:
        if not isinstance(entry, MalformedEntry):
            yield entry
        elif on_rejected is None:
            problem = (
                f"row {entry.entry_id} is no entry ({entry.reason});"
                " with `on_rejected` the others are read, and it is told of"
            )
            raise UpstreamGarbageError(problem)
        else:
            on_rejected(entry)


def _entry(row: Any, at: tuple[datetime, bool], number: tuple[int, bool]) -> Entry:  # noqa: ANN401 - whatever came
    with suppress(*MALFORMED):
        return entry_of(row)
    return MalformedEntry(
        entry_id=number[0],
        created_at=at[0],
        body=_body_of(row),
        reason=_problem_of(row),
        is_numbered=number[1],
        is_timed=at[1],
    )


def _number_in(row: Any) -> int | None:  # noqa: ANN401 - whatever came
    with suppress(*MALFORMED):
        number = whole_of(row["entry_id"])
        return number if number <= _HIGHEST_ID else None
    return None


def _time_in(row: Any) -> datetime | None:  # noqa: ANN401 - whatever came
    with suppress(*MALFORMED):
        return parse_time(row["created_at"])
    return None


def _filled_times(
    times: Sequence[datetime | None], since: datetime | None
) -> list[tuple[datetime, bool]]:
    """Return each time and whether the row tells it: else that of the row before it."""
    known = next((at for at in times if at is not None), None)
    if known is None and len(times) < MAX_UNTIMED_ROWS:
        known = since
    if known is None:
        raise TypeError("no row has a time")
    filled = []
    for at in times:
        known = at or known
        filled.append((known, at is not None))
    return filled


def _filled_numbers(numbers: Sequence[int | None], last: int) -> list[tuple[int, bool]]:
    """Return each number and whether the row tells it.

    Those that do not get the free numbers after the row before them, or else before the row
    behind them; where there is none free, they share that of their neighbour, and without a
    neighbour they get 0.
    """
    taken = {number for number in numbers if number is not None}
    filled = [(number or 0, number is not None) for number in numbers]
    place = 0
    while place < len(numbers):
        if numbers[place] is not None:
            place += 1
            continue
        end = place
        while end < len(numbers) and numbers[end] is None:
            end += 1
        before = numbers[place - 1] if place else None
        behind = numbers[end] if end < len(numbers) else None
        count = end - place
        first = (behind or 0) - count if before is None else before + 1
        top = (last + 1) if behind is None else max(behind, first)
        for offset in range(count):
            number = first + offset
            is_free = 0 < number < top and number not in taken
            if not is_free:
                number = next((n for n in (before, behind) if n is not None), 0)
            filled[place + offset] = (number, False)
        place = end
    return filled


def _has_number(entry: Entry) -> bool:
    return not isinstance(entry, MalformedEntry) or entry.is_numbered


def _body_of(row: Any) -> str:  # noqa: ANN401 - whatever came
    try:
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        return ""
    # Half characters, which no encoding knows, stay what they were in JSON.
    return text.encode(errors="backslashreplace")[:MAX_BODY_BYTES].decode(errors="ignore")


def _problem_of(row: Any) -> str:  # noqa: ANN401 - whatever came
    if not isinstance(row, dict):
        return f"it is no object, but {type(row).__name__}"
    problems = []
    if _number_in(row) is None:
        problems.append("entry_id is no number" if "entry_id" in row else "it has no entry_id")
    if "created_at" not in row:
        problems.append("it has no created_at")
    elif not isinstance(row["created_at"], str):
        problems.append("created_at is no text")
    else:
        try:
            parse_time(row["created_at"])
        except InvalidInputError as error:
            problems.append(f"created_at is {error}")
    for name in _TEXTS:
        with suppress(KeyError):
            try:
                text_of(row[name])
            except TypeError as error:
                problems.append(f"{name} is no text, but {error}")
    return "; ".join(problems) or "it is not what the protocol says"
