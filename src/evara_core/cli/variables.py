"""Every setting as the environment variable that it is read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, SecretStr

from evara_core.settings import Settings

__all__ = ["Variable", "render_variables", "variables"]

PREFIX: Final = "EVARA_"
NESTING: Final = "__"

HEAD: Final = """# Settings

Each variable is read from the environment by `evara_core.settings.read_settings`, once, at start.
Lists are JSON: `EVARA_API__CURSOR_KEYS='["…", "…"]'`. A variable that makes no sense stops the
start, with its name. `evara doctor` says what is missing. This page is what
`evara settings --markdown` prints; a test compares them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A setting."""

    name: str
    group: str
    """The part of the settings, such as `database`. Empty: none."""

    kind: str
    default: str
    is_secret: bool
    meaning: str


def variables(model: type[BaseModel] = Settings, *, path: tuple[str, ...] = ()) -> list[Variable]:
    """Return all settings below *model*, in the order in which they are written."""
    return list(_variables(model, path))


def _variables(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Variable]:
    for name, field in model.model_fields.items():
        kind, here = field.annotation, (*path, name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _variables(kind, here)
        else:
            yield Variable(
                name=PREFIX + NESTING.join(here).upper(),
                group=path[0] if path else "",
                kind=_kind(kind),
                default=_default(field.default),
                is_secret=_is_secret(kind),
                meaning=" ".join((field.description or "").split()),
            )


def render_variables(model: type[BaseModel] = Settings) -> str:
    """Return the page of the documentation."""
    groups = dict(model.model_fields)
    found = variables(model)
    parts = [HEAD]
    for group in dict.fromkeys(variable.group for variable in found):
        title = group or "the process"
        about = _about(groups[group].annotation) if group else ""
        rows = [
            f"| `{each.name}` | {each.kind} | {each.default} | {_cell(each.meaning)} |"
            for each in found
            if each.group == group
        ]
        table = ["| variable | kind | default | meaning |", "|---|---|---|---|", *rows]
        parts.append("\n".join([f"## {title}", "", *([about, ""] if about else []), *table, ""]))
    return "\n".join(parts)


def _about(kind: object) -> str:
    return " ".join((getattr(kind, "__doc__", None) or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _is_secret(kind: object) -> bool:
    return kind is SecretStr or any(_is_secret(part) for part in get_args(kind))


def _kind(kind: Any) -> str:  # noqa: ANN401 - an annotation is whatever it is
    parts = [part for part in get_args(kind) if part is not type(None) and part is not ...]
    if kind is SecretStr:
        return "secret"
    if get_origin(kind) is tuple:
        return f"list of {_kind(parts[0])}s"
    if parts and all(isinstance(part, str) for part in parts):
        return " or ".join(f"`{part}`" for part in parts)
    if parts:
        return _kind(parts[0])
    words = {"str": "text", "int": "integer", "float": "number", "bool": "`true` or `false`"}
    name = getattr(kind, "__name__", str(kind))
    return words.get(name, name.lower())


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"  # A default is no secret: it is in the source.
    if value is None or value in ((), ""):
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
