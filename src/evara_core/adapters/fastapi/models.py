"""Models for OpenAPI, made from what a list offers and from what may be written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, WithJsonSchema, create_model
from pydantic import Field as Described

from evara_core.api.batch import Operation
from evara_core.api.bodies import Writable
from evara_core.query.spec import Field, FieldType

__all__ = ["batch_body", "body_schema", "record_model"]

_TYPES: Final[Mapping[FieldType, Any]] = {
    FieldType.TEXT: str,
    FieldType.INTEGER: int,
    FieldType.NUMBER: float,
    FieldType.BOOLEAN: bool,
    FieldType.MOMENT: datetime,
    FieldType.UUID: UUID,
}
_SCHEMAS: Final[Mapping[FieldType, dict[str, Any]]] = {
    FieldType.TEXT: {"type": "string"},
    FieldType.INTEGER: {"type": "integer"},
    FieldType.NUMBER: {"type": "number"},
    FieldType.BOOLEAN: {"type": "boolean"},
    FieldType.MOMENT: {"type": "string", "format": "date-time"},
    FieldType.UUID: {"type": "string", "format": "uuid"},
    FieldType.DOCUMENT: {"type": "object"},
}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


def record_model(
    name: str, fields: Iterable[Field], *, is_whole: bool = False, about: str = ""
) -> type[BaseModel]:
    """Return a model of a record that has *fields*.

    Args:
        name: Of the schema, such as `Node`.
        fields: Those that may be shown.
        is_whole: All of them are there. Otherwise any may be missing: `fields=` chooses.
        about: What it is.
    """
    members = {field.name: _member(field, is_whole=is_whole) for field in fields}
    made: type[BaseModel] = create_model(
        name,
        __base__=_Record,
        __doc__=about or None,
        **members,  # type: ignore[call-overload]
    )
    return made


def body_schema(
    writables: Sequence[Writable], *, is_new: bool, example: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON Schema of a body with *writables*: what `api.bodies.read_members` takes."""
    members = [each for each in writables if is_new or not each.is_fixed]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {each.field.name: _written(each) for each in members},
        "additionalProperties": False,
    }
    required = [each.field.name for each in members if is_new and each.is_required]
    if required:
        schema["required"] = required
    if not is_new:
        schema["minProperties"] = 1
    if example is not None:
        schema["examples"] = [dict(example)]
    return schema


def batch_body(
    operation: Operation, writables: Sequence[Writable], *, key: str = "id", most: int = 1_000
) -> dict[str, Any]:
    """Return the JSON Schema of a batch: what `api.batch.parse_batch` takes."""
    named = {key: {"type": "string", "minLength": 1}, "etag": {"type": "string"}}
    if operation is Operation.CREATE:
        item = body_schema(writables, is_new=True)
    elif operation is Operation.UPDATE:
        item = body_schema(writables, is_new=False)
        item["properties"] = named | item["properties"]
        item |= {"required": [key], "minProperties": 2}
    else:
        item = {
            "type": "object",
            "properties": named,
            "required": [key],
            "additionalProperties": False,
        }
    members: dict[str, Any] = {
        "mode": {"type": "string", "enum": ["atomic", "partial"], "default": "atomic"},
        "items": {"type": "array", "items": item, "minItems": 1, "maxItems": most},
    }
    if operation is Operation.DELETE:
        members["missing"] = {"type": "string", "enum": ["error", "ignore"], "default": "error"}
    return {
        "type": "object",
        "properties": members,
        "required": ["items"],
        "additionalProperties": False,
    }


def _member(field: Field, *, is_whole: bool) -> tuple[Any, Any]:
    kind: Any = _TYPES.get(field.type)
    if kind is None:
        schema = dict(field.schema or {})
        if schema and field.is_nullable:
            schema = {"anyOf": [schema, {"type": "null"}]}
        kind = Annotated[Any, WithJsonSchema(schema)]
    else:
        if field.choices:
            kind = Annotated[kind, WithJsonSchema({"type": "string", "enum": list(field.choices)})]
        if field.is_nullable:
            kind = kind | None
    default = ... if is_whole else None
    return kind, Described(default, description=field.about or None)


def _written(writable: Writable) -> dict[str, Any]:
    field = writable.field
    schema = dict(field.schema or _SCHEMAS[field.type])
    if field.type is FieldType.TEXT:
        schema["maxLength"] = field.max_length
        if field.min_length:
            schema["minLength"] = field.min_length
    if field.choices:
        schema = {"type": "string", "enum": list(field.choices)}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    if writable.is_nullable:
        schema["type"] = [schema["type"], "null"]
    if field.about:
        schema["description"] = field.about
    return schema
