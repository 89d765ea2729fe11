"""Related records, loaded for a whole page in one statement each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import func, select

from evara_core.errors import ConfigurationError
from evara_core.query.ast import ALWAYS, SortKey
from evara_core.storage.criteria import bind_value, column_of, compile_criteria
from evara_core.storage.keyset import Key, ordering
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Select

    from evara_core.query.ast import Condition
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = ["Related", "attach", "parents_of"]

Paths: TypeAlias = "dict[str, Paths]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Records that belong to the records of a list."""

    statement: Select[Any]
    columns: Columns
    """Name → column."""

    parent: str
    """A field of the list's record."""

    child: str
    """The field of the related record that equals it."""

    shown: tuple[str, ...]
    is_many: bool = False
    """Shown as a list; otherwise as one record, or null."""

    sort: tuple[SortKey, ...] = ()
    """Of many."""

    at_most: int = 20
    """Of many, for each record: a page must stay a page. For more there is a list of its own."""

    is_public: bool = False
    """Everybody who sees the record may see these. Otherwise a scope must be given."""

    includes: Mapping[str, Related] = field(default_factory=dict)
    """What belongs to these, in turn."""


def parents_of(paths: Iterable[str], includes: Mapping[str, Related]) -> list[str]:
    """Return the fields of a record that must be read to find what *paths* name."""
    return list(dict.fromkeys(_related(includes, name, name).parent for name in _tree(paths)))


def attach(
    records: Sequence[dict[str, Any]],
    paths: Iterable[str],
    includes: Mapping[str, Related],
    scopes: Mapping[str, Condition],
) -> Statements[None]:
    """Put what *paths* name into *records*, with one statement for each step of a path.

    Args:
        records: They hold the fields of `parents_of`.
        paths: Dotted; what lies on the way comes along.
        includes: What there is, by name.
        scopes: By path, what the caller may see of it.

    Raises:
        ConfigurationError: Something that is not public has no scope. Nothing was read.
    """
    tree = _tree(paths)
    _check(tree, includes, scopes, "")
    yield from _attach(records, tree, includes, scopes, "")


def _attach(
    records: Sequence[dict[str, Any]],
    tree: Paths,
    includes: Mapping[str, Related],
    scopes: Mapping[str, Condition],
    above: str,
) -> Statements[None]:
    for name, further in tree.items():
        related = includes[name]
        keys = {record[related.parent] for record in records} - {None}
        parents = parents_of(further, related.includes)
        wanted = list(dict.fromkeys([*related.shown, related.child, *parents]))
        found: list[dict[str, Any]] = []
        if keys:
            scope = scopes.get(above + name, ALWAYS)
            answer = yield Query(_statement(related, wanted, sorted(keys, key=str), scope))
            found = [dict(zip(wanted, row, strict=False)) for row in answer.rows]
        by_key = defaultdict(list)
        for child in found:
            by_key[child[related.child]].append(child)
        yield from _attach(found, further, related.includes, scopes, f"{above}{name}.")
        for child in found:
            for hidden in set(wanted) - set(related.shown):
                del child[hidden]
        for record in records:
            belonging = by_key.get(record[related.parent], [])
            record[name] = belonging if related.is_many else next(iter(belonging), None)


def _statement(
    related: Related, wanted: Sequence[str], keys: Sequence[Any], scope: Condition
) -> Select[Any]:
    child = column_of(related.columns, related.child)
    bound = [bind_value(key, child.type) for key in keys]
    selected = [column_of(related.columns, name).label(name) for name in wanted]
    statement: Select[Any] = related.statement.with_only_columns(
        *selected, maintain_column_froms=True
    ).where(
        child.in_(bound),
        compile_criteria(scope, related.columns),
    )
    if not related.is_many:
        return statement
    order = ordering(
        [
            Key(column=column, kind=column.type, descending=key.descending, nullable=True)
            for key in related.sort
            for column in [column_of(related.columns, key.field)]
        ]
    )
    rank = func.row_number().over(partition_by=child, order_by=order or None).label("rank_")
    ranked = statement.add_columns(rank).subquery()
    return select(ranked).where(ranked.c.rank_ <= related.at_most).order_by(ranked.c.rank_)


def _tree(paths: Iterable[str]) -> Paths:
    tree: Paths = {}
    for path in paths:
        place = tree
        for name in path.split("."):
            place = place.setdefault(name, {})
    return tree


def _check(
    tree: Paths, includes: Mapping[str, Related], scopes: Mapping[str, Condition], above: str
) -> None:
    for name, further in tree.items():
        related = _related(includes, name, above + name)
        if not related.is_public and above + name not in scopes:
            raise ConfigurationError(f"the include {above + name!r} needs a scope")
        _check(further, related.includes, scopes, f"{above}{name}.")


def _related(includes: Mapping[str, Related], name: str, path: str) -> Related:
    if name not in includes:
        raise ConfigurationError(f"no include {path!r} is declared")
    return includes[name]
