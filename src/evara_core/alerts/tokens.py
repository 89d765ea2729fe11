"""The words of an expression, each with its position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from evara_core.errors import InvalidExpressionError

__all__ = ["MAX_TEXT", "Token", "TokenKind", "tokenize"]

MAX_TEXT = 2_000
"""Characters in an expression. The longest in the documentation has 120."""


class TokenKind(StrEnum):
    """What a word is."""

    NUMBER = "number"
    NAME = "name"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word."""

    kind: TokenKind
    text: str
    """As written; without the quotes for text."""

    position: int


_WORDS = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<sign>&&|\|\||[<>=!]=|[-+*/<>!?:(),.\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)


def tokenize(text: str) -> list[Token]:
    """Return the words of *text*, an `END` last.

    Raises:
        InvalidExpressionError: It is too long, or holds what is no word.
    """
    if len(text) > MAX_TEXT:
        raise InvalidExpressionError(text, MAX_TEXT, f"at most {MAX_TEXT} characters")
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _WORDS.match(text, position)
        if match is None or match.lastgroup is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            raise InvalidExpressionError(text, at, "a number, a name or an operator")
        kind = TokenKind(match.lastgroup)
        word = match.group(kind)
        start = match.start(kind)
        tokens.append(Token(kind, word[1:-1] if kind is TokenKind.TEXT else word, start))
        position = match.end()
    tokens.append(Token(TokenKind.END, "", len(text)))
    return tokens
