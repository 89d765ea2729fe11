"""Finding a text within texts, and the indexes that serve it.

What a search finds is the same with and without an index, on every database: the text as it
is written, whatever the case of the letters A to Z. Without an index every row that the
rest of the query leaves is read.

PostgreSQL uses a trigram index by itself (extension `pg_trgm`). SQLite has none for LIKE:
there an FTS5 table of trigrams names the candidates, for words of three characters or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Integer, String, bindparam, literal_column, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = [
    "ContainsText",
    "SearchIndex",
    "drop_search_ddl",
    "has_trigrams",
    "like_pattern",
    "postgresql_search_ddl",
    "sqlite_search_ddl",
]

SHORTEST_INDEXED = 3
"""Characters of a word that trigrams can look up."""

_ESCAPE = "/"  # Not the backslash, which is one on PostgreSQL by itself and none on SQLite.
_ESCAPED = str.maketrans({letter: _ESCAPE + letter for letter in (_ESCAPE, "%", "_")})


def like_pattern(words: str) -> str:
    """Return the pattern of texts that contain *words*, of which each character means itself."""
    return f"%{words.translate(_ESCAPED)}%"


class ContainsText(GenericFunction[bool]):
    """Whether a text matches a `like_pattern`, whatever the case of A to Z."""

    name = "evara_contains_text"
    type = Boolean()
    inherit_cache = True


@compiles(ContainsText)
def _lowered(element: ContainsText, compiler: SQLCompiler, **more: object) -> str:
    column, pattern = (compiler.process(each, **more) for each in element.clauses)
    return f"(lower({column}) LIKE lower({pattern}) ESCAPE '{_ESCAPE}')"


@compiles(ContainsText, "postgresql")
def _ilike(element: ContainsText, compiler: SQLCompiler, **more: object) -> str:
    column, pattern = (compiler.process(each, **more) for each in element.clauses)
    # The collation keeps the folding to A to Z. A trigram index must have it as well.
    return f"""(({column}) COLLATE "C" ILIKE {pattern} ESCAPE '{_ESCAPE}')"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchIndex:
    """An FTS5 table of trigrams, made by `sqlite_search_ddl`. Other databases do not need it."""

    key: Column[Any]
    """Of the searched table: its primary key."""

    name: str
    """Of the FTS5 table."""

    def candidates(self, words: Sequence[str]) -> list[ColumnElement[bool]]:
        """Return conditions that every match satisfies, with slots for `slots`."""
        column: ColumnElement[Any] = literal_column(self.key.name)
        index: ColumnElement[Any] = literal_column(self.name)
        return [
            _Candidate(self.key, column, index, bindparam(slot, type_=String()))
            for slot, _ in _indexed(words)
        ]

    @staticmethod
    def slots(words: Sequence[str]) -> dict[str, object]:
        """Return what to put into the slots of `candidates`."""
        return {slot: f'"{word.replace(chr(34), chr(34) * 2)}"' for slot, word in _indexed(words)}


class _Candidate(GenericFunction[bool]):
    name = "evara_search_candidate"
    type = Boolean()
    inherit_cache = True


@compiles(_Candidate)
def _anything(_: _Candidate, __: SQLCompiler, **___: object) -> str:
    return "true"


@compiles(_Candidate, "sqlite")
def _matched(element: _Candidate, compiler: SQLCompiler, **more: object) -> str:
    names = ("key", "column", "index", "word")
    parts = (compiler.process(each, **more) for each in element.clauses)
    return _IS_MATCHED.format(**dict(zip(names, parts, strict=True)))


_IS_MATCHED = "({key} IN (SELECT {column} FROM {index} WHERE {index} MATCH {word}))"


def _indexed(words: Iterable[str]) -> list[tuple[str, str]]:
    long = (word for word in words if len(word) >= SHORTEST_INDEXED)
    return [(f"evara_word_{number}", word) for number, word in enumerate(long)]


def has_trigrams(connection: Connection) -> bool:
    """Return whether the database of *connection* can make the index, for a migration.

    On PostgreSQL the extension is made if it may be: where its files are missing, or the user
    may not, search works without an index. A savepoint keeps the transaction good.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    tried = _TRY_FTS5 if is_sqlite else ("CREATE EXTENSION IF NOT EXISTS pg_trgm",)
    try:
        with connection.begin_nested():
            for statement in tried:
                connection.execute(text(statement))
    except DBAPIError:
        return False
    return True


_TRY_FTS5 = (
    "CREATE VIRTUAL TABLE evara_can_search USING fts5(words, tokenize='trigram')",
    "DROP TABLE evara_can_search",
)


def postgresql_search_ddl(table: Table, columns: Sequence[str]) -> list[str]:
    """Return the statements that make the index of *columns*, for a migration."""
    made = (_POSTGRESQL_INDEX.format(table=table.name, column=name) for name in columns)
    return ["CREATE EXTENSION IF NOT EXISTS pg_trgm", *made]


_POSTGRESQL_INDEX = (
    "CREATE INDEX ix_{table}_{column}_search ON {table}"
    """ USING gin (({column}) COLLATE "C" gin_trgm_ops)"""
)


def sqlite_search_ddl(table: Table, columns: Sequence[str]) -> list[str]:
    """Return the statements that make the index of *columns*, for a migration.

    An FTS5 table, filled with what is there and kept up to date by triggers. It is called
    after the table, with `_search` behind.
    """
    (column,) = table.primary_key
    # FTS5 finds a row by its number only: what is no number costs a look at every row.
    is_numbered = isinstance(column.type, Integer)
    put = ["rowid"] * is_numbered + [column.name, *columns]
    read = [column.name] * is_numbered + [column.name, *columns]
    names = {
        "table": table.name,
        "index": f"{table.name}_search",
        "key": column.name,
        "place": "rowid" if is_numbered else column.name,
        "columns": ", ".join(columns),
        "put": ", ".join(put),
        "from_table": ", ".join(read),
        "new": ", ".join(f"new.{name}" for name in read),
    }
    return [statement.format(**names) for statement in _SQLITE_INDEX]


_SQLITE_INDEX = (
    "CREATE VIRTUAL TABLE {index} USING fts5({key} UNINDEXED, {columns}, tokenize='trigram')",
    "INSERT INTO {index} ({put}) SELECT {from_table} FROM {table}",
    """CREATE TRIGGER {index}_insert AFTER INSERT ON {table} BEGIN
         INSERT INTO {index} ({put}) VALUES ({new});
       END""",
    """CREATE TRIGGER {index}_delete AFTER DELETE ON {table} BEGIN
         DELETE FROM {index} WHERE {place} = old.{key};
       END""",
    """CREATE TRIGGER {index}_update AFTER UPDATE OF {key}, {columns} ON {table} BEGIN
         DELETE FROM {index} WHERE {place} = old.{key};
         INSERT INTO {index} ({put}) VALUES ({new});
       END""",
)


def drop_search_ddl(table: Table, columns: Sequence[str], *, dialect: str) -> list[str]:
    """Return the statements that take the index away, where it was made. The extension stays."""
    if dialect != "sqlite":
        return [f"DROP INDEX IF EXISTS ix_{table.name}_{name}_search" for name in columns]
    index = f"{table.name}_search"
    triggers = [f"DROP TRIGGER IF EXISTS {index}_{when}" for when in ("insert", "delete", "update")]
    return [*triggers, f"DROP TABLE IF EXISTS {index}"]
