"""What a client wants to hear of all that it may hear. It only ever narrows.

Who may hear what is decided by the topics of the principal, which the tenancy policy makes. A
selection is a second question, asked of a message that passed the first: so nothing that a
client writes into it can show it more, and no text of a client reaches the bus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.errors import InvalidBodyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.realtime.ports import Message

__all__ = ["EVERYTHING", "Selection", "SelectionLimits", "selection_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionLimits:
    """How much one client may ask for."""

    selections: int = 20
    """Named selections of one stream: the parts of a page."""

    topics: int = 200
    """Topics, or kinds, in one selection: the nodes of a map."""

    text: int = 200
    """Characters of a name, a kind or a topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Messages of one of these kinds and of one of these topics. Empty: of any."""

    kinds: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()

    def wants(self, message: Message) -> bool:
        """Say whether *message* is of it."""
        return (not self.kinds or message.kind in self.kinds) and (
            not self.topics or not self.topics.isdisjoint(message.topics)
        )

    def as_json(self) -> dict[str, list[str]]:
        """Return it as it goes over the wire."""
        return {"kinds": sorted(self.kinds), "topics": sorted(self.topics)}


EVERYTHING = Selection()


def selection_of(
    asked: object, *, pointer: str = "", limits: SelectionLimits = SelectionLimits()
) -> Selection:
    """Return what *asked*, a decoded JSON value of a client, selects.

    Raises:
        InvalidBodyError: It is no object, has an unknown member, or asks for too much.
    """
    if not isinstance(asked, Mapping):
        raise InvalidBodyError(pointer, "must be an object")
    for name in asked:
        if name not in {"kinds", "topics"}:
            raise InvalidBodyError(f"{pointer}/…", "unknown member", ("kinds", "topics"))
    return Selection(
        kinds=_texts(asked.get("kinds", ()), f"{pointer}/kinds", limits),
        topics=_texts(asked.get("topics", ()), f"{pointer}/topics", limits),
    )


def _texts(asked: object, pointer: str, limits: SelectionLimits) -> frozenset[str]:
    if not isinstance(asked, list | tuple) or len(asked) > limits.topics:
        raise InvalidBodyError(pointer, f"must be a list of at most {limits.topics} texts")
    return frozenset(_checked(asked, pointer, limits))


def _checked(asked: Iterable[object], pointer: str, limits: SelectionLimits) -> Iterable[str]:
    for item in asked:
        if not isinstance(item, str) or not 0 < len(item) <= limits.text:
            problem = f"each must be a text of 1 to {limits.text} characters"
            raise InvalidBodyError(pointer, problem)
        yield item
