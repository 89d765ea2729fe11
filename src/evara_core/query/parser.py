"""From the query string of a list request to a `ListQuery`.

  status=Online&status=Alert      one of these (also status=Online,Alert)
  created_at__gte=2026-01-01      operator after two underscores
  label__is_null=true             has no value
  search=bakul tank               words, each in at least one searchable field
  sort=-created_at,label          minus: descending
  fields=id,label                 only these
  where=any(status=Alert,all(category=OHT,level__lt=20),not(label__is_null=true))
  limit=20  cursor=…  page=2  count=exact  include=…

Whatever the spec does not declare is refused: InvalidParameterError names the parameter,
what is wrong with it, and what is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.errors import InvalidParameterError
from evara_core.query.ast import ALWAYS, AllOf, SortKey
from evara_core.query.filters import Budget, build_filter, parameter_names
from evara_core.query.groups import parse_groups
from evara_core.query.spec import CountMode, ListQuery
from evara_core.query.values import read_text, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.query.ast import Condition
    from evara_core.query.spec import ListSpec

__all__ = ["MAX_PARAMETERS", "parse_list_query"]

MAX_PARAMETERS = 100
"""In one request: twice as many as there may be conditions."""

_MOST_DIGITS = 9
_LONGEST_SEARCH = 200
_SINGLE = ("cursor", "page", "limit", "sort", "fields", "search", "count", "include", "where")


def parse_list_query(spec: ListSpec, params: Sequence[tuple[str, str]]) -> ListQuery:
    """Return what *params*, decoded names and values in their order, ask of *spec*.

    A limit above the spec's maximum is cut to it, and `ListQuery.limit` tells.

    Raises:
        InvalidParameterError: A parameter is unknown, malformed or beyond a limit.
    """
    given = _grouped(params)
    single = {name: _only(name, given.pop(name)) for name in _SINGLE if name in given}
    limit = _limit(spec, single.get("limit"))
    cursor = single.get("cursor") or None
    return ListQuery(
        resource=spec.name,
        version=spec.version,
        where=_filters(spec, given, single.get("where")),
        search=_search(spec, single.get("search")),
        search_fields=spec.searchable,
        sort=_sort(spec, single.get("sort")),
        fields=_fields(spec, single.get("fields")),
        is_sparse="fields" in single,
        includes=_includes(spec, single.get("include")),
        limit=limit,
        cursor=cursor,
        page=_page(spec, single.get("page"), cursor=cursor, limit=limit),
        count=_count(spec, single.get("count")),
        count_cap=spec.count_cap,
    )


def _grouped(params: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    if len(params) > MAX_PARAMETERS:
        name = params[MAX_PARAMETERS][0]
        raise InvalidParameterError(name[:100], f"more than {MAX_PARAMETERS} parameters")
    given: dict[str, list[str]] = {}
    for name, value in params:
        given.setdefault(name, []).append(value)
    return given


def _only(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise InvalidParameterError(name, "given more than once")
    return read_text(name, values[0])


def _filters(spec: ListSpec, given: Mapping[str, list[str]], groups: str | None) -> Condition:
    parts: list[Condition] = []
    budget = Budget(spec)
    for name, values in given.items():
        texts = [read_text(name, value) for value in values]
        parts.append(build_filter(spec, name, texts, budget=budget))
    if groups:
        parts.append(parse_groups(spec, groups, budget=budget))
    if not parts:
        return ALWAYS
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _limit(spec: ListSpec, text: str | None) -> int:
    if text is None:
        return spec.default_limit
    return min(_positive("limit", text), spec.max_limit)


def _page(spec: ListSpec, text: str | None, *, cursor: str | None, limit: int) -> int | None:
    if text is None:
        return None
    parameter = "page"
    if cursor is not None:
        raise InvalidParameterError(parameter, "cannot be combined with cursor")
    page = _positive(parameter, text)
    if (page - 1) * limit > spec.max_offset:
        problem = f"passes over more than {spec.max_offset} rows: continue with cursor"
        raise InvalidParameterError(parameter, problem)
    return page


def _positive(parameter: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS) or int(text) == 0:
        raise InvalidParameterError(parameter, "not a whole number of 1 or more")
    return int(text)


def _sort(spec: ListSpec, text: str | None) -> tuple[SortKey, ...]:
    if not text:
        return spec.completed(spec.default_sort)
    parameter = "sort"
    keys: list[SortKey] = []
    for item in text.split(","):
        name = item.removeprefix("-")
        if name not in spec.sortable:
            raise InvalidParameterError(parameter, f"unknown name {shown(name)}", spec.sortable)
        if any(key.field == name for key in keys):
            raise InvalidParameterError(parameter, f"{name} is there twice")
        keys.append(SortKey(name, descending=item.startswith("-")))
    if len(keys) > spec.max_sort_keys:
        raise InvalidParameterError(parameter, f"more than {spec.max_sort_keys} names")
    return spec.completed(tuple(keys))


def _fields(spec: ListSpec, text: str | None) -> tuple[str, ...]:
    if text is None:
        return spec.selectable
    return _names("fields", text, spec.selectable)


def _includes(spec: ListSpec, text: str | None) -> tuple[str, ...]:
    return () if not text else _names("include", text, spec.includes)


def _names(parameter: str, text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    names = dict.fromkeys(text.split(","))
    for name in names:
        if name not in allowed:
            raise InvalidParameterError(parameter, f"unknown name {shown(name)}", allowed)
    return tuple(names)


def _search(spec: ListSpec, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    parameter = "search"
    if not spec.searchable:
        raise InvalidParameterError(parameter, "unknown parameter", parameter_names(spec))
    words = tuple(dict.fromkeys(text.split()))
    if len(words) > spec.max_search_words:
        raise InvalidParameterError(parameter, f"more than {spec.max_search_words} words")
    if len(text) > _LONGEST_SEARCH:
        raise InvalidParameterError(parameter, f"longer than {_LONGEST_SEARCH} characters")
    return words


def _count(spec: ListSpec, text: str | None) -> CountMode:
    if text is None:
        return spec.count_modes[0]
    if text not in spec.count_modes:
        parameter = "count"
        raise InvalidParameterError(parameter, f"unknown value {shown(text)}", spec.count_modes)
    return CountMode(text)
