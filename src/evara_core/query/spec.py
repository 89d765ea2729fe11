"""What an endpoint allows in a list request, and what one request asks for.

A `ListSpec` is declared once, at start-up, and is checked there. Names from outside are
only ever looked up in it: nothing that it does not list can be filtered, sorted or shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from evara_core.errors import ConfigurationError
from evara_core.query.ast import ALWAYS, AllOf, AnyOf, Contains, SortKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.query.ast import Condition

__all__ = [
    "EQUALITY",
    "ORDERING",
    "RESERVED_PARAMETERS",
    "TEXT_SEARCH",
    "CountMode",
    "Field",
    "FieldType",
    "ListQuery",
    "ListSpec",
    "Operator",
]

RESERVED_PARAMETERS = frozenset(
    {"count", "cursor", "fields", "include", "limit", "page", "search", "sort", "where"}
)
"""Parameters with a meaning of their own. No field may bear such a name."""

_FIELD_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SMALLEST_BIGINT = -(2**63)
_LARGEST_BIGINT = 2**63 - 1


class FieldType(StrEnum):
    """What the values of a field are, and so how they are read from text."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MOMENT = "moment"
    UUID = "uuid"
    DOCUMENT = "document"
    """JSON: shown, and perhaps written, but neither filtered nor sorted by."""


class Operator(StrEnum):
    """What may follow `field__` in a filter. Plain `field=` means `eq`, or `in` when repeated."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    BETWEEN = "between"
    """`low,high`, both included."""

    IN = "in"
    NOT_IN = "not_in"
    IS_NULL = "is_null"
    CONTAINS = "contains"


EQUALITY = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN})
ORDERING = frozenset(
    {Operator.LT, Operator.LTE, Operator.GT, Operator.GTE, Operator.BETWEEN},
)
TEXT_SEARCH = frozenset({Operator.CONTAINS})

_OPERATORS_OF = {
    FieldType.TEXT: EQUALITY | ORDERING | TEXT_SEARCH,
    FieldType.INTEGER: EQUALITY | ORDERING,
    FieldType.NUMBER: EQUALITY | ORDERING,
    FieldType.BOOLEAN: EQUALITY,
    FieldType.MOMENT: EQUALITY | ORDERING,
    FieldType.UUID: EQUALITY,
    FieldType.DOCUMENT: frozenset(),
}


class CountMode(StrEnum):
    """How much the total of a list may cost."""

    NONE = "none"
    """Not counted: the default, because a count reads every row that matches."""

    EXACT = "exact"
    CAPPED = "capped"
    """Counted up to a limit: "1,000 or more"."""

    ESTIMATED = "estimated"
    """Exact up to the limit, the planner's guess above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One public name of a list, and what may be done with it."""

    name: str
    type: FieldType = FieldType.TEXT
    operators: frozenset[Operator] = frozenset()
    """The filters that clients may use. `IS_NULL` fits every type."""

    sortable: bool = False
    searchable: bool = False
    """`search=` looks into it. Text only."""

    selectable: bool = True
    """It may be shown. What may not be shown cannot be sorted by either: an order tells."""

    choices: tuple[str, ...] = ()
    """The texts that exist; empty: any text."""

    minimum: int | float | None = None
    maximum: int | float | None = None
    """Bounds of a number that a filter may mention. Integers are of 64 bits by default."""

    min_length: int = 0
    """Shortest text that may be written."""

    max_length: int = 200
    """Longest text in a filter, in characters: longer than any label, short enough to index."""

    is_nullable: bool = True
    """It may be null in an answer. For descriptions of the interface."""

    about: str = ""
    """What it is, in a sentence. The same."""

    schema: Mapping[str, object] | None = field(default=None, compare=False)
    """JSON Schema of a document. None: it may be anything."""

    def __post_init__(self) -> None:
        if problem := self._problem():
            message = f"field {self.name!r}: {problem}"
            raise ConfigurationError(message)

    def _problem(self) -> str | None:
        if _FIELD_NAME.fullmatch(self.name) is None:
            return "a name is lower-case words joined by single underscores"
        if self.name in RESERVED_PARAMETERS:
            return "the name is a parameter of every list"
        unfit = self.operators - _OPERATORS_OF[self.type] - {Operator.IS_NULL}
        if unfit:
            return f"{self.type} has no {', '.join(sorted(unfit))}"
        if self.type is not FieldType.TEXT and (self.searchable or self.choices):
            return "only text is searched or has choices"
        if self.type is FieldType.DOCUMENT and (self.sortable or self.operators):
            return "a document has no order, and is not filtered by"
        if not self.selectable and (self.sortable or self.searchable):
            return "what is not shown is not sorted by or searched"
        return None

    @property
    def range(self) -> tuple[int | float, int | float]:
        """The numbers that a filter may mention, both ends included."""
        if self.type is FieldType.INTEGER:
            low, high = _SMALLEST_BIGINT, _LARGEST_BIGINT
            return (
                low if self.minimum is None else self.minimum,
                high if self.maximum is None else self.maximum,
            )
        return (
            float("-inf") if self.minimum is None else self.minimum,
            float("inf") if self.maximum is None else self.maximum,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSpec:
    """All that clients may ask of one list."""

    name: str
    """Of the resource. A page cursor is good for this resource only."""

    fields: tuple[Field, ...]
    primary_key: tuple[str, ...] = ("id",)
    """Completes every order, so that no two rows are equal in it. Never missing in a row."""

    default_sort: tuple[SortKey, ...] = ()
    """Empty: by the primary key."""

    default_limit: int = 20
    """A screenful."""

    max_limit: int = 100
    """More is cut to this, and the answer says so: a page must fit a response."""

    max_sort_keys: int = 4
    """Each key may cost one more statement per page."""

    max_conditions: int = 50
    """Comparisons in one request. Beyond that a planner takes longer than the query."""

    max_values: int = 200
    """Values in one `in` list."""

    max_depth: int = 4
    """Of groups within groups in `where=`."""

    max_search_words: int = 5
    """Each word is looked for in each searchable field."""

    max_offset: int = 10_000
    """Rows that `page=` may pass over: the cost grows with each. Cursors have no such end."""

    count_modes: tuple[CountMode, ...] = (CountMode.NONE,)
    """What clients may ask for; the first one is the default."""

    count_cap: int = 1_000
    """Where a capped count stops."""

    includes: tuple[str, ...] = ()
    """Related records that may be asked for with `include=`, as dotted paths."""

    version: str = ""
    """Of the API. Cursors of one version are not good for another."""

    _by_name: dict[str, Field] = field(init=False, repr=False, compare=False)
    _selectable: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {each.name: each for each in self.fields}
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(
            self, "_selectable", tuple(each.name for each in self.fields if each.selectable)
        )
        if problem := self._problem():
            message = f"list {self.name!r}: {problem}"
            raise ConfigurationError(message)

    def _problem(self) -> str | None:
        unknown = [name for name in self.primary_key if name not in self._by_name]
        unknown += [key.field for key in self.default_sort if key.field not in self._by_name]
        if len(self._by_name) < len(self.fields):
            return "two fields have the same name"
        if unknown or not self.primary_key:
            return f"not a field: {', '.join(unknown) or 'the primary key'}"
        if not 1 <= self.default_limit <= self.max_limit:
            return "the default limit lies between 1 and the maximum"
        if not self.count_modes:
            return "there is no count mode"
        return None

    def field(self, name: str) -> Field | None:
        """Return the field of this name, or None."""
        return self._by_name.get(name)

    @property
    def selectable(self) -> tuple[str, ...]:
        """The names that may be shown, in the order of declaration."""
        return self._selectable

    @property
    def sortable(self) -> tuple[str, ...]:
        """The names that a client may sort by."""
        return tuple(each.name for each in self.fields if each.sortable)

    @property
    def searchable(self) -> tuple[str, ...]:
        """The names that `search=` looks into."""
        return tuple(each.name for each in self.fields if each.searchable)

    def completed(self, sort: tuple[SortKey, ...]) -> tuple[SortKey, ...]:
        """Return *sort* made total by the primary key, in the direction of its last key.

        One direction throughout lets a database seek with a single row comparison.
        """
        descending = sort[-1].descending if sort else False
        named = {key.field for key in sort}
        missing = (name for name in self.primary_key if name not in named)
        return sort + tuple(SortKey(name, descending=descending) for name in missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """What one request asks of a list, checked and typed. Made by `query.parser`."""

    resource: str
    where: Condition = ALWAYS
    """What the client filters by."""

    scope: Condition = ALWAYS
    """What policy adds: `within`."""

    search: tuple[str, ...] = ()
    """Words. Each must be found in at least one of `search_fields`."""

    search_fields: tuple[str, ...] = ()
    sort: tuple[SortKey, ...]
    """A total order: it ends with the primary key."""

    fields: tuple[str, ...]
    """What to show, in the order that was asked."""

    is_sparse: bool = False
    """The client chose the fields."""

    includes: tuple[str, ...] = ()
    limit: int
    cursor: str | None = None
    """As it was sent. `query.cursor` reads it."""

    page: int | None = None
    """Counted from 1: paging by offset. None: by cursor."""

    count: CountMode = CountMode.NONE
    count_cap: int = 1_000
    version: str = ""

    @property
    def condition(self) -> Condition:
        """All that a row must satisfy: filter, search and scope."""
        parts = [part for part in (self.scope, self.where) if part is not ALWAYS]
        parts += [
            AnyOf(tuple(Contains(name, word) for name in self.search_fields))
            for word in self.search
        ]
        if not parts:
            return ALWAYS
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    @property
    def order(self) -> str:
        """The sort keys in one text, as in `-created_at,id`."""
        return ",".join([f"-{key.field}" if key.descending else key.field for key in self.sort])

    @property
    def offset(self) -> int:
        """Rows to pass over before the first one shown."""
        return 0 if self.page is None else (self.page - 1) * self.limit

    def within(self, scope: Condition) -> ListQuery:
        """Return this query narrowed to *scope* as well: a narrower scope never widens it."""
        both = scope if self.scope == ALWAYS else AllOf((self.scope, scope))
        return replace(self, scope=both)
