"""Lists in a database, declared once and read page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal_column, select
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData

from evara_core.query.ast import ALWAYS
from evara_core.query.paging import PageCutter, Total
from evara_core.query.spec import CountMode
from evara_core.storage.criteria import column_of, compile_criteria
from evara_core.storage.keyset import (
    Key,
    key_value,
    never_null,
    ordering,
    ranges,
    refuse_unpageable,
)
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Select

    from evara_core.query.cursor import CursorCodec, KeyValue, Position
    from evara_core.query.paging import Page
    from evara_core.query.spec import ListQuery
    from evara_core.storage.criteria import Columns, SqlColumn
    from evara_core.storage.statements import Statements

__all__ = ["ListSource"]


class ListSource:
    """A SELECT and the public names of its columns: a list that can be read in pages.

    Made at start-up. Its methods are flows; a unit of `storage.units` runs them, blocking or
    awaited.
    """

    def __init__(self, statement: Select[Any], columns: Columns) -> None:
        """Declare the list.

        Args:
            statement: What the list is made of: tables or entities, joins, fixed conditions.
                An ORDER BY of its own is dropped.
            columns: Name → column for each field of the list's spec. To sort text by another
                collation than the column's, give the collated column.

        Raises:
            ConfigurationError: The statement cannot be paged.
        """
        self._is_grouped = refuse_unpageable(statement)
        self._statement = statement.order_by(None)
        self._columns = columns
        self._never_null: dict[str, bool] = {}

    def rows(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[Row[Any]]]:
        """Return the page of *query*, of rows as the statement selects them.

        Raises:
            InvalidCursorError: Its cursor is none, or of another query.
        """
        selected = [_bare(each["expr"]) for each in self._statement.column_descriptions]
        keys = [column_of(self._columns, key.field) for key in query.sort]
        hidden = [column for column in keys if not _holds(selected, column)]
        names = [*selected, *map(_bare, hidden)]
        places = [_place(names, column) for column in keys]
        page = yield from self._page(self._statement.add_columns(*hidden), query, codec, places)
        return replace(page, rows=_without_last(page.rows, len(hidden)))

    def entities(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[Any]]:
        """Return the page of *query*, of what the statement selects first: ORM entities.

        Raises:
            InvalidCursorError: Its cursor is none, or of another query.
        """
        width = len(self._statement.column_descriptions)
        keys = [column_of(self._columns, key.field) for key in query.sort]
        places = list(range(width, width + len(keys)))
        page = yield from self._page(self._statement.add_columns(*keys), query, codec, places)
        return page.map(lambda row: row[0])

    def records(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[dict[str, Any]]]:
        """Return the page of *query*, of the fields that it asks for and no others.

        Only their columns are selected.

        Raises:
            InvalidCursorError: Its cursor is none, or of another query.
        """
        hidden = [key.field for key in query.sort if key.field not in query.fields]
        names = [*query.fields, *hidden]
        statement = self._statement.with_only_columns(
            *(column_of(self._columns, name).label(name) for name in names),
            maintain_column_froms=True,
        )
        places = [names.index(key.field) for key in query.sort]
        page = yield from self._page(statement, query, codec, places)
        return page.map(lambda row: dict(zip(query.fields, row, strict=False)))

    def total(self, query: ListQuery) -> Statements[Total | None]:
        """Return how many rows *query* selects, found out as its count mode says."""
        if query.count is CountMode.NONE:
            return None
        inner: Select[Any] = self._matching(self._statement, query).with_only_columns(
            literal_column("1").label("one"), maintain_column_froms=True
        )
        if query.count is not CountMode.EXACT:
            inner = inner.limit(query.count_cap + 1)
        answer = yield Query(select(func.count()).select_from(inner.subquery()))
        count = int(answer.rows[0][0])
        if query.count is not CountMode.EXACT and count > query.count_cap:
            return Total(count=query.count_cap, kind=CountMode.CAPPED)
        return Total(count=count, kind=CountMode.EXACT)

    def _page(
        self,
        statement: Select[Any],
        query: ListQuery,
        codec: CursorCodec,
        places: Sequence[int],
    ) -> Statements[Page[Row[Any]]]:
        cutter = PageCutter(query, codec)
        columns = [column_of(self._columns, key.field) for key in query.sort]

        def key_of(row: Row[Any]) -> tuple[KeyValue, ...]:
            return tuple(
                key_value(row[place], column) for place, column in zip(places, columns, strict=True)
            )

        statement = self._matching(statement, query)
        found = yield from self._find(statement, query, cutter)
        page = cutter.cut(found, key_of)
        total = yield from self.total(query)
        return replace(page, total=total)

    def _find(
        self, statement: Select[Any], query: ListQuery, cutter: PageCutter
    ) -> Statements[list[Row[Any]]]:
        """Return up to `cutter.needed` rows beyond its position, the nearest first."""
        keys = self._keys(query, cutter.position)
        statement = statement.order_by(*ordering(keys))
        if query.offset:
            statement = statement.offset(query.offset)
        if not cutter.position.values:
            answer = yield Query(statement.limit(cutter.needed))
            return list(answer.rows)
        narrow = statement.having if self._is_grouped else statement.where
        found: list[Row[Any]] = []
        for condition in ranges(keys, cutter.position):
            answer = yield Query(narrow(condition).limit(cutter.needed - len(found)))
            found += answer.rows
            if len(found) == cutter.needed:
                break
        return found

    def _matching(self, statement: Select[Any], query: ListQuery) -> Select[Any]:
        condition = query.condition
        if condition == ALWAYS:
            return statement
        return statement.where(compile_criteria(condition, self._columns))

    def _keys(self, query: ListQuery, position: Position) -> list[Key]:
        return [
            Key(
                column=column_of(self._columns, key.field),
                descending=key.descending is not position.backward,
                nullable=not self._is_never_null(key.field),
            )
            for key in query.sort
        ]

    def _is_never_null(self, name: str) -> bool:
        if name not in self._never_null:
            column = column_of(self._columns, name)
            self._never_null[name] = never_null(self._statement, column)
        return self._never_null[name]


def _bare(column: Any) -> Any:  # noqa: ANN401 - an element, an attribute or an entity
    return getattr(column, "expression", column)


def _holds(selected: Sequence[Any], column: SqlColumn) -> bool:
    return any(each is _bare(column) for each in selected)


def _place(selected: Sequence[Any], column: SqlColumn) -> int:
    return next(place for place, each in enumerate(selected) if each is _bare(column))


def _without_last(rows: tuple[Row[Any], ...], count: int) -> tuple[Row[Any], ...]:
    if not count or not rows:
        return rows
    metadata = SimpleResultMetaData(rows[0]._fields[:-count])
    cut: IteratorResult[Any] = IteratorResult(metadata, iter([row[:-count] for row in rows]))
    return tuple(cut.all())
