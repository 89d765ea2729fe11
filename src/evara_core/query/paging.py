"""Pages: what one holds, and how a list in memory is cut into them.

A page is read with one row more than its limit. That row says whether there is a next
page, and is never shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from evara_core.query.cursor import Position, fingerprint
from evara_core.query.predicate import compile_predicate, is_missing
from evara_core.query.spec import CountMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from evara_core.query.ast import SortKey
    from evara_core.query.cursor import CursorCodec, KeyValue
    from evara_core.query.spec import ListQuery

__all__ = ["Page", "PageCutter", "Total", "last_page_cursor", "page_of", "sort_records"]

R = TypeVar("R")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """How many rows match, as far as it was found out."""

    count: int
    kind: CountMode
    """`exact`; `capped`: at least so many; `estimated`: about so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[R]):
    """A part of an ordered list, and the ways on from it."""

    rows: tuple[R, ...]
    limit: int
    next: str | None = None
    """The cursor of the rows after these; None: there are none."""

    previous: str | None = None
    """The cursor of the rows before these; None: there are none. After a step forwards it
    is there without a look whether those rows still exist."""

    number: int | None = None
    """Counted from 1, when the list is paged by number."""

    total: Total | None = None
    """None: not counted."""

    def map(self, convert: Callable[[R], S]) -> Page[S]:
        """Return this page with each row converted."""
        return self.with_rows(map(convert, self.rows))

    def with_rows(self, rows: Iterable[S]) -> Page[S]:
        """Return this page with *rows* in the place of its own."""
        return Page(
            rows=tuple(rows),
            limit=self.limit,
            next=self.next,
            previous=self.previous,
            number=self.number,
            total=self.total,
        )


class PageCutter:
    """Reads the cursor of a query, and makes a page out of the rows found from there."""

    def __init__(self, query: ListQuery, codec: CursorCodec) -> None:
        """Prepare for *query*.

        Raises:
            CursorMismatchError: Its cursor belongs to another query.
            InvalidCursorError: Its cursor is damaged, forged or outdated.
        """
        self._query = query
        self._codec = codec
        self._fingerprint = fingerprint(query)
        self.position = Position()
        """Where to read from, and in which direction."""
        if query.cursor is not None:
            self.position = codec.decode(query.cursor, self._fingerprint, width=len(query.sort))

    @property
    def needed(self) -> int:
        """Rows to look for: one more than will be shown."""
        return self._query.limit + 1

    def cut(self, found: Sequence[R], key_of: Callable[[R], tuple[KeyValue, ...]]) -> Page[R]:
        """Return the page of *found*.

        Args:
            found: Up to `needed` rows, the nearest to the position first.
            key_of: The values of the sort keys of a row.
        """
        limit, backward = self._query.limit, self.position.backward
        is_more = len(found) > limit
        came_from_elsewhere = bool(self.position.values) or self._query.offset > 0
        if not found:
            return self._empty()
        rows = tuple(found[:limit])
        if backward:
            rows = rows[::-1]
        after = before = None
        if came_from_elsewhere if backward else is_more:
            after = self._encode(Position(values=key_of(rows[-1])))
        if is_more if backward else came_from_elsewhere:
            before = self._encode(Position(values=key_of(rows[0]), backward=True))
        return Page(rows=rows, limit=limit, next=after, previous=before, number=self._query.page)

    def _empty(self) -> Page[Any]:
        """Return a page of nothing that still leads back to where the client came from."""
        position, back = self.position, None
        if position.values:
            # The row at the position was shown on the page before: it must come again.
            back = self._encode(
                Position(
                    values=position.values,
                    backward=not position.backward,
                    inclusive=not position.inclusive,
                )
            )
        return Page(
            rows=(),
            limit=self._query.limit,
            next=back if position.backward else None,
            previous=None if position.backward else back,
            number=self._query.page,
        )

    def _encode(self, position: Position) -> str:
        return self._codec.encode(position, self._fingerprint)


def last_page_cursor(query: ListQuery, codec: CursorCodec) -> str:
    """Return the cursor of the last page of *query*, read from the end of the list."""
    return codec.encode(Position(backward=True), fingerprint(query))


def page_of(
    records: Iterable[Mapping[str, Any]], query: ListQuery, codec: CursorCodec
) -> Page[Mapping[str, Any]]:
    """Return the page of *records* that *query* asks for, as a database would answer it.

    Raises:
        InvalidCursorError: Its cursor is none, or of another query.
    """
    cutter = PageCutter(query, codec)
    position = cutter.position
    holds = compile_predicate(query.condition)
    matching = [record for record in records if holds(record)]
    ordered = sort_records(matching, query.sort)
    if position.backward:
        ordered.reverse()
    if position.values:
        ordered = [record for record in ordered if _is_beyond(record, query.sort, position)]
    found = ordered[query.offset : query.offset + cutter.needed]
    page = cutter.cut(found, lambda record: tuple(record[key.field] for key in query.sort))
    return replace(page, total=_total(len(matching), query))


def sort_records(
    records: Iterable[Mapping[str, Any]], sort: Sequence[SortKey]
) -> list[Mapping[str, Any]]:
    """Return *records* in the order of *sort*. Missing values count as the largest."""
    ordered = list(records)
    for key in reversed(sort):
        ordered.sort(key=partial(_rank, key.field), reverse=key.descending)
    return ordered


def _rank(name: str, record: Mapping[str, Any]) -> tuple[bool, Any]:
    value = record[name]
    return (True, 0) if is_missing(value) else (False, value)


def _is_beyond(record: Mapping[str, Any], sort: Sequence[SortKey], position: Position) -> bool:
    for key, value in zip(sort, position.values, strict=True):
        here, there = _rank(key.field, record), _rank("", {"": value})
        if here != there:
            return (here < there) is (key.descending is not position.backward)
    return position.inclusive


def _total(count: int, query: ListQuery) -> Total | None:
    match query.count:
        case CountMode.NONE:
            return None
        case CountMode.CAPPED | CountMode.ESTIMATED if count > query.count_cap:
            return Total(count=query.count_cap, kind=CountMode.CAPPED)
        case _:
            return Total(count=count, kind=CountMode.EXACT)
