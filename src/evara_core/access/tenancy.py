"""Whom a row belongs to, and who may see it.

One rule, put four ways: a condition on rows, the topics that a listener may hear, the part
of a cache key, and a plain question about one row. They agree: a row is heard of exactly
where it is seen. Whatever is unknown sees nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from evara_core.access.principal import Principal, Role
from evara_core.errors import ConfigurationError, DeniedError
from evara_core.query.ast import ALWAYS, NEVER, AllOf, Compare, Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.query.ast import Condition

__all__ = [
    "KINDS",
    "PLATFORM_TOPIC",
    "All",
    "Dimension",
    "Kind",
    "Nothing",
    "Ownership",
    "Rows",
    "Scope",
    "ScopeFault",
    "TableRule",
    "Tenancy",
    "TenancyPolicy",
    "Through",
    "admits",
    "cache_key",
    "permitted_scope",
    "scope_of",
    "topics_of",
]

PLATFORM_TOPIC: Final = "platform"
"""The topic that hears everything. Only who sees all rows may subscribe to it."""

_ROWS: Final = "tenancy:rows"


class Dimension(StrEnum):
    """What a row can belong to."""

    DISTRIBUTOR = "distributor_id"
    COMMUNITY = "community_id"
    CUSTOMER = "customer_id"


class ScopeFault(StrEnum):
    """Why somebody sees nothing. For the log."""

    ROLE_UNKNOWN = "role_unknown"
    DISTRIBUTOR_MISSING = "distributor_id_missing"
    COMMUNITY_MISSING = "community_id_missing"
    CUSTOMER_MISSING = "customer_id_missing"
    TABLE_WITHOUT_POLICY = "table_without_policy"


@dataclass(frozen=True, slots=True)
class All:
    """Every row."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that carry all of these ids."""

    ids: tuple[tuple[Dimension, str], ...]

    def __post_init__(self) -> None:
        if not self.ids:
            raise ConfigurationError("a scope without ids would be every row: say All")


@dataclass(frozen=True, slots=True)
class Nothing:
    """No row."""

    reason: ScopeFault


Scope: TypeAlias = All | Rows | Nothing

_SEEN_BY: Final[Mapping[str, tuple[Dimension, ...]]] = {
    Role.SUPERADMIN: (),
    Role.DISTRIBUTOR: (Dimension.DISTRIBUTOR,),
    Role.AUDITOR: (Dimension.DISTRIBUTOR,),
    Role.COMMUNITY_MANAGER: (Dimension.COMMUNITY,),
    Role.CUSTOMER: (Dimension.DISTRIBUTOR, Dimension.CUSTOMER),
}
Kind: TypeAlias = tuple[Dimension, ...] | None
"""By which ids a scope is limited; None: by none, it sees all."""

KINDS: Final = tuple(dict.fromkeys(kind for kind in _SEEN_BY.values() if kind))
"""All that limited scopes can be limited by."""

_MISSING: Final[Mapping[Dimension, ScopeFault]] = {
    Dimension.DISTRIBUTOR: ScopeFault.DISTRIBUTOR_MISSING,
    Dimension.COMMUNITY: ScopeFault.COMMUNITY_MISSING,
    Dimension.CUSTOMER: ScopeFault.CUSTOMER_MISSING,
}


def scope_of(principal: Principal) -> Scope:
    """Return which rows *principal* may see. Total: what does not fit is `Nothing`."""
    dimensions = _SEEN_BY.get(principal.role)
    if dimensions is None:
        return Nothing(ScopeFault.ROLE_UNKNOWN)
    if principal.role == Role.SUPERADMIN:
        return All()
    ids: list[tuple[Dimension, str]] = []
    for dimension in dimensions:
        value = _id_of(principal, dimension)
        if value is None:
            return Nothing(_MISSING[dimension])
        ids.append((dimension, value))
    return Rows(tuple(ids))


def permitted_scope(principal: Principal) -> All | Rows:
    """Return which rows *principal* may see, if any: before a query is made.

    Raises:
        DeniedError: None; `reason` is a `ScopeFault`.
    """
    scope = scope_of(principal)
    if isinstance(scope, Nothing):
        raise DeniedError(_ROWS, scope.reason)
    return scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """The place of a row in platform → distributor → community → customer."""

    distributor_id: str
    community_id: str | None = None
    customer_id: str | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """The real-time topics that hear of this row."""
        topics = [PLATFORM_TOPIC, _topic(((Dimension.DISTRIBUTOR, self.distributor_id),))]
        if self.community_id is not None:
            topics.append(_topic(((Dimension.COMMUNITY, self.community_id),)))
        if self.customer_id is not None:
            ids = (
                (Dimension.DISTRIBUTOR, self.distributor_id),
                (Dimension.CUSTOMER, self.customer_id),
            )
            topics.append(_topic(ids))
        return tuple(topics)

    @property
    def ids(self) -> dict[str, str | None]:
        """The ids by their names, as a row has them."""
        return {str(dimension): self.id_of(dimension) for dimension in Dimension}

    def id_of(self, dimension: Dimension) -> str | None:
        """Return the id that this row carries there."""
        match dimension:
            case Dimension.DISTRIBUTOR:
                return self.distributor_id
            case Dimension.COMMUNITY:
                return self.community_id
            case Dimension.CUSTOMER:
                return self.customer_id


def topics_of(who: Principal | Scope) -> tuple[str, ...]:
    """Return the real-time topics that hear exactly the rows which *who* may see."""
    match _scope(who):
        case All():
            return (PLATFORM_TOPIC,)
        case Rows(ids):
            return (_topic(ids),)
        case Nothing():
            return ()


def cache_key(who: Principal | Scope) -> str:
    """Return the part of a cache key that keeps scopes apart.

    Equal for equal scopes only, and the same in every process and version.
    """
    match _scope(who):
        case All():
            return "all"
        case Rows(ids):
            return _topic(ids)
        case Nothing():
            return "nothing"


def admits(scope: Scope, row: Tenancy | Mapping[str, object]) -> bool:
    """Return whether *row* is in *scope*. A row is a `Tenancy`, or ids by their names."""
    match scope:
        case All():
            return True
        case Rows(ids):
            return all(_carried(row, dimension) == value for dimension, value in ids)
        case Nothing():
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRule:
    """How a table says to whom its rows belong: in which column each id is.

    A dimension that has no column here cannot be told from the row, so who is limited to
    it sees nothing of this table. `is_shared` marks tables that belong to nobody, such as
    device models: all who see anything see all of it, and who is limited changes none of it.
    """

    distributor_id: str | None = None
    community_id: str | None = None
    customer_id: str | None = None
    is_shared: bool = False
    is_read_only: bool = False
    """Who is limited may look and not write, as in an audit log."""

    def __post_init__(self) -> None:
        has_columns = any((self.distributor_id, self.community_id, self.customer_id))
        if has_columns == self.is_shared:
            raise ConfigurationError(
                "a table is shared, or names the columns of its owners: one of the two"
            )

    def column(self, dimension: Dimension) -> str | None:
        """Return the column that carries this id."""
        match dimension:
            case Dimension.DISTRIBUTOR:
                return self.distributor_id
            case Dimension.COMMUNITY:
                return self.community_id
            case Dimension.CUSTOMER:
                return self.customer_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """A row of the table belongs to whom its parent belongs."""

    column: str
    """NOT NULL, and refers to the parent's primary key, which is one column."""

    parent: str
    is_read_only: bool = False


Ownership: TypeAlias = TableRule | Through


class TenancyPolicy:
    """Which table is scoped by which columns, or through which parent.

    A table that is not named is closed.

    Raises:
        ConfigurationError: A parent has no rule, or is reached through itself.
    """

    def __init__(self, tables: Mapping[str, Ownership]) -> None:
        self._tables = dict(tables)
        self._owners = {name: self._owner_of(name) for name in tables}

    @property
    def tables(self) -> frozenset[str]:
        """The tables that have a rule."""
        return frozenset(self._tables)

    def rule(self, table: str) -> Ownership:
        """Return the rule of *table*.

        Raises:
            DeniedError: It has none.
        """
        rule = self._tables.get(table)
        if rule is None:
            raise DeniedError(_ROWS, ScopeFault.TABLE_WITHOUT_POLICY)
        return rule

    def owner(self, table: str) -> TableRule:
        """Return the rule that says whose the rows are: its own, or that of its last parent.

        Raises:
            DeniedError: The table has no rule.
        """
        self.rule(table)
        return self._owners[table]

    def condition(self, scope: Scope, table: str) -> Condition:
        """Return what rows of *table* must fulfil to be in *scope*.

        For a table that is reached through a parent, it is what the row of that last parent
        must fulfil, which has the ids.

        Raises:
            DeniedError: The table has no rule: not even `All` opens it.
        """
        rule = self.owner(table)
        match scope:
            case All():
                return ALWAYS
            case Nothing():
                return NEVER
            case Rows() if rule.is_shared:
                return ALWAYS
            case Rows(ids):
                return _carries(rule, ids)

    def _owner_of(self, table: str) -> TableRule:
        seen, rule = [table], self._tables[table]
        while isinstance(rule, Through):
            if rule.parent in seen or rule.parent not in self._tables:
                why = "leads in a circle" if rule.parent in seen else "has no rule"
                raise ConfigurationError(f"table {table!r}: its parent {rule.parent!r} {why}")
            seen.append(rule.parent)
            rule = self._tables[rule.parent]
        return rule


def _carries(rule: TableRule, ids: tuple[tuple[Dimension, str], ...]) -> Condition:
    parts: list[Condition] = []
    for dimension, value in ids:
        column = rule.column(dimension)
        if column is None:
            return NEVER
        parts.append(Compare(column, Comparison.EQ, value))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _scope(who: Principal | Scope) -> Scope:
    return scope_of(who) if isinstance(who, Principal) else who


def _id_of(principal: Principal, dimension: Dimension) -> str | None:
    """Return an id of the caller; None if it is missing, empty, or no text at all."""
    value: object = getattr(principal, dimension)
    return value if isinstance(value, str) and value else None


def _carried(row: Tenancy | Mapping[str, object], dimension: Dimension) -> object:
    return row.id_of(dimension) if isinstance(row, Tenancy) else row.get(dimension)


def _topic(ids: tuple[tuple[Dimension, str], ...]) -> str:
    # Ids are escaped: "a&customer_id=b" must not pass for two of them.
    return "&".join(
        f"{dimension}={quote(value, '', errors='surrogatepass')}" for dimension, value in ids
    )
