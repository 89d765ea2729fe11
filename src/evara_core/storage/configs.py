"""Where the configuration of a node is kept: typed, in the table of its kind.

What the kind's table has a column for is there and nowhere else. The rest, such as
`level_cm.max_step`, and all of a kind that has no table, is in `nodes.config`. Whoever reads a
node gets one mapping of both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, TypeDecorator, case, insert, literal_column, null, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from typing_extensions import override

from evara_core.errors import ConfigurationError
from evara_core.storage.statements import Query
from evara_core.storage.tables import deep_configs, flow_configs, nodes, tank_configs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Dialect, Table
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine

    from evara_core.storage.statements import Statements

__all__ = ["STANDARD_CONFIGS", "ConfigTables"]

KEY: Final = "node_key"
"""The column of every such table that names the node."""


@dataclass(frozen=True, slots=True)
class ConfigTables:
    """Which kinds have a table, and which. A kind that is not named has none.

    A registry is a value: `STANDARD_CONFIGS.plus("pump", my_table)` leaves the standard one
    alone. The columns of a table, but for `node_key`, are named as `Node.config` names them,
    and hold doubles that may be NULL.

    Raises:
        ConfigurationError: A table has no `node_key`.
    """

    by_kind: Mapping[str, Table]

    def __post_init__(self) -> None:
        for kind, table in self.by_kind.items():
            if KEY not in table.c:
                problem = f"the table of kind {kind!r} needs a column {KEY!r}"
                raise ConfigurationError(problem)

    def plus(self, kind: str, table: Table) -> ConfigTables:
        """Return a registry in which *kind* has *table*, which its own migration makes."""
        return ConfigTables(MappingProxyType({**self.by_kind, kind: table}))

    def names(self, kind: str) -> tuple[str, ...]:
        """Return what is kept typed of a node of *kind*."""
        table = self.by_kind.get(kind)
        return () if table is None else tuple(c.name for c in table.c if c.name != KEY)

    def rest(self, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of *config* stays in `nodes.config`."""
        typed = self._typed(kind, config)
        return {name: value for name, value in config.items() if name not in typed}

    @property
    def sizes(self) -> ColumnElement[Any]:
        """What the table of its kind holds of a node, as a column `sizes` beside `nodes`."""
        return self._sizes(_SizesObject).label("sizes")

    @property
    def whole(self) -> ColumnElement[Any]:
        """All of a node's configuration, as a column beside `nodes`."""
        return _WholeArray(nodes.c.config, self._sizes(_JsonObject))

    def put(self, configs: Iterable[tuple[int, str, Mapping[str, Any]]]) -> Statements[None]:
        """Put in what is kept typed of nodes that have nothing yet: key, kind and all of it.

        One statement for each kind.

        Raises:
            ConflictError: A value is none that can be. Nothing of its kind was put in.
        """
        by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for key, kind, config in configs:
            if typed := self._typed(kind, config):
                nothing = dict.fromkeys(self.names(kind))
                by_kind[kind].append({KEY: key, **nothing, **typed})
        for kind, rows in by_kind.items():
            yield Query(insert(self.by_kind[kind]), rows)

    def replace(self, configs: Sequence[tuple[int, str, Mapping[str, Any]]]) -> Statements[None]:
        """Put in what is kept typed of nodes instead of what is there.

        Raises:
            ConflictError: A value is none that can be. Roll back: what was there is gone.
        """
        for kind in sorted({kind for _, kind, _ in configs} & set(self.by_kind)):
            table, keys = self.by_kind[kind], [key for key, own, _ in configs if own == kind]
            yield Query(table.delete().where(table.c[KEY].in_(keys)))
        yield from self.put(configs)

    def _typed(self, kind: str, config: Mapping[str, Any]) -> dict[str, float]:
        # What is no number is not refused here: it stays what it is, among the rest.
        found = {name: config[name] for name in self.names(kind) if name in config}
        return {name: float(value) for name, value in found.items() if _is_number(value)}

    def _sizes(self, form: type[_JsonObject]) -> ColumnElement[Any]:
        # A look into the one table, by its key, and none for kinds without: it goes wherever
        # `nodes` goes, and takes no part in its joins.
        if not self.by_kind:
            return null()
        of_kind = self.by_kind.items()
        return case(*((nodes.c.kind == kind, _row_of(table, form)) for kind, table in of_kind))


STANDARD_CONFIGS = ConfigTables(
    MappingProxyType({"tank": tank_configs, "deep": deep_configs, "flow": flow_configs})
)
"""The tables of the kinds that come with the library."""


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _row_of(table: Table, form: type[_JsonObject]) -> ColumnElement[Any]:
    pairs: list[ColumnElement[Any]] = []
    for column in table.c:
        if column.name != KEY:
            pairs += [literal_column(f"'{column.name}'"), column]
    own = table.c[KEY] == nodes.c.node_key
    row = select(form(*pairs)).where(own)
    return row.correlate(nodes).scalar_subquery()


class _Sizes(TypeDecorator[dict[str, float]]):
    """The row of a table, without what is not known."""

    impl = JSON
    cache_ok = True

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, float]:
        # PostgreSQL writes 200.0 as 200.
        found = value or {}
        return {name: float(size) for name, size in found.items() if size is not None}


class _Whole(TypeDecorator[dict[str, Any]]):
    """Both parts of a configuration."""

    impl = JSON
    cache_ok = True

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        if value is None:
            return None
        rest, sizes = value
        known = {name: float(size) for name, size in (sizes or {}).items() if size is not None}
        return {**known, **rest}


class _JsonObject(FunctionElement[Any]):
    """An object, of names and values in turn."""

    name = "evara_json_object"
    type: TypeEngine[Any] = JSON()
    inherit_cache = True


class _SizesObject(_JsonObject):
    name = "evara_sizes"
    type = _Sizes()
    inherit_cache = True


class _WholeArray(FunctionElement[Any]):
    """An array of documents."""

    name = "evara_whole_config"
    type = _Whole()
    inherit_cache = True


@compiles(_JsonObject)
@compiles(_SizesObject)
def _object(element: _JsonObject, compiler: SQLCompiler, **more: object) -> str:
    return f"json_build_object({compiler.process(element.clauses, **more)})"


@compiles(_JsonObject, "sqlite")
@compiles(_SizesObject, "sqlite")
def _object_on_sqlite(element: _JsonObject, compiler: SQLCompiler, **more: object) -> str:
    return f"json_object({compiler.process(element.clauses, **more)})"


@compiles(_WholeArray)
def _array(element: _WholeArray, compiler: SQLCompiler, **more: object) -> str:
    return f"json_build_array({compiler.process(element.clauses, **more)})"


@compiles(_WholeArray, "sqlite")
def _array_on_sqlite(element: _WholeArray, compiler: SQLCompiler, **more: object) -> str:
    # A document is a text here, and would become one within the array.
    parts = (f"json({compiler.process(part, **more)})" for part in element.clauses)
    return f"json_array({', '.join(parts)})"
