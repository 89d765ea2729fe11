"""To whom the rows of each table belong, as criteria that the compiler puts in.

A table is owned (its columns carry the ids), reached through a parent, or shared. One that
the policy does not name is closed, whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import Table, and_, bindparam, false, select

from evara_core.access.tenancy import All, Dimension, Rows, TableRule
from evara_core.errors import ConfigurationError, StatementRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Column, ColumnElement, FromClause, MetaData

    from evara_core.access.tenancy import Scope

__all__ = ["GuardPolicy", "GuardRule", "Kind", "Through", "Values", "kind_of", "values_of"]

Kind: TypeAlias = tuple[Dimension, ...] | None
"""By which ids a scope is limited; None: by none, it sees all. Statements are compiled once
for each kind; the ids themselves are parameters."""

Values: TypeAlias = "Mapping[Dimension, str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """A row belongs to whom its parent belongs."""

    column: str
    """A NOT NULL foreign key to the parent's primary key, which is one column."""

    parent: str


GuardRule: TypeAlias = TableRule | Through

_NAME_A_RULE: Final = "give the table a rule in the GuardPolicy"


class GuardPolicy:
    """The rules of the tables of one `MetaData`, by table name.

    Raises:
        ConfigurationError: A rule names a table or column that is not there, a parent without
            a rule, or leads in a circle; a table has a schema (set `search_path` instead).
    """

    def __init__(self, metadata: MetaData, rules: Mapping[str, GuardRule]) -> None:
        self.metadata = metadata
        self._rules = {self._table(name): rule for name, rule in rules.items()}
        for table, rule in self._rules.items():
            self._check(table, rule)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that have a rule."""
        return tuple(self._rules)

    def rule(self, table: FromClause) -> GuardRule:
        """Return the rule of *table*.

        Raises:
            StatementRefusedError: It has none, or is not a table of this policy's metadata.
        """
        rule = self._rules.get(table) if isinstance(table, Table) else None
        if rule is None:
            name = getattr(table, "name", table)
            raise StatementRefusedError(f"table {name!r} has no rule", _NAME_A_RULE)
        return rule

    def is_shared(self, table: FromClause) -> bool:
        """Return whether *table* belongs to nobody."""
        rule = self.rule(table)
        return isinstance(rule, TableRule) and rule.is_shared

    def fixed_columns(self, table: Table) -> frozenset[str]:
        """Return the keys of the columns that are never changed: keys and owners.

        What leads to a parent may be changed, to another one of the same scope.
        """
        keys = frozenset(column.key for column in table.primary_key)
        rule = self.rule(table)
        return keys if isinstance(rule, Through) else keys | self._owners(rule)

    def _owners(self, rule: TableRule) -> frozenset[str]:
        named = (rule.column(dimension) for dimension in Dimension)
        return frozenset(name for name in named if name is not None)

    def criterion(
        self, table: Table, kind: Kind, values: Callable[[], Values]
    ) -> ColumnElement[bool] | None:
        """Return what rows of *table* must fulfil; None if there is no condition.

        *values* is called at each execution, for the ids of the scope at that moment.
        """
        rule = self.rule(table)
        if kind is None:
            return None
        if isinstance(rule, Through):
            return self._through(table, rule, kind, values)
        if rule.is_shared:
            return None
        parts: list[ColumnElement[bool]] = []
        for dimension in kind:
            name = rule.column(dimension)
            if name is None:
                return false()
            parts.append(table.c[name] == _bound(table.c[name], dimension, values))
        return and_(*parts)

    def _through(
        self, table: Table, rule: Through, kind: Kind, values: Callable[[], Values]
    ) -> ColumnElement[bool] | None:
        parent = self.metadata.tables[rule.parent]
        if self.criterion(parent, kind, values) is None:
            return None
        # An alias, so that it is not taken for a table of the statement around it. The
        # compiler limits the parent itself, here as anywhere.
        seen = parent.alias()
        [key] = seen.primary_key
        return table.c[rule.column].in_(select(key).correlate(None))

    def _table(self, name: str) -> Table:
        table = self.metadata.tables.get(name)
        if table is None:
            raise ConfigurationError(f"there is no table {name!r}")
        if table.schema is not None:
            raise ConfigurationError(f"table {name!r} has a schema: set search_path instead")
        return table

    def _check(self, table: Table, rule: GuardRule) -> None:
        named = {rule.column} if isinstance(rule, Through) else self._owners(rule)
        missing = [name for name in named if name not in table.c]
        if missing:
            raise ConfigurationError(f"table {table.name!r} has no column {missing[0]!r}")
        seen, current = {table.name}, rule
        while isinstance(current, Through):
            parent = self.metadata.tables.get(current.parent)
            if parent is None or parent not in self._rules or len(parent.primary_key) != 1:
                raise ConfigurationError(
                    f"table {table.name!r}: parent {current.parent!r} has no rule, or not one key"
                )
            if current.parent in seen:
                raise ConfigurationError(f"table {table.name!r} is reached through itself")
            seen.add(current.parent)
            current = self._rules[parent]


def kind_of(scope: Scope) -> Kind:
    """Return by which ids *scope* is limited.

    Raises:
        StatementRefusedError: It is a scope of no rows: then nothing is asked.
    """
    match scope:
        case All():
            return None
        case Rows(ids):
            return tuple(dimension for dimension, _ in ids)
        case nothing:
            raise StatementRefusedError(
                f"the caller has no scope ({nothing.reason})", "ask permitted_scope first"
            )


def values_of(scope: Scope) -> Values:
    """Return the ids of *scope*."""
    return dict(scope.ids) if isinstance(scope, Rows) else {}


def converted(column: Column[Any], value: str) -> object:
    """Return an id in the Python type of *column*."""
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return value
    if kind is UUID:
        return UUID(value)
    return int(value) if kind is int else value


def _bound(
    column: Column[Any], dimension: Dimension, values: Callable[[], Values]
) -> ColumnElement[Any]:
    return bindparam(
        None,
        callable_=lambda: converted(column, values()[dimension]),
        type_=column.type,
        unique=True,
    )
