"""Which columns a role may read and write: what is not listed cannot be sent or seen.

Tenant columns are preset from the scope of the caller, keys and tenant columns are never
changed, and a hidden column can neither be filtered nor sorted by, since an order tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from evara_core.access.tenancy import Dimension, Rows, permitted_scope
from evara_core.errors import ConfigurationError, DeniedError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.access.principal import Principal
    from evara_core.query.spec import Field, ListSpec

__all__ = ["ColumnPolicy", "ColumnRule", "TableColumns", "Verb", "narrowed"]

_COLUMNS: Final = "columns"


class Verb(StrEnum):
    """How columns are written."""

    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What one role may do with the columns of one table."""

    readable: frozenset[str] = frozenset()
    creatable: frozenset[str] = frozenset()
    updatable: frozenset[str] = frozenset()
    presets: Mapping[str, Dimension] = field(default_factory=dict)
    """Columns that the server sets in a new row, from the ids of the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """The columns of a table, and who may do what with them.

    Raises:
        ConfigurationError: A rule names a column that is not there, lets a fixed one be
            changed, or lets one be sent that is preset.
    """

    columns: frozenset[str]
    fixed: frozenset[str]
    """Never changed once the row is there: keys, tenant columns, `created_at`."""

    by_role: Mapping[str, ColumnRule]

    def __post_init__(self) -> None:
        for role, rule in self.by_role.items():
            named = rule.readable | rule.creatable | rule.updatable | rule.presets.keys()
            if unknown := sorted(named - self.columns):
                raise ConfigurationError(f"{role}: no such columns: {unknown}")
            if unfit := sorted(rule.updatable & self.fixed):
                raise ConfigurationError(f"{role}: fixed columns cannot be changed: {unfit}")
            sent = rule.creatable | rule.updatable
            if sent & rule.presets.keys():
                raise ConfigurationError(f"{role}: what is preset cannot be sent")


class ColumnPolicy:
    """The column lists of all tables. A table or role that is not named is closed."""

    def __init__(self, tables: Mapping[str, TableColumns]) -> None:
        self._tables = dict(tables)

    @property
    def tables(self) -> Mapping[str, TableColumns]:
        """The lists by table."""
        return self._tables

    def readable(self, principal: Principal, table: str) -> frozenset[str]:
        """Return the columns that *principal* may see.

        Raises:
            DeniedError: The role has no rule for this table.
        """
        return self._rule(principal.role, table).readable

    def writable(self, principal: Principal, table: str, verb: Verb) -> frozenset[str]:
        """Return the columns that *principal* may send.

        Raises:
            DeniedError: The role has no rule for this table.
        """
        rule = self._rule(principal.role, table)
        return rule.creatable if verb is Verb.CREATE else rule.updatable

    def accepted(
        self, principal: Principal, table: str, verb: Verb, sent: Mapping[str, object]
    ) -> dict[str, object]:
        """Return what may be written of what was *sent*, completed by what the server sets.

        Raises:
            InvalidParameterError: A column was sent that is not the caller's to write. Nothing
                is left out in silence.
            DeniedError: The role has no rule for this table, or no scope to preset from.
        """
        allowed = self.writable(principal, table, verb)
        for name in sent:
            if name not in allowed:
                raise InvalidParameterError(name, "cannot be written", tuple(sorted(allowed)))
        values = dict(sent)
        if verb is Verb.CREATE:
            values.update(self._preset(principal, table))
        return values

    def _preset(self, principal: Principal, table: str) -> dict[str, object]:
        presets = self._rule(principal.role, table).presets
        if not presets:
            return {}
        scope = permitted_scope(principal)
        ids = dict(scope.ids) if isinstance(scope, Rows) else {}
        if not set(presets.values()) <= ids.keys():
            raise DeniedError(f"{_COLUMNS}:{table}", "preset_without_id")
        return {column: ids[dimension] for column, dimension in presets.items()}

    def _rule(self, role: str, table: str) -> ColumnRule:
        columns = self._tables.get(table)
        rule = None if columns is None else columns.by_role.get(role)
        if rule is None:
            raise DeniedError(f"{_COLUMNS}:{table}", "columns_without_rule")
        return rule


def narrowed(spec: ListSpec, readable: frozenset[str]) -> ListSpec:
    """Return *spec* without what is not *readable*: not shown, filtered, sorted or searched by.

    The primary key stays, since pages are cut by it, but shows itself only if it may.
    """
    fields = [
        each if each.name in readable else _silent(each)
        for each in spec.fields
        if each.name in readable or each.name in spec.primary_key
    ]
    names = {each.name for each in fields}
    sort = tuple(key for key in spec.default_sort if key.field in names & readable)
    return replace(spec, fields=tuple(fields), default_sort=sort)


def _silent(hidden: Field) -> Field:
    return replace(
        hidden, selectable=False, sortable=False, searchable=False, operators=frozenset()
    )
