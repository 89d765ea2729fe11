"""What a guarded connection lets through, looked at before each statement.

The compiler limits what a statement can reach; the gate looks at what it brings along: the
values of new rows, the columns that are set, the rows that are pointed to, and the kind of
statement at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Delete,
    Insert,
    Integer,
    Select,
    Table,
    Update,
    select,
)
from sqlalchemy.sql.elements import (
    ClauseElement,
    ColumnClause,
    ReleaseSavepointClause,
    RollbackToSavepointClause,
    SavepointClause,
    TextClause,
)
from sqlalchemy.sql.lambdas import StatementLambdaElement
from sqlalchemy.sql.selectable import TableClause

from evara_core.access.tenancy import TableRule
from evara_core.errors import DeniedError, StatementRefusedError
from evara_core.storage.guard.compiler import ScopedCompiler, current_values
from evara_core.storage.guard.policies import converted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column, Connection

    from evara_core.access.tenancy import Kind
    from evara_core.storage.guard.policies import GuardPolicy, Values

__all__ = ["OWN_STATEMENT", "check_cursor", "check_statement"]

OWN_STATEMENT: Final = {"evara_own": object()}
"""Execution options of what this package itself says to the database, as SQL, on the way."""

_SAVEPOINTS: Final = (SavepointClause, RollbackToSavepointClause, ReleaseSavepointClause)
_READS: Final = (Select, CompoundSelect, StatementLambdaElement)
_TRANSACTIONS: Final = re.compile(r"BEGIN(?: IMMEDIATE| DEFERRED| EXCLUSIVE)?|COMMIT|ROLLBACK")
_ROWS: Final = "tenancy:rows"


def check_cursor(statement: str, context: Any, passed: object) -> None:
    """Refuse SQL that did not come from the scoped compiler, of a statement that *passed*.

    Raises:
        StatementRefusedError: It did not.
    """
    compiled = getattr(context, "compiled", None)
    if isinstance(compiled, ScopedCompiler):
        if context.invoked_statement is passed:
            return
        raise StatementRefusedError("a statement that was not looked at", "use execute()")
    if _TRANSACTIONS.fullmatch(statement.strip()):
        return
    if compiled is not None and isinstance(compiled.statement, _SAVEPOINTS):
        return
    options = getattr(context, "execution_options", {})
    if OWN_STATEMENT.items() <= options.items():
        return
    raise StatementRefusedError("SQL as text", "write it with SQLAlchemy's own constructs")


def check_statement(
    connection: Connection,
    statement: Any,
    rows: list[dict[str, Any]],
    policy: GuardPolicy,
    kind: Kind,
    values: Values,
) -> list[dict[str, Any]]:
    """Return the parameters to execute *statement* with, once it may be executed at all.

    Raises:
        StatementRefusedError: It is of a kind that cannot be scoped.
        DeniedError: It would write or point to a row outside the scope.
    """
    current_values.set(values)
    match statement:
        case Insert():
            return _insert(connection, statement, rows, policy, kind, values)
        case Update():
            return _update(connection, statement, rows, policy, kind)
        case Delete():
            _check_table(statement.table, policy, kind)
            return rows
        case _ if isinstance(statement, (*_READS, *_SAVEPOINTS)):
            return rows
        case _ if _is_orm_read(statement):
            return rows
        case TextClause():
            raise StatementRefusedError("text()", "write it with SQLAlchemy's own constructs")
        case _:
            raise StatementRefusedError(
                f"a {type(statement).__name__}",
                "read and write with select, insert, update, delete",
            )


def _is_orm_read(statement: object) -> bool:
    return type(statement).__name__ == "FromStatement" and hasattr(statement, "element")


def _insert(
    connection: Connection,
    statement: Insert,
    rows: list[dict[str, Any]],
    policy: GuardPolicy,
    kind: Kind,
    values: Values,
) -> list[dict[str, Any]]:
    table = _check_table(statement.table, policy, kind)
    given = _rows_of(statement, rows)
    if kind is None:
        return rows
    rule = policy.rule(table)
    preset: dict[str, object] = {}
    if isinstance(rule, TableRule):
        preset = _preset(table, rule, kind, values)
        for row in given:
            _check_owner(row, preset)
    for row in given:
        _check_key(table, row)
    _check_references(connection, table, given, policy)
    if statement._multi_values or not preset:
        return rows
    missing = {
        name: value for name, value in preset.items() if any(row.get(name) is None for row in given)
    }
    return [row | missing for row in rows or [{}]] if missing else rows


def _update(
    connection: Connection,
    statement: Update,
    rows: list[dict[str, Any]],
    policy: GuardPolicy,
    kind: Kind,
) -> list[dict[str, Any]]:
    table = _check_table(statement.table, policy, kind)
    if kind is None:
        return rows
    given = _rows_of(statement, rows)
    fixed = policy.fixed_columns(table)
    for row in given:
        for name in sorted(fixed & row.keys()):
            raise DeniedError(f"{_ROWS}:{table.name}.{name}", "fixed_column")
    _check_references(connection, table, given, policy)
    return rows


def _check_table(table: object, policy: GuardPolicy, kind: Kind) -> Table:
    if not isinstance(table, Table):
        what = (
            "a table that is not known" if isinstance(table, TableClause) else "an alias or a join"
        )
        raise StatementRefusedError(f"a change of {what}", "change the table itself")
    if kind is not None and policy.is_shared(table):
        raise DeniedError(f"{_ROWS}:{table.name}", "shared_table")
    if kind is not None and policy.rule(table).is_read_only:
        raise DeniedError(f"{_ROWS}:{table.name}", "read_only_table")
    return table


def _rows_of(statement: Insert | Update, rows: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Return what each row gets, by column key, wherever and however it was said."""
    names = _Names(statement)
    said = dict(statement._values or {})
    said.update(getattr(statement, "_ordered_values", None) or ())
    groups = getattr(statement, "_multi_values", ()) or ()
    found: list[dict[str, Any]] = []
    for parameters in rows or [{}]:
        fixed = {names.key(name): _bound(value, parameters) for name, value in said.items()}
        brought = {name: value for name, value in parameters.items() if name in names.columns}
        several = [names.row(row, parameters) for group in groups for row in group]
        found += [fixed | row for row in several] or [fixed | brought]
    return found


class _Names:
    """What the names in a statement stand for: the ORM has names of its own for columns."""

    def __init__(self, statement: Insert | Update) -> None:
        self._table = statement.table
        self.columns = frozenset(statement.table.c.keys())
        subject = statement._propagate_attrs.get("plugin_subject")
        self._mapper: Any = getattr(subject, "mapper", None)

    def key(self, name: Any) -> str:
        """Return the key of the column that *name* stands for."""
        text = name if isinstance(name, str) else name.key
        attributes = {} if self._mapper is None else self._mapper.column_attrs
        if not isinstance(name, ColumnClause) and text in attributes:
            text = attributes[text].columns[0].key
        if text not in self.columns:
            raise StatementRefusedError(f"a value for {text!r}", "name a column of the table")
        return text

    def row(self, row: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return one row of many, which may be a tuple in the order of the table."""
        if not isinstance(row, dict):
            row = dict(zip(self._table.c.keys(), row, strict=False))
        return {self.key(name): _bound(value, parameters) for name, value in row.items()}


def _bound(value: object, parameters: Mapping[str, Any]) -> object:
    """Return the value that will be used: a named parameter gets it at execution."""
    if not isinstance(value, BindParameter):
        return value
    return parameters.get(value.key, value.effective_value)


def _preset(table: Table, rule: TableRule, kind: Kind, values: Values) -> dict[str, object]:
    found: dict[str, object] = {}
    for dimension in kind or ():
        name = rule.column(dimension)
        if name is None:
            raise DeniedError(f"{_ROWS}:{table.name}", "not_of_this_scope")
        found[name] = converted(table.c[name], values[dimension])
    return found


def _check_owner(row: Mapping[str, Any], preset: Mapping[str, object]) -> None:
    for name, value in preset.items():
        given = row.get(name)
        if given is None:
            continue
        if isinstance(given, ClauseElement) or str(given) != str(value):
            raise DeniedError(f"{_ROWS}:{name}", "out_of_scope")


def _check_key(table: Table, row: Mapping[str, Any]) -> None:
    """Refuse keys that a client could guess: a collision would tell of another's row."""
    for column in table.primary_key:
        value = row.get(column.key)
        is_guessable = isinstance(column.type, Integer) and not column.foreign_keys
        if value is not None and (is_guessable or isinstance(value, ClauseElement)):
            raise StatementRefusedError(
                f"a value for the key {table.name}.{column.name}", "let the database number it"
            )


def _check_references(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], policy: GuardPolicy
) -> None:
    """Refuse references to rows that cannot be seen: they are looked for within the scope."""
    for column in table.columns:
        for reference in column.foreign_keys:
            parent = reference.column.table
            if policy.is_shared(parent):
                continue
            wanted = _references(table, column, rows)
            wanted -= {row.get(reference.column.key) for row in rows if parent is table}
            if wanted and not _all_seen(connection, reference.column, wanted):
                raise DeniedError(f"{_ROWS}:{parent.name}", "reference_out_of_scope")


def _references(table: Table, column: Column[Any], rows: Iterable[Mapping[str, Any]]) -> set[Any]:
    found = {row[column.key] for row in rows if row.get(column.key) is not None}
    if any(isinstance(value, ClauseElement) for value in found):
        raise StatementRefusedError(
            f"an expression for the reference {table.name}.{column.name}", "look the key up first"
        )
    return found


def _all_seen(connection: Connection, key: Column[Any], wanted: set[Any]) -> bool:
    seen = set(connection.scalars(select(key).where(key.in_(sorted(wanted, key=str))).distinct()))
    return {str(each) for each in wanted} <= {str(each) for each in seen}
