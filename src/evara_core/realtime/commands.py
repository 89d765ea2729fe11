"""What a client may say on a WebSocket, read and checked. Performs nothing.

Each message is an object with a `type`. Unknown types, unknown members and values out of
bounds are refused by name, so that a typing error never looks like missing data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from evara_core.errors import InvalidBodyError
from evara_core.realtime.selection import Selection, SelectionLimits, selection_of

if TYPE_CHECKING:
    from evara_core.realtime.ports import BusPosition

__all__ = [
    "LONGEST_POSITION",
    "LONGEST_TOKEN",
    "Command",
    "Hello",
    "Ping",
    "Pong",
    "Renew",
    "Subscribe",
    "Unsubscribe",
    "command_of",
]

LONGEST_POSITION: Final = 100
"""Characters. Two numbers of 20 digits, or an epoch and one, have less than half."""

LONGEST_TOKEN: Final = 8_192
"""Characters: as much as servers take of a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first message: who, from where, and what."""

    token: str | None = None
    """None: it came as a subprotocol."""

    after: BusPosition | None = None
    """Resume behind this position; None: from now on."""

    selections: Mapping[str, Selection] | None = None
    """By the client's own names; None: everything that it may hear."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Hear this, too."""

    name: str
    selection: Selection


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Hear it no longer."""

    name: str


@dataclass(frozen=True, slots=True)
class Renew:
    """A fresh token of the same user, before the old one expires."""

    token: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Answered by a pong."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the server's ping."""


Command: TypeAlias = Hello | Subscribe | Unsubscribe | Renew | Ping | Pong

_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "hello": frozenset({"type", "token", "after", "subscribe"}),
    "subscribe": frozenset({"type", "name", "kinds", "topics"}),
    "unsubscribe": frozenset({"type", "name"}),
    "token": frozenset({"type", "token"}),
    "ping": frozenset({"type"}),
    "pong": frozenset({"type"}),
}


def command_of(value: object, *, limits: SelectionLimits = SelectionLimits()) -> Command:
    """Return what *value*, a decoded frame, says.

    Raises:
        InvalidBodyError: It is none of the messages that a client may send.
    """
    if not isinstance(value, Mapping):
        raise InvalidBodyError("", "must be an object")
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise InvalidBodyError("/type", "unknown type of message", tuple(sorted(_MEMBERS)))
    members = _MEMBERS[kind]
    if any(name not in members for name in value):
        raise InvalidBodyError("", f"unknown member of {kind!r}", tuple(sorted(members)))
    match kind:
        case "hello":
            return _hello(value, limits)
        case "subscribe":
            asked = {name: value[name] for name in ("kinds", "topics") if name in value}
            return Subscribe(_name(value, limits), selection_of(asked, limits=limits))
        case "unsubscribe":
            return Unsubscribe(_name(value, limits))
        case "token":
            return Renew(_text(value.get("token"), "/token", most=LONGEST_TOKEN))
        case "ping":
            return Ping()
        case _:
            return Pong()


def _hello(value: Mapping[str, object], limits: SelectionLimits) -> Hello:
    token, after, asked = (value.get(name) for name in ("token", "after", "subscribe"))
    selections: dict[str, Selection] | None = None
    if asked is not None:
        if not isinstance(asked, Mapping) or len(asked) > limits.selections:
            problem = f"must be an object of at most {limits.selections} selections"
            raise InvalidBodyError("/subscribe", problem)
        selections = {
            _text(name, "/subscribe", most=limits.text): selection_of(
                each, pointer="/subscribe/…", limits=limits
            )
            for name, each in asked.items()
        }
    return Hello(
        token=None if token is None else _text(token, "/token", most=LONGEST_TOKEN),
        after=None if after is None else _text(after, "/after", most=LONGEST_POSITION),
        selections=selections,
    )


def _name(value: Mapping[str, object], limits: SelectionLimits) -> str:
    return _text(value.get("name"), "/name", most=limits.text)


def _text(value: object, pointer: str, *, most: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise InvalidBodyError(pointer, f"must be a text of 1 to {most} characters")
    return value
