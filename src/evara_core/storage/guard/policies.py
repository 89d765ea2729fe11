"""To whom the rows of each table belong, as criteria that the compiler puts in.

A table is owned (its columns carry the ids), reached through a parent, or shared. One that
the policy does not name is closed, whoever asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import Table, bindparam, false, select
from typing_extensions import override

from evara_core.access.tenancy import (
    All,
    Dimension,
    Kind,
    Ownership,
    Rows,
    TableRule,
    TenancyPolicy,
    Through,
)
from evara_core.errors import ConfigurationError, StatementRefusedError
from evara_core.query.ast import ALWAYS, NEVER
from evara_core.storage.criteria import Binder, compile_criteria

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement, FromClause, MetaData
    from sqlalchemy.types import TypeEngine

    from evara_core.access.tenancy import Scope
    from evara_core.query.ast import Condition

__all__ = ["GuardPolicy", "Values", "converted", "kind_of", "values_of"]

Values: TypeAlias = "Mapping[Dimension, str]"
"""The ids of a scope. Statements are compiled once for each kind of scope, and the ids are
parameters of it."""

_NAME_A_RULE: Final = "give the table a rule in the GuardPolicy"


class GuardPolicy:
    """A `TenancyPolicy` over the tables of one `MetaData`, by their names.

    Raises:
        ConfigurationError: A rule names a table or column that is not there, a parent without
            a rule, or leads in a circle; a table has a schema (set `search_path` instead).
    """

    def __init__(self, metadata: MetaData, policy: TenancyPolicy | Mapping[str, Ownership]) -> None:
        self.metadata = metadata
        self.tenancy = policy if isinstance(policy, TenancyPolicy) else TenancyPolicy(policy)
        self._rules = {
            self._table(name): self.tenancy.rule(name) for name in sorted(self.tenancy.tables)
        }
        for table, rule in self._rules.items():
            self._check(table, rule)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that have a rule."""
        return tuple(self._rules)

    def rule(self, table: FromClause) -> Ownership:
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
        return keys if isinstance(rule, Through) else keys | _owners(rule)

    def condition(self, table: Table, kind: Kind) -> Condition:
        """Return the condition for *kind* of the row that has the ids: this one or a parent.

        Its values are the names of the dimensions, each in the place of the id.
        """
        self.rule(table)
        scope = All() if kind is None else Rows(tuple((each, each.value) for each in kind))
        return self.tenancy.condition(scope, table.name)

    def criterion(
        self, table: Table, kind: Kind, values: Callable[[], Values]
    ) -> ColumnElement[bool] | None:
        """Return what rows of *table* must fulfil; None if there is no condition.

        *values* is called at each execution, for the ids of the scope at that moment.
        """
        condition = self.condition(table, kind)
        if condition == ALWAYS:
            return None
        if condition == NEVER:
            return false()
        rule = self.rule(table)
        if isinstance(rule, Through):
            # An alias, so that it is not taken for a table of the statement around it. The
            # compiler limits the parent itself, here as anywhere.
            seen = self.metadata.tables[rule.parent].alias()
            [key] = seen.primary_key
            return table.c[rule.column].in_(select(key).correlate(None))
        return compile_criteria(condition, dict(table.c), bind=_Later(values))

    def _table(self, name: str) -> Table:
        table = self.metadata.tables.get(name)
        if table is None:
            raise ConfigurationError(f"there is no table {name!r}")
        if table.schema is not None:
            raise ConfigurationError(f"table {name!r} has a schema: set search_path instead")
        return table

    def _check(self, table: Table, rule: Ownership) -> None:
        named = {rule.column} if isinstance(rule, Through) else _owners(rule)
        missing = [name for name in named if name not in table.c]
        if missing:
            raise ConfigurationError(f"table {table.name!r} has no column {missing[0]!r}")
        if isinstance(rule, Through) and len(self._table(rule.parent).primary_key) != 1:
            raise ConfigurationError(
                f"table {table.name!r}: its parent {rule.parent!r} needs a key of one column"
            )


class _Later(Binder):
    """The ids come at each execution; in the condition there are names of dimensions."""

    def __init__(self, values: Callable[[], Values]) -> None:
        self._values = values

    @override
    def one(self, value: object, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        dimension, values = Dimension(str(value)), self._values
        return bindparam(
            None,
            callable_=lambda: _compared(kind, values()[dimension]),
            type_=kind,
            unique=True,
        )

    @override
    def many(self, values: Sequence[object], kind: TypeEngine[Any]) -> Any:
        return [self.one(value, kind) for value in values]


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
    """Return an id in the Python type of *column*, to be written.

    Raises:
        StatementRefusedError: It is none.
    """
    return _in_type(column.type, value)


def _compared(kind: TypeEngine[Any], value: str) -> object:
    """Return an id to compare with; one that is not of the column's type equals nothing."""
    try:
        return _in_type(kind, value)
    except StatementRefusedError:
        return None


def _in_type(kind: TypeEngine[Any], value: str) -> object:
    try:
        python = kind.python_type
    except NotImplementedError:
        return value
    if python not in {UUID, int}:
        return value
    try:
        return python(value)
    except ValueError as error:
        raise StatementRefusedError(
            f"an id of the scope that is no {python.__name__}", "check the ids of the principal"
        ) from error


def _owners(rule: TableRule) -> frozenset[str]:
    named = (rule.column(dimension) for dimension in Dimension)
    return frozenset(name for name in named if name is not None)
