"""Lists in a database, declared once and read page by page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Integer, bindparam, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, load_only, raiseload

from evara_core.errors import ConfigurationError
from evara_core.query.ast import ALWAYS
from evara_core.query.paging import PageCutter, Total
from evara_core.query.spec import CountMode
from evara_core.storage.criteria import column_of, compile_criteria
from evara_core.storage.estimates import Expected, expected_rows
from evara_core.storage.includes import attach, parents_of
from evara_core.storage.keyset import (
    Key,
    key_slots,
    never_null,
    ordering,
    ranges,
    refuse_unpageable,
)
from evara_core.storage.selections import Selection, bare, with_keys, without_last
from evara_core.storage.shapes import Slots, shape_of, slot_values
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.sql.base import ExecutableOption

    from evara_core.query.ast import Condition
    from evara_core.query.cursor import CursorCodec, KeyValue, Position
    from evara_core.query.paging import Page
    from evara_core.query.spec import ListQuery
    from evara_core.storage.criteria import Columns
    from evara_core.storage.includes import Related
    from evara_core.storage.search import SearchIndex
    from evara_core.storage.statements import Statements

__all__ = ["ListSource"]

T = TypeVar("T")

MOST_PLANS = 256
"""Shapes of queries kept per list. Clients choose them, so there must be an end."""

_OFFSET = "evara_offset"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The statements that answer all queries of one shape."""

    statements: tuple[Select[Any], ...]
    keys: tuple[Key, ...]
    key_of: Callable[[Row[Any]], tuple[KeyValue, ...]]

    hidden: int
    """How many columns at the end of a row were not asked for."""


class ListSource:
    """A SELECT and the public names of its columns: a list that can be read in pages.

    Made at start-up. Its methods are flows: a unit of `storage.units` runs them, or a session
    through `storage.sessions`, blocking or awaited.
    """

    def __init__(
        self,
        statement: Select[Any],
        columns: Columns,
        *,
        includes: Mapping[str, Related] | None = None,
        loaders: Mapping[str, Sequence[ExecutableOption]] | None = None,
        search: SearchIndex | None = None,
    ) -> None:
        """Declare the list.

        Args:
            statement: What the list is made of: tables or entities, joins, fixed conditions.
                An ORDER BY of its own is dropped. Filters apply before a GROUP BY: to filter by
                an aggregate, page over a subquery.
            columns: Name → column, for each field of the list's spec. To sort or compare text
                by another collation than the column's own, give the collated column.
            includes: Related records that `records` can add, by name.
            loaders: Include path → loader options that `entities` needs for it, such as
                `selectinload(Node.alerts)`.
            search: The index that serves `search=` on SQLite, if a migration made one.

        Raises:
            ConfigurationError: The statement cannot be paged.
        """
        self._is_grouped = refuse_unpageable(statement)
        self._statement = statement.order_by(None)
        self._columns = columns
        self._includes = includes or {}
        self._loaders = loaders or {}
        self._search = search
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
        if not plan.hidden:
            return page
        return page.with_rows(without_last(page.rows, plan.hidden))

    def entities(self, query: ListQuery, codec: CursorCodec) -> Statements[Page[Any]]:
        """Return the page of *query*, of what the statement selects first: ORM entities.

        They hold the includes that the query asks for, and only the columns of its fields if
        the client chose them and they are declared as mapped attributes. Touching anything
        else raises: nothing is loaded behind one's back.

        Raises:
            ConfigurationError: No loader is declared for an include.
            InvalidCursorError: Its cursor is none, or of another query.
        """
        cutter = PageCutter(query, codec)
        plan = self._plan("entities", query, cutter.position)
        page = yield from self._page(plan, query, cutter)
        return page.with_rows(map(itemgetter(0), page.rows))

    def records(
        self,
        query: ListQuery,
        codec: CursorCodec,
        *,
        scopes: Mapping[str, Condition] | None = None,
    ) -> Statements[Page[dict[str, Any]]]:
        """Return the page of *query*, of the fields and includes that it asks for, no others.

        Only their columns, and those that order and includes need, are selected.

        Args:
            query: What is asked.
            codec: Reads and makes cursors.
            scopes: By include path, what the caller may see of it.

        Raises:
            ConfigurationError: An include that is not public has no scope.
            InvalidCursorError: Its cursor is none, or of another query.
        """
        cutter = PageCutter(query, codec)
        plan = self._plan(query.fields, query, cutter.position)
        rows = yield from self._page(plan, query, cutter)
        names = self._record_names(query) if query.includes else query.fields
        # A row has more values than names where sort keys were added: zip stops in time.
        page = rows.with_rows(map(dict, map(zip, repeat(names), rows.rows)))
        if query.includes:
            yield from attach(page.rows, query.includes, self._includes, scopes or {})
            for record in page.rows:
                for name in names[len(query.fields) :]:
                    del record[name]
        return page

    def total(self, query: ListQuery) -> Statements[Total | None]:
        """Return how many rows *query* selects, found out as its count mode says."""
        if query.count is CountMode.NONE:
            return None
        is_exact = query.count is CountMode.EXACT
        shape = ("total", is_exact, query.count_cap, self._shape(query))
        statement = self._kept(shape, lambda: self._count(query, is_exact=is_exact))
        values = self._values(query)
        cap = query.count_cap
        answer = yield Query(statement, values)
        count = int(answer.rows[0][0])
        if is_exact or count <= cap:
            return Total(count=count, kind=CountMode.EXACT)
        if query.count is CountMode.ESTIMATED:
            everything = self._kept(
                ("expected", self._shape(query)),
                lambda: Expected(self._matching_rows(query)),
            )
            expected = expected_rows((yield Query(everything, values)))
            if expected is not None:
                return Total(count=max(expected, cap + 1), kind=CountMode.ESTIMATED)
        return Total(count=cap, kind=CountMode.CAPPED)

    def _count(self, query: ListQuery, *, is_exact: bool) -> Select[Any]:
        inner = self._matching_rows(query)
        if not is_exact:
            inner = inner.limit(_number(query.count_cap + 1))
        return select(func.count()).select_from(inner.subquery())

    def _matching_rows(self, query: ListQuery) -> Select[Any]:
        """Return a statement with as many rows as there are, and nothing in them."""
        return self._matching(self._statement, query).with_only_columns(
            literal_column("1").label("one"), maintain_column_froms=True
        )

    def _page(
        self, plan: _Plan, query: ListQuery, cutter: PageCutter
    ) -> Statements[Page[Row[Any]]]:
        found = yield from self._find(plan, query, cutter)
        page = cutter.cut(found, plan.key_of)
        if query.count is CountMode.NONE:
            return page
        total = yield from self.total(query)
        return replace(page, total=total)

    def _find(
        self, plan: _Plan, query: ListQuery, cutter: PageCutter
    ) -> Statements[Sequence[Row[Any]]]:
        """Return up to `cutter.needed` rows beyond its position, the nearest first."""
        values = self._values(query)
        if cutter.position.values:
            values |= key_slots(plan.keys, cutter.position)
        elif query.page is not None:
            values[_OFFSET] = query.offset
        found: list[Row[Any]] = []
        for statement in plan.statements:
            answer = yield Query(statement, values)
            found += answer.rows
            if len(found) >= cutter.needed:
                break
        return found

    def _plan(self, selected: Hashable, query: ListQuery, position: Position) -> _Plan:
        shape = (
            selected,
            query.fields,
            query.is_sparse,
            query.includes,
            query.order,
            query.limit,
            query.page is None,
            position.backward,
            position.inclusive,
            tuple([value is None for value in position.values]),
            self._shape(query),
        )
        return self._kept(shape, lambda: self._make_plan(selected, query, position))

    def _kept(self, shape: Hashable, make: Callable[[], T]) -> T:
        kept: T | None = self._plans.get(shape)
        if kept is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            kept = self._plans[shape] = make()
        return kept

    def _make_plan(self, selected: Hashable, query: ListQuery, position: Position) -> _Plan:
        match selected:
            case "entities":
                entity = self._statement.column_descriptions[0]["entity"]
                selection = self._select_all(query, entity=entity)
                statement = selection.statement.options(*self._loading(query))
            case "rows":
                selection = self._select_all(query)
                statement = selection.statement
            case _:
                selection = self._select_fields(query)
                statement = selection.statement
        keys = self._keys(query, position)
        statement = self._matching(statement, query).order_by(*ordering(keys))
        statement = statement.limit(_number(query.limit + 1))
        if query.page is not None:
            statement = statement.offset(bindparam(_OFFSET, type_=Integer()))
        statements = [statement]
        if position.values:
            narrow = statement.having if self._is_grouped else statement.where
            statements = [narrow(condition) for condition in ranges(keys, position)]
        return _Plan(tuple(statements), tuple(keys), selection.key_of, selection.hidden)

    def _select_all(self, query: ListQuery, *, entity: type | None = None) -> Selection:
        return with_keys(
            self._statement,
            [bare(each["expr"]) for each in self._statement.column_descriptions],
            [column_of(self._columns, key.field) for key in query.sort],
            entity=entity,
        )

    def _select_fields(self, query: ListQuery) -> Selection:
        names = self._record_names(query)
        labels = {name: column_of(self._columns, name).label(name) for name in names}
        statement: Select[Any] = self._statement.with_only_columns(
            *labels.values(), maintain_column_froms=True
        )
        columns = [bare(column_of(self._columns, name)) for name in names]
        keys = [column_of(self._columns, key.field) for key in query.sort]
        found = with_keys(statement, columns, keys)
        return replace(found, hidden=found.hidden + len(names) - len(query.fields))

    def _record_names(self, query: ListQuery) -> tuple[str, ...]:
        """Return the fields to select: those asked for first, then those that are needed."""
        needed = [key.field for key in query.sort]
        if self._includes:
            needed += parents_of(query.includes, self._includes)
        return tuple(dict.fromkeys([*query.fields, *needed]))

    def _loading(self, query: ListQuery) -> list[ExecutableOption]:
        """Return the loader options of an ORM statement: what is asked for, and no more."""
        options: list[ExecutableOption] = []
        for path in query.includes:
            if path not in self._loaders:
                raise ConfigurationError(f"no loader is declared for the include {path!r}")
            options += self._loaders[path]
        entity = self._statement.column_descriptions[0]["entity"]
        wanted = [column_of(self._columns, name) for name in self._record_names(query)]
        own = [
            column
            for column in wanted
            if isinstance(column, InstrumentedAttribute) and column.class_ is entity
        ]
        if query.is_sparse and own:
            options.append(load_only(*own, raiseload=True))
        return [*options, raiseload("*")]

    def _matching(self, statement: Select[Any], query: ListQuery) -> Select[Any]:
        if self._search is not None and query.search:
            statement = statement.where(*self._search.candidates(query.search))
        condition = query.condition
        if condition is ALWAYS:
            return statement
        return statement.where(compile_criteria(condition, self._columns, bind=Slots()))

    def _shape(self, query: ListQuery) -> Hashable:
        """Return what is equal for queries that differ in values only."""
        if self._search is None or not query.search:
            return shape_of(query.condition)
        return shape_of(query.condition), len(self._search.slots(query.search))

    def _values(self, query: ListQuery) -> dict[str, object]:
        """Return what to put into the slots that `_matching` left."""
        condition = query.condition
        values = {} if condition is ALWAYS else slot_values(condition, self._columns)
        if self._search is not None and query.search:
            values |= self._search.slots(query.search)
        return values

    def _keys(self, query: ListQuery, position: Position) -> list[Key]:
        columns = [column_of(self._columns, key.field) for key in query.sort]
        return [
            Key(
                column=column,
                kind=column.type,
                descending=key.descending is not position.backward,
                nullable=not self._is_never_null(key.field),
            )
            for key, column in zip(query.sort, columns, strict=True)
        ]

    def _is_never_null(self, name: str) -> bool:
        if name not in self._never_null:
            column = column_of(self._columns, name)
            self._never_null[name] = never_null(self._statement, column)
        return self._never_null[name]


def _number(limit: int) -> ColumnElement[int]:
    # Not a parameter: PostgreSQL would plan the statement anew for each page, in the hope of
    # a better plan for a known limit.
    return literal_column(str(limit), Integer())
