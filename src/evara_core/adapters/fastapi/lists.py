"""Lists: what a `ListSpec` allows, as a dependency and as OpenAPI parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from evara_core._optional import provided_by
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import Field, FieldType, ListQuery, ListSpec, Operator

with provided_by("fastapi", package="fastapi"):
    from fastapi import Request

__all__ = ["ListOf", "list_parameters", "list_query_of"]

_QUERY: Final = "evara_list_query"

_SCHEMA_OF: Final[dict[FieldType, dict[str, Any]]] = {
    FieldType.TEXT: {"type": "string"},
    FieldType.INTEGER: {"type": "integer"},
    FieldType.NUMBER: {"type": "number"},
    FieldType.BOOLEAN: {"type": "boolean"},
    FieldType.MOMENT: {"type": "string", "format": "date-time"},
    FieldType.UUID: {"type": "string", "format": "uuid"},
}
_MANY: Final = frozenset({Operator.IN, Operator.NOT_IN})


class ListOf:
    """A dependency: what the request asks of the list.

    Describe it with `openapi_extra=list_parameters(spec)` on the route.
    """

    def __init__(self, spec: ListSpec) -> None:
        self.spec = spec

    async def __call__(self, request: Request) -> ListQuery:
        """Return the query, checked and typed.

        Raises:
            InvalidParameterError: A parameter is unknown, malformed or beyond a limit.
        """
        query = self.parse(request.query_params.multi_items())
        request.scope.setdefault("state", {})[_QUERY] = query
        return query

    def parse(self, params: Sequence[tuple[str, str]]) -> ListQuery:
        """Return what *params*, decoded names and values, ask: to be extended by a subclass.

        Raises:
            InvalidParameterError: A parameter is unknown, malformed or beyond a limit.
        """
        return parse_list_query(self.spec, params)


def list_query_of(request: Request) -> ListQuery:
    """Return what `ListOf`, a dependency of the route, has read of *request*."""
    query: ListQuery = request.scope["state"][_QUERY]
    return query


def list_parameters(spec: ListSpec) -> dict[str, Any]:
    """Return the OpenAPI description of all that *spec* allows, for `openapi_extra`."""
    described = [
        _parameter("limit", {"type": "integer", "minimum": 1, "default": spec.default_limit}),
        _parameter("cursor", {"type": "string"}, "`next_cursor` or `prev_cursor` of a page."),
        _parameter("fields", _names(spec.selectable), "Only these.", is_list=True),
    ]
    if spec.sortable:
        ways = tuple(f"{sign}{name}" for name in spec.sortable for sign in ("", "-"))
        described.append(_parameter("sort", _names(ways), "A minus: descending.", is_list=True))
    described.append(
        _parameter("page", {"type": "integer", "minimum": 1}, "By number; not with `cursor`.")
    )
    if len(spec.count_modes) > 1:
        modes = {"type": "string", "enum": list(map(str, spec.count_modes))}
        described.append(_parameter("count", modes | {"default": str(spec.count_modes[0])}))
    if spec.includes:
        described.append(_parameter("include", _names(spec.includes), "Related.", is_list=True))
    if any(field.operators for field in spec.fields):
        text = "Groups of filters, such as `any(status=Alert,not(label__is_null=true))`."
        described.append(_parameter("where", {"type": "string"}, text))
    if spec.searchable:
        text = f"Words, looked for in {', '.join(spec.searchable)}."
        described.append(_parameter("search", {"type": "string"}, text))
    for field in spec.fields:
        described += [_filter(field, operator) for operator in sorted(field.operators)]
    return {"parameters": described}


def _filter(field: Field, operator: Operator) -> dict[str, Any]:
    name = field.name if operator is Operator.EQ else f"{field.name}__{operator}"
    schema = dict(_SCHEMA_OF[field.type])
    if field.choices:
        schema["enum"] = list(field.choices)
    match operator:
        case Operator.IS_NULL:
            return _parameter(name, {"type": "boolean"})
        case Operator.BETWEEN:
            return _parameter(name, {"type": "string"}, "`low,high`, both included.")
        case Operator.EQ if Operator.IN in field.operators:
            return _parameter(name, schema, "May be repeated: one of them.", is_list=True)
        case _:
            return _parameter(name, schema, is_list=operator in _MANY)


def _names(names: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(names)}


def _parameter(
    name: str, schema: dict[str, Any], text: str = "", *, is_list: bool = False
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": "query", "required": False}
    if text:
        found["description"] = text
    if is_list:
        schema = {"type": "array", "items": schema}
        found |= {"style": "form", "explode": False}
    return found | {"schema": schema}
