"""Keys of calls, compiled from the signature of the function that is called.

A function is compiled with the very parameters of the target, so that all ways to
spell a call (by position, by name, with defaults) give one key, at the cost of one call.
Values that are equal but of different types (1, 1.0, True) give different keys.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

__all__ = ["CallShape", "compile_key", "shape_of", "stable_digest", "tags_of_call"]

_POSITIONAL: Final = inspect.Parameter.POSITIONAL_ONLY
_NAMED: Final = inspect.Parameter.KEYWORD_ONLY
_ARGS: Final = inspect.Parameter.VAR_POSITIONAL
_KWARGS: Final = inspect.Parameter.VAR_KEYWORD
_SELF: Final = frozenset({"self", "cls"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallShape:
    """The parameters of a function, as pieces of source to compile others with.

    The pieces are made of names of parameters, which are identifiers, and of nothing else.
    """

    parameters: tuple[str, ...]
    declared: str
    """What stands between the parentheses of `def`."""

    key: str
    """The elements of a key: the arguments, then their types."""

    args: str
    """A tuple of what is handed on by position."""

    kwargs: str
    """A dict of what is handed on by name."""

    space: dict[str, Any]
    """The defaults, which `declared` names."""

    def compile(self, name: str, source: str, **more: object) -> Any:  # noqa: ANN401 - what the source defines
        """Return what *source* defines under *name*."""
        space = {**self.space, **more}
        exec(compile(source, f"<compiled {name}>", "exec"), space)  # noqa: S102 - see the class
        return space[name]


def shape_of(function: Callable[..., object]) -> CallShape:
    """Return the parameters of *function*.

    `self` goes into a key by its `__cache_key__`: an object's address says nothing in another
    process, and is used again for other objects in this one.

    Raises:
        ConfigurationError: The function has no signature that can be read.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{function!r} has no signature") from error
    parameters = list(signature.parameters.values())
    kinds = [parameter.kind for parameter in parameters]
    space: dict[str, Any] = {"_evara_type": type}
    declared: list[str] = []
    for index, parameter in enumerate(parameters):
        if kinds[index] is _NAMED and _ARGS not in kinds and kinds.index(_NAMED) == index:
            declared.append("*")
        declared.append(_declared(parameter, space))
        if kinds[index] is _POSITIONAL and kinds[index + 1 : index + 2] != [_POSITIONAL]:
            declared.append("/")
    read = [_read(parameter, is_first=index == 0) for index, parameter in enumerate(parameters)]
    return CallShape(
        parameters=tuple(signature.parameters),
        declared=", ".join(declared),
        key="".join(f"{piece}, " for piece in [*(v for v, _ in read), *(t for _, t in read)]),
        args=f"({''.join(map(_by_position, parameters))})",
        kwargs=f"{{{''.join(map(_by_name, parameters))}}}",
        space=space,
    )


def compile_key(shape: CallShape) -> Callable[..., tuple[Hashable, ...]]:
    """Return a function with the parameters of *shape* that returns the key of a call."""
    source = f"def _evara_key({shape.declared}):\n    return ({shape.key})\n"
    key: Callable[..., tuple[Hashable, ...]] = shape.compile("_evara_key", source)
    return key


def tags_of_call(
    shape: CallShape, tags: Callable[..., Iterable[str]], region: str
) -> Callable[..., Iterable[str]]:
    """Return a function with the parameters of *shape* that asks *tags*.

    *tags* gets what it names, by name and with the defaults of *shape*, so that all ways to
    spell a call have the same tags. One that names nothing, such as `*args`, gets what was
    given by position.

    Raises:
        ConfigurationError: It wants what *shape* has not got.
    """
    wanted = inspect.signature(tags).parameters.values()
    kinds = {parameter.kind for parameter in wanted}
    named = [each.name for each in wanted if each.kind not in {_ARGS, _KWARGS}]
    unknown = sorted(set(named) - set(shape.parameters))
    if unknown and not kinds & {_POSITIONAL}:
        raise ConfigurationError(f"{region}: `tags` wants {unknown}, which a call has not got")
    if not named or kinds & {_POSITIONAL, _ARGS}:
        return tags
    arguments = ", ".join(f"{name}={name}" for name in named)
    source = f"def _evara_tags({shape.declared}):\n    return _evara_asked({arguments})\n"
    asked: Callable[..., Iterable[str]] = shape.compile("_evara_tags", source, _evara_asked=tags)
    return asked


def stable_digest(parameters: tuple[str, ...], key: tuple[Hashable, ...]) -> str:
    """Return 32 hexadecimal digits for a key, the same in every process.

    Raises:
        ConfigurationError: An argument is of a type that has no stable form.
    """
    digest = blake2b(digest_size=16)
    for index, value in enumerate(key[: len(parameters)]):
        _feed(digest, value, parameters[index])
    return digest.hexdigest()


def _declared(parameter: inspect.Parameter, space: dict[str, Any]) -> str:
    name = parameter.name
    if parameter.kind is _ARGS:
        return f"*{name}"
    if parameter.kind is _KWARGS:
        return f"**{name}"
    if parameter.default is inspect.Parameter.empty:
        return name
    space[f"_evara_default_{name}"] = parameter.default
    return f"{name}=_evara_default_{name}"


def _read(parameter: inspect.Parameter, *, is_first: bool) -> tuple[str, str]:
    """Return how to read the value of a parameter, and its type."""
    name = parameter.name
    if parameter.kind is _ARGS:
        return name, f"tuple(map(_evara_type, {name}))"
    if parameter.kind is _KWARGS:
        types = f"tuple(_evara_type({name}[_n]) for _n in sorted({name}))"
        return f"tuple(sorted({name}.items()))", types
    value = f"{name}.__cache_key__" if is_first and name in _SELF else name
    return value, f"{name}.__class__"


def _by_position(parameter: inspect.Parameter) -> str:
    if parameter.kind is _ARGS:
        return f"*{parameter.name}, "
    return "" if parameter.kind in {_NAMED, _KWARGS} else f"{parameter.name}, "


def _by_name(parameter: inspect.Parameter) -> str:
    if parameter.kind is _KWARGS:
        return f"**{parameter.name}, "
    return f"'{parameter.name}': {parameter.name}, " if parameter.kind is _NAMED else ""


def _feed(digest: Any, value: object, parameter: str) -> None:  # noqa: ANN401 - hashlib has no public type
    """Add *value* in a form that no other value has, and that is the same everywhere."""
    parts = _parts(value)
    written = _written(value, parameter) if parts is None else str(len(parts)).encode()
    digest.update(f"{type(value).__qualname__}:{len(written)}:".encode())
    digest.update(written)
    for each in parts or ():
        _feed(digest, each, parameter)


def _parts(value: object) -> tuple[object, ...] | None:
    """Return what *value* is made of; None if it is one thing."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, frozenset):
        return tuple(sorted(value, key=repr))
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(getattr(value, field.name) for field in fields(value))
    return None


def _written(value: object, parameter: str) -> bytes:
    match value:
        case bytes():
            return value
        case Enum():
            return value.name.encode()
        case str():
            return value.encode("utf-8", "surrogatepass")
        case date() | time():
            return value.isoformat().encode()
        case None | bool() | int() | float() | Decimal() | UUID() | timedelta():
            return repr(value).encode()
        case _:
            kind = type(value).__qualname__
            raise ConfigurationError(
                f"argument {parameter!r}: a {kind} has no stable form for a key"
            )
