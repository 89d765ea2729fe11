"""Lists in a database, declared once and read page by page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, func, literal_column, select
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData

from evara_core.query.ast import ALWAYS
from evara_core.query.paging import PageCutter, Total
from evara_core.query.spec import CountMode
from evara_core.storage.criteria import column_of, compile_criteria
from evara_core.storage.keyset import (
    Key,
    key_slots,
    key_value,
    never_null,
    ordering,
    ranges,
    refuse_unpageable,
)
from evara_core.storage.shapes import Slots, shape_of, slot_values
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sqlalchemy import Row, Select

    from evara_core.query.cursor import CursorCodec, KeyValue, Position
    from evara_core.query.paging import Page
    from evara_core.query.spec import ListQuery
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = ["ListSource"]

MOST_PLANS = 256
"""Shapes of queries kept per list. Clients choose them, so there must be an end."""

_LIMIT = "page_limit"
_OFFSET = "page_offset"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The statements that answer all queries of one shape."""

    statements: tuple[Select[Any], ...]
    keys: tuple[Key, ...]
    places: tuple[int, ...]
    """Of the sort keys in a row."""

    hidden: int
    """How many columns at the end of a row were not asked for."""


class ListSource:
    """A SELECT and the public names of its columns: a list that can be read in pages.

    Made at start-up. Its methods are flows: a unit of `storage.units` runs them, or a session
    through `storage.sessions`, blocking or awaited.
    """

    def __init__(self, statement: Select[Any], columns: Columns) -> None:
        """Declare the list.

        Args:
            statement: What the list is made of: tables or entities, joins, fixed conditions.
                An ORDER BY of its own is dropped.
            columns: Name → column, for each field of the list's spec. To sort or compare text
                by another collation than the column's own, give the collated column.

        Raises:
            ConfigurationError: The statement cannot be paged.
        """
        self._is_grouped = refuse_unpageable(statement)
        self._statement = statement.order_by(None)
        self._columns = columns
        self._plans: dict[Hashable, Any] = {}
        self._never_null: dict[str, bool] = {}

    def rows(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[Row[Any]]]:
        """Return the page of *query*, of rows as the statement selects them.

        Raises:
            InvalidCursorError: Its cursor is none, or of another query.
        """
        cutter = PageCutter(query, codec)
        plan = self._plan("rows", query, cutter.position)
        page = yield from self._page(plan, query, cutter)
        return replace(page, rows=_without_last(page.rows, plan.hidden))

    def entities(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[Any]]:
        """Return the page of *query*, of what the statement selects first: ORM entities.

        Raises:
            InvalidCursorError: Its cursor is none, or of another query.
        """
        cutter = PageCutter(query, codec)
        plan = self._plan("rows", query, cutter.position)
        page = yield from self._page(plan, query, cutter)
        return page.map(itemgetter(0))

    def records(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[dict[str, Any]]]:
        """Return the page of *query*, of the fields that it asks for and no others.

        Only their columns, and those of the order, are selected.

        Raises:
            InvalidCursorError: Its cursor is none, or of another query.
        """
        cutter = PageCutter(query, codec)
        plan = self._plan(query.fields, query, cutter.position)
        page = yield from self._page(plan, query, cutter)
        names = query.fields
        return page.map(lambda row: dict(zip(names, row, strict=False)))

    def total(self, query: ListQuery) -> Statements[Total | None]:
        """Return how many rows *query* selects, found out as its count mode says."""
        if query.count is CountMode.NONE:
            return None
        is_exact = query.count is CountMode.EXACT
        shape = ("total", is_exact, shape_of(query.condition))
        statement = self._kept(shape, lambda: self._count(query, is_exact=is_exact))
        values = slot_values(query.condition, self._columns)
        if not is_exact:
            values[_LIMIT] = query.count_cap + 1
        answer = yield Query(statement, values)
        count = int(answer.rows[0][0])
        if not is_exact and count > query.count_cap:
            return Total(count=query.count_cap, kind=CountMode.CAPPED)
        return Total(count=count, kind=CountMode.EXACT)

    def _count(self, query: ListQuery, *, is_exact: bool) -> Select[Any]:
        inner: Select[Any] = self._matching(self._statement, query).with_only_columns(
            literal_column("1").label("one"), maintain_column_froms=True
        )
        if not is_exact:
            inner = inner.limit(bindparam(_LIMIT, type_=Integer()))
        return select(func.count()).select_from(inner.subquery())

    def _page(
        self, plan: _Plan, query: ListQuery, cutter: PageCutter
    ) -> Statements[Page[Row[Any]]]:
        def key_of(row: Row[Any]) -> tuple[KeyValue, ...]:
            return tuple(
                key_value(row[place], key.column)
                for place, key in zip(plan.places, plan.keys, strict=True)
            )

        found = yield from self._find(plan, query, cutter)
        page = cutter.cut(found, key_of)
        if query.count is CountMode.NONE:
            return page
        total = yield from self.total(query)
        return replace(page, total=total)

    def _find(
        self, plan: _Plan, query: ListQuery, cutter: PageCutter
    ) -> Statements[Sequence[Row[Any]]]:
        """Return up to `cutter.needed` rows beyond its position, the nearest first."""
        values = slot_values(query.condition, self._columns)
        if cutter.position.values:
            values |= key_slots(plan.keys, cutter.position)
        elif query.page is not None:
            values[_OFFSET] = query.offset
        found: list[Row[Any]] = []
        for statement in plan.statements:
            answer = yield Query(statement, {**values, _LIMIT: cutter.needed - len(found)})
            found += answer.rows
            if len(found) == cutter.needed:
                break
        return found

    def _plan(self, selected: Hashable, query: ListQuery, position: Position) -> _Plan:
        shape = (
            selected,
            query.sort,
            query.page is None,
            position.backward,
            position.inclusive,
            tuple([value is None for value in position.values]),
            shape_of(query.condition),
        )
        plan: _Plan = self._kept(shape, lambda: self._make_plan(selected, query, position))
        return plan

    def _kept(self, shape: Hashable, make: Any) -> Any:  # noqa: ANN401 - a plan or a statement
        kept = self._plans.get(shape)
        if kept is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            kept = self._plans[shape] = make()
        return kept

    def _make_plan(self, selected: Hashable, query: ListQuery, position: Position) -> _Plan:
        statement, places, hidden = (
            self._select_all(query) if selected == "rows" else self._select_fields(query)
        )
        keys = self._keys(query, position)
        statement = self._matching(statement, query).order_by(*ordering(keys))
        statement = statement.limit(bindparam(_LIMIT, type_=Integer()))
        if query.page is not None:
            statement = statement.offset(bindparam(_OFFSET, type_=Integer()))
        statements = [statement]
        if position.values:
            narrow = statement.having if self._is_grouped else statement.where
            statements = [narrow(condition) for condition in ranges(keys, position)]
        return _Plan(tuple(statements), tuple(keys), tuple(places), hidden)

    def _select_all(self, query: ListQuery) -> tuple[Select[Any], list[int], int]:
        selected = [_bare(each["expr"]) for each in self._statement.column_descriptions]
        keys = [column_of(self._columns, key.field) for key in query.sort]
        hidden = [column for column in keys if _bare(column) not in _Same(selected)]
        everything = [*selected, *map(_bare, hidden)]
        places = [_Same(everything).index(_bare(column)) for column in keys]
        return self._statement.add_columns(*hidden), places, len(hidden)

    def _select_fields(self, query: ListQuery) -> tuple[Select[Any], list[int], int]:
        hidden = [key.field for key in query.sort if key.field not in query.fields]
        names = [*query.fields, *hidden]
        statement: Select[Any] = self._statement.with_only_columns(
            *(column_of(self._columns, name).label(name) for name in names),
            maintain_column_froms=True,
        )
        return statement, [names.index(key.field) for key in query.sort], len(hidden)

    def _matching(self, statement: Select[Any], query: ListQuery) -> Select[Any]:
        condition = query.condition
        if condition == ALWAYS:
            return statement
        return statement.where(compile_criteria(condition, self._columns, bind=Slots()))

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


class _Same:
    """Finds an element by identity: `==` would build SQL."""

    def __init__(self, elements: Sequence[Any]) -> None:
        self._elements = elements

    def __contains__(self, wanted: object) -> bool:
        return any(each is wanted for each in self._elements)

    def index(self, wanted: object) -> int:
        return next(place for place, each in enumerate(self._elements) if each is wanted)


def _without_last(rows: tuple[Row[Any], ...], count: int) -> tuple[Row[Any], ...]:
    if not count or not rows:
        return rows
    metadata = SimpleResultMetaData(rows[0]._fields[:-count])
    cut: IteratorResult[Any] = IteratorResult(metadata, iter([row[:-count] for row in rows]))
    return tuple(cut.all())
