"""Keys that cannot be printed by accident."""

from __future__ import annotations

from typing import TypeAlias

from typing_extensions import override

from evara_core.errors import InvalidInputError

__all__ = ["AnyKey", "Key", "as_key"]

# ThingSpeak's own are 16 characters; a self-hosted server may make longer ones.
_LONGEST = 128


class Key:
    """A read, write or user key.

    It has no text form: printing, formatting, logging or inspecting it shows that there is
    a key and nothing of it. Only `reveal` returns it, for the moment of sending.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text.isascii() or not text.isalnum() or len(text) > _LONGEST:
            # The text is not told: it may be a key with one character too many.
            problem = "a ThingSpeak key is made of letters and digits only"
            raise InvalidInputError(problem)
        self._text = text

    def reveal(self) -> str:
        """Return the key itself."""
        return self._text

    @override
    def __repr__(self) -> str:
        return "Key(***)"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._text == other._text

    @override
    def __hash__(self) -> int:
        return hash(self._text)


AnyKey: TypeAlias = Key | str | None
"""What the clients take: text is wrapped at once, None is no key."""


def as_key(key: AnyKey) -> Key | None:
    """Return *key* wrapped; None stays None, and so does empty text.

    Raises:
        InvalidInputError: It cannot be a key: a line break or a space came along.
    """
    if key is None or isinstance(key, Key):
        return key
    text = key.strip()
    return Key(text) if text else None
