"""snake_case inside; camelCase outside, if one setting says so, both in and out.

Only names are rewritten, never values: members of bodies and answers, query parameters and
the names within `sort`, `fields`, `include` and `where`. Members whose own keys are data,
such as metrics by name, are left alone when they are listed in `keep`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.errors import ConfigurationError, InvalidBodyError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from evara_core.errors import EvaraError

__all__ = [
    "Json",
    "Naming",
    "camel_error",
    "camel_keys",
    "camel_schema",
    "check_names",
    "snake_keys",
    "snake_parameters",
    "to_camel",
    "to_snake",
]

Json: TypeAlias = Any
"""Whatever JSON can say."""

_JOINT = re.compile(r"_([a-z])")
_CAPITAL = re.compile(r"[A-Z]")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")
_CAMEL_NAME = re.compile(r"[a-z][a-zA-Z0-9]*")
_IN_WHERE = re.compile(
    r'("(?:[^"]|"")*")|(?<![^(,])([a-zA-Z][a-zA-Z0-9]*(?:__[a-zA-Z_]+)?)(?=[=(])'
)
_LISTS_OF_NAMES = frozenset({"fields", "include", "sort"})


class Naming(StrEnum):
    """How names are written outside."""

    SNAKE = "snake_case"
    CAMEL = "camelCase"


def to_camel(name: str) -> str:
    """Return `created_at` as `createdAt`. What is no such name stays as it is."""
    if _NAME.fullmatch(name) is None:
        return name
    return _JOINT.sub(lambda joint: joint.group(1).upper(), name)


def to_snake(name: str) -> str:
    """Return `createdAt` as `created_at`: the way back of `to_camel`."""
    if _CAMEL_NAME.fullmatch(name) is None:
        return name
    return _CAPITAL.sub(lambda capital: f"_{capital.group().lower()}", name)


def check_names(names: Iterable[str]) -> None:
    """Make sure at start that every name finds back.

    Raises:
        ConfigurationError: One does not, such as `fieldA`, which is camelCase already.
    """
    for name in names:
        if to_snake(to_camel(name)) != name:
            raise ConfigurationError(f"the name {name!r} has no camelCase that leads back to it")


def camel_keys(value: Json, *, keep: Collection[str] = ()) -> Json:
    """Return *value* with the keys of all its objects in camelCase.

    Args:
        value: As `json` has it: objects are dicts.
        keep: Members, by snake_case name, below which keys are data.
    """
    return _renamed(value, to_camel, keep, is_inward=False)


def snake_keys(value: Json, *, keep: Collection[str] = ()) -> Json:
    """Return *value* with the keys of all its objects in snake_case: see `camel_keys`.

    Raises:
        InvalidBodyError: An object has a member under both names.
    """
    return _renamed(value, to_snake, keep, is_inward=True)


def snake_parameters(params: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return query parameters with the names that the parser knows."""
    return [(_parameter(name), _value(name, value)) for name, value in params]


def camel_error(error: EvaraError) -> EvaraError:
    """Return *error* with the names that the client knows. Choices are values and stay."""
    match error:
        case InvalidParameterError():
            are_names = error.parameter in _LISTS_OF_NAMES or "parameter" in error.problem
            allowed = tuple(map(_camel_parameter, error.allowed)) if are_names else error.allowed
            return InvalidParameterError(_camel_parameter(error.parameter), error.problem, allowed)
        case InvalidBodyError():
            pointer = "/".join(map(to_camel, error.pointer.split("/")))
            is_member = "member" in error.problem
            allowed = tuple(map(to_camel, error.allowed)) if is_member else error.allowed
            return InvalidBodyError(pointer, error.problem, allowed)
        case _:
            return error


def camel_schema(schema: Json) -> Json:
    """Return an OpenAPI or JSON Schema document with its property names in camelCase."""
    match schema:
        case dict():
            found = {key: camel_schema(value) for key, value in schema.items()}
            if isinstance(found.get("properties"), dict):
                found["properties"] = {
                    to_camel(name): value for name, value in found["properties"].items()
                }
                if isinstance(found.get("required"), list):
                    found["required"] = [to_camel(name) for name in found["required"]]
            return found
        case list():
            return [camel_schema(each) for each in schema]
        case _:
            return schema


def _renamed(
    value: Json,
    rename: Callable[[str], str],
    keep: Collection[str],
    *,
    is_inward: bool,
) -> Json:
    match value:
        case dict():
            found = {}
            for key, inner in value.items():
                name = rename(key) if isinstance(key, str) else key
                if name in found:
                    raise InvalidBodyError(f"/{key}", "is there under two names")
                is_data = (name if is_inward else key) in keep
                found[name] = (
                    inner if is_data else _renamed(inner, rename, keep, is_inward=is_inward)
                )
            return found
        case list() | tuple():
            return [_renamed(each, rename, keep, is_inward=is_inward) for each in value]
        case _:
            return value


def _parameter(name: str) -> str:
    bare, separator, operator = name.partition("__")
    return to_snake(bare) + separator + (to_snake(operator) if operator else "")


def _camel_parameter(name: str) -> str:
    bare, separator, operator = name.partition("__")
    return to_camel(bare) + separator + to_camel(operator)


def _value(name: str, value: str) -> str:
    if name in _LISTS_OF_NAMES:
        items = (item.removeprefix("-") for item in value.split(","))
        signs = ("-" if item.startswith("-") else "" for item in value.split(","))
        spelt = (".".join(map(to_snake, item.split("."))) for item in items)
        return ",".join(sign + item for sign, item in zip(signs, spelt, strict=True))
    if name == "where":
        return _IN_WHERE.sub(lambda found: found.group(1) or _parameter(found.group(2)), value)
    return value
