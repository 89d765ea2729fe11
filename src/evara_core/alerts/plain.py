"""Condition trees as JSON values, and back."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from evara_core.alerts import conditions as c
from evara_core.alerts.soundness import MAX_DEPTH, problem_of
from evara_core.errors import InvalidInputError
from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evara_core.alerts.conditions import Condition, Node, Term

__all__ = ["condition_from_plain", "to_plain"]

Read: TypeAlias = "Callable[[object, int], Any]"
T = TypeVar("T")


def to_plain(node: Node) -> dict[str, object]:
    """Return *node* as JSON values: `type`, and the parts by their names."""
    plain: dict[str, object] = {"type": _name(type(node))}
    for field in fields(node):
        plain[field.name] = _plain(getattr(node, field.name))
    return plain


def condition_from_plain(plain: object) -> Condition:
    """Return the condition that `to_plain` made *plain* of.

    Raises:
        InvalidInputError: It is no such thing, or the tree is not sound.
    """
    condition: Condition = _condition(plain, 0)
    if problem := problem_of(condition):
        raise InvalidInputError(problem)
    return condition


def _name(kind: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _plain(value: object) -> object:
    match value:
        case c.Term() | c.Condition():
            return to_plain(value)
        case c.Span(seconds, samples):
            return {"seconds": seconds} if seconds is not None else {"samples": samples}
        case tuple():
            return [_plain(item) for item in value]
        case Quality() | c.WindowFunction():
            return str(value)
        case _:
            return value


def _node(plain: object, depth: int, family: type[T]) -> T:
    if depth >= MAX_DEPTH:
        problem = f"nested more than {MAX_DEPTH} levels deep"
        raise InvalidInputError(problem)
    match plain:
        case {"type": str(name), **given} if name in _SHAPES:
            kind, shape = _SHAPES[name]
        case _:
            problem = f"{str(plain)[:80]} is no part of a condition: it has no known `type`"
            raise InvalidInputError(problem)
    if not issubclass(kind, family) or set(given) - set(shape):
        problem = f"{name!r} cannot stand there, or has parts that are not known"
        raise InvalidInputError(problem)
    try:
        parts = {part: read(given.get(part), depth + 1) for part, read in shape.items()}
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{name!r}: {error}"
        raise InvalidInputError(problem) from error
    made: T = kind(**parts)
    return made


def _condition(plain: object, depth: int) -> Condition:
    return _node(plain, depth, c.Condition)


def _term(plain: object, depth: int) -> Term:
    return _node(plain, depth, c.Term)


def _named(plain: object, depth: int) -> Term:
    term = _term(plain, depth)
    if not isinstance(term, c.Metric | c.Config | c.Evidence):
        problem = "a name is expected"
        raise InvalidInputError(problem)
    return term


def _text(plain: object, _: int) -> str:
    if not isinstance(plain, str):
        problem = "a text is expected"
        raise InvalidInputError(problem)
    return plain


def _number(plain: object, _: int) -> float:
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        problem = "a number is expected"
        raise InvalidInputError(problem)
    return float(plain)


def _whole(plain: object, _: int) -> int:
    if isinstance(plain, bool) or not isinstance(plain, int):
        problem = "a whole number is expected"
        raise InvalidInputError(problem)
    return plain


def _flag(plain: object, _: int) -> bool:
    if not isinstance(plain, bool):
        problem = "true or false is expected"
        raise InvalidInputError(problem)
    return plain


def _span(plain: object, depth: int) -> c.Span:
    match plain:
        case {"seconds": seconds, **rest} if not rest:
            return c.Span(seconds=_whole(seconds, depth))
        case {"samples": samples, **rest} if not rest:
            return c.Span(samples=_whole(samples, depth))
        case _:
            problem = "a window has `seconds` or `samples`"
            raise InvalidInputError(problem)


def _each(read: Read) -> Read:
    def listed(plain: object, depth: int) -> tuple[Any, ...]:
        if not isinstance(plain, list | tuple):
            problem = "a list is expected"
            raise InvalidInputError(problem)
        return tuple(read(item, depth) for item in plain)

    return listed


def _quality(plain: object, depth: int) -> Quality:
    return Quality(_text(plain, depth))


def _function(plain: object, depth: int) -> c.WindowFunction:
    return c.WindowFunction(_text(plain, depth))


def _percent(plain: object, depth: int) -> float | None:
    return None if plain is None else _number(plain, depth)


_PARTS: Mapping[type[Any], Mapping[str, Read]] = {
    c.Number: {"value": _number},
    c.Metric: {"name": _text},
    c.Config: {"name": _text},
    c.Evidence: {"name": _text},
    c.Arithmetic: {"op": _text, "left": _term, "right": _term},
    c.Negate: {"term": _term},
    c.Function: {"name": _text, "terms": _each(_term)},
    c.Choose: {"condition": _condition, "then": _term, "otherwise": _term},
    c.Window: {"function": _function, "metric": _text, "span": _span, "percent": _percent},
    c.Rate: {"metric": _text, "span": _span},
    c.Constant: {"value": _flag},
    c.Compare: {"left": _term, "op": _text, "right": _term},
    c.Between: {"term": _term, "low": _term, "high": _term},
    c.In: {"term": _term, "values": _each(_number)},
    c.Has: {"name": _named},
    c.QualityIn: {"metric": _text, "qualities": _each(_quality)},
    c.Changed: {"metric": _text, "span": _span},
    c.SilentFor: {"seconds": _whole},
    c.SilentIntervals: {"count": _whole},
    c.AtLeast: {"count": _whole, "samples": _whole, "condition": _condition},
    c.Not: {"condition": _condition},
    c.All: {"conditions": _each(_condition)},
    c.Any: {"conditions": _each(_condition)},
}
_SHAPES = {_name(kind): (kind, parts) for kind, parts in _PARTS.items()}
