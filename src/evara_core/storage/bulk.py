"""Many rows in one statement, in the way that each database takes them fastest.

Rows come as columns: a sequence of values under each column's name, all of one length. On
PostgreSQL each column is one array parameter and `unnest` makes rows of them; on SQLite the
driver executes one prepared statement for each row.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import ARRAY, JSON, Integer, Text, bindparam, column, func, make_url, select, text

from evara_core.errors import ConfigurationError
from evara_core.serialization import dump_json
from evara_core.storage.statements import DriverQuery, Query
from evara_core.storage.types import UtcDateTime, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Table, TextClause
    from sqlalchemy.types import TypeEngine

    from evara_core.storage.statements import Question

__all__ = [
    "Columns",
    "among",
    "among_listed",
    "insert_rows",
    "listed",
    "storable_json",
    "storable_text",
    "update_rows",
]

_POSTGRESQL = make_url("postgresql+asyncpg://").get_dialect()()

Columns: TypeAlias = "Mapping[str, Sequence[Any]]"
"""Values by column name. A JSON column takes text: `storable_json`."""


def insert_rows(table: Table, rows: Columns, *, dialect: str, conflict: str = "") -> Question:
    """Return an INSERT of *rows*, with an `ON CONFLICT …` clause that both databases know."""
    names = tuple(rows)
    if dialect == "sqlite":
        places = ", ".join("?" * len(names))
        sql = f"INSERT INTO {table.name} ({_listed(names)}) VALUES ({places}) {conflict}"
        return DriverQuery(sql, _sqlite_rows(table, rows))
    return Query(_postgresql_insert(table, names, conflict), _arrays(rows))


def update_rows(
    table: Table, rows: Columns, *, key: Sequence[str], dialect: str, keep: Sequence[str] = ()
) -> Question:
    """Return an UPDATE of the rows of *table* that *key* names.

    In the columns of *keep*, a missing value leaves what is there.
    """
    names = tuple(rows)
    if dialect == "sqlite":
        changed = [name for name in names if name not in key]
        values = ", ".join(
            f'"{name}" = coalesce(?, "{name}")' if name in keep else f'"{name}" = ?'
            for name in changed
        )
        where = " AND ".join(f'"{name}" = ?' for name in key)
        ordered = {name: rows[name] for name in (*changed, *key)}
        sql = f"UPDATE {table.name} SET {values} WHERE {where}"
        return DriverQuery(sql, _sqlite_rows(table, ordered))
    return Query(_postgresql_update(table, names, tuple(key), tuple(keep)), _arrays(rows))


def among(
    column_: ColumnElement[Any], values: Sequence[Any], *, dialect: str
) -> ColumnElement[bool]:
    """Return the condition that *column_* equals one of *values*, of which there may be thousands.

    One parameter, whatever their number: drivers limit parameters, and each number of them
    would be another statement to prepare.
    """
    given = listed(values, dialect=dialect)
    return _among(column_, bindparam(None, given, _kind(column_, dialect), unique=True), dialect)


def among_listed(column_: ColumnElement[Any], name: str, *, dialect: str) -> ColumnElement[bool]:
    """Return the condition of `among` for a statement that is kept.

    Each execution gives the values as its parameter *name*, by `listed`.
    """
    return _among(column_, bindparam(name, type_=_kind(column_, dialect)), dialect)


def listed(values: Sequence[Any], *, dialect: str) -> str | list[Any]:
    """Return *values* as the one parameter that `among_listed` takes."""
    return dump_json(values).decode() if dialect == "sqlite" else list(values)


def _kind(column_: ColumnElement[Any], dialect: str) -> TypeEngine[Any]:
    if dialect == "sqlite":
        return Text()
    return ARRAY(Integer() if isinstance(column_.type, Integer) else Text())


def _among(
    column_: ColumnElement[Any], values: BindParameter[Any], dialect: str
) -> ColumnElement[bool]:
    if dialect == "sqlite":
        rows = func.json_each(values).table_valued("value")
        return column_.in_(select(column("value")).select_from(rows))
    return column_ == func.any(values)


def storable_text(value: str) -> str:
    """Return *value* without what PostgreSQL's `text` cannot hold: NUL and lone surrogates."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()


def storable_json(value: Any) -> str:  # noqa: ANN401 - JSON is whatever it is
    """Return *value* as JSON text; in texts of it, lone surrogates become `?`."""
    try:
        return dump_json(value).decode()
    except TypeError:
        return dump_json(_cleaned(value)).decode()


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - JSON is whatever it is
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_cleaned(key): _cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return [_cleaned(item) for item in value]
        case _:
            return value


@cache
def _postgresql_insert(table: Table, names: tuple[str, ...], conflict: str) -> TextClause:
    return text(
        f"INSERT INTO {table.name} ({_listed(names)})"
        f" SELECT {_selected(table, names)} FROM {_unnested(table, names)} {conflict}"
    )


@cache
def _postgresql_update(
    table: Table, names: tuple[str, ...], key: tuple[str, ...], keep: tuple[str, ...]
) -> TextClause:
    values = ", ".join(
        f'"{name}" = coalesce({_value(table, name)}, t."{name}")'
        if name in keep
        else f'"{name}" = {_value(table, name)}'
        for name in names
        if name not in key
    )
    where = " AND ".join(f't."{name}" = u."{name}"' for name in key)
    return text(
        f"UPDATE {table.name} AS t SET {values} FROM {_unnested(table, names)} WHERE {where}"
    )


def _unnested(table: Table, names: tuple[str, ...]) -> str:
    arrays = ", ".join(f"CAST(:{name} AS {_array_type(table, name)})" for name in names)
    return f"unnest({arrays}) AS u ({_listed(names)})"


def _selected(table: Table, names: tuple[str, ...]) -> str:
    return ", ".join(_value(table, name) for name in names)


def _value(table: Table, name: str) -> str:
    is_json = isinstance(table.c[name].type, JSON)
    return f'CAST(u."{name}" AS json)' if is_json else f'u."{name}"'


def _array_type(table: Table, name: str) -> str:
    kind = table.c[name].type
    if isinstance(kind, JSON):
        return "text[]"
    compiled = kind.compile(dialect=_POSTGRESQL)
    return re.sub(r" COLLATE .*", "", compiled) + "[]"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _arrays(rows: Columns) -> dict[str, list[Any]]:
    # psycopg takes a list for an array and a tuple for one composite value.
    return {name: list(values) for name, values in rows.items()}


def _sqlite_rows(table: Table, rows: Columns) -> list[tuple[Any, ...]]:
    encoded = [
        _microseconds(values) if isinstance(table.c[name].type, UtcDateTime) else values
        for name, values in rows.items()
    ]
    lengths = {len(values) for values in encoded}
    if len(lengths) > 1:
        problem = f"columns of different lengths for {table.name}"
        raise ConfigurationError(problem)
    return list(zip(*encoded, strict=True))


def _microseconds(values: Sequence[Any]) -> list[int | None]:
    encoded: list[int | None] = []
    last: Any = None
    microseconds: int | None = None
    for value in values:
        # What arrived together has one and the same moment of arrival.
        if value is not last:
            last = value
            microseconds = None if value is None else to_microseconds(value)
        encoded.append(microseconds)
    return encoded
