"""Conditions as text: a subset of CEL, the Common Expression Language.

`level_percent < 20 && quality(level_percent) == 'good'` becomes a tree of
`evara_core.alerts.conditions`. There are numbers, names, comparison, arithmetic,
`&& || !`, `? :` between numbers, `in`, and the calls of `evara_core.alerts.functions`.
There are no macros, no text but quality words and durations, and no way to reach Python.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar, cast

from evara_core.alerts.conditions import (
    All,
    Any,
    Arithmetic,
    ArithmeticOp,
    Choose,
    Compare,
    CompareOp,
    Condition,
    Config,
    Constant,
    Evidence,
    In,
    Metric,
    Negate,
    Not,
    Number,
    QualityIn,
    Term,
)
from evara_core.alerts.functions import FUNCTIONS, Arguments, Mismatch, QualityOf, Text
from evara_core.alerts.soundness import MAX_DEPTH, is_name, problem_of
from evara_core.alerts.tokens import Token, TokenKind, tokenize
from evara_core.errors import InvalidExpressionError
from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.alerts.functions import Part

__all__ = ["expr", "parse_condition", "parse_term"]

T = TypeVar("T")

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_NAMESPACES = {"config": Config, "evidence": Evidence}


def expr(text: str) -> Condition:
    """Return the condition that *text* says: the short name, for rules in code.

    Raises:
        InvalidExpressionError: With the position at which it stopped making sense.
    """
    return parse_condition(text)


def parse_condition(text: str) -> Condition:
    """Return the condition that *text* says.

    Raises:
        InvalidExpressionError: With the position at which it stopped making sense.
    """
    parser = _Parser(text)
    condition = parser.condition(0, parser.whole())
    if problem := problem_of(condition):
        raise InvalidExpressionError(text, 0, f"a condition that can be used: {problem}")
    return condition


def parse_term(text: str) -> Term:
    """Return the number-valued term that *text* says.

    Raises:
        InvalidExpressionError: With the position at which it stopped making sense.
    """
    parser = _Parser(text)
    term = parser.term(0, parser.whole())
    if problem := problem_of(term):
        raise InvalidExpressionError(text, 0, f"a term that can be used: {problem}")
    return term


class _Parser:
    """Recursive descent over the words of one text, one method for each precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._depth = 0

    def whole(self) -> Part:
        part = self._choice()
        if self._now.kind is not TokenKind.END:
            raise self._error(self._now.position, "an operator or the end")
        return part

    def term(self, position: int, part: Part) -> Term:
        if not isinstance(part, Term):
            raise self._error(position, "a number")
        return part

    def condition(self, position: int, part: Part) -> Condition:
        if not isinstance(part, Condition):
            raise self._error(position, "a condition, such as a comparison")
        return part

    @property
    def _now(self) -> Token:
        return self._tokens[self._index]

    def _error(self, position: int, expected: str) -> InvalidExpressionError:
        return InvalidExpressionError(self._text, position, expected)

    def _next(self) -> Token:
        token = self._now
        self._index += 1
        return token

    def _take(self, *signs: str) -> str | None:
        """Pass one of *signs* if it stands here, and return it."""
        token = self._now
        if token.kind is TokenKind.SIGN and token.text in signs:
            self._index += 1
            return token.text
        return None

    def _insist(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error(self._now.position, f"`{sign}`")

    def _choice(self) -> Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(self._now.position, f"at most {MAX_DEPTH} levels")
        start = self._now.position
        part = self._either()
        if self._take("?"):
            condition = self.condition(start, part)
            then = self.term(self._now.position, self._choice())
            self._insist(":")
            part = Choose(condition, then, self.term(self._now.position, self._choice()))
        self._depth -= 1
        return part

    def _either(self) -> Part:
        return self._joined("||", self._both, Any)

    def _both(self) -> Part:
        return self._joined("&&", self._relation, All)

    def _joined(self, sign: str, operand: Callable[[], Part], join: type[All | Any]) -> Part:
        start = self._now.position
        part = operand()
        if not self._take(sign):
            return part
        parts = [self.condition(start, part)]
        while True:
            parts.append(self.condition(self._now.position, operand()))
            if not self._take(sign):
                return join(tuple(parts))

    def _relation(self) -> Part:
        start = self._now.position
        left = self._sum()
        if self._now.kind is TokenKind.NAME and self._now.text == "in":
            self._next()
            return self._membership(start, left)
        op = self._take(*_COMPARISONS)
        if op is None:
            return left
        if isinstance(left, QualityOf):
            return self._quality(left, op)
        at = self._now.position
        right = self.term(at, self._sum())
        return Compare(self.term(start, left), cast("CompareOp", op), right)

    def _quality(self, left: QualityOf, op: str) -> Condition:
        if op not in {"==", "!="}:
            raise self._error(self._tokens[self._index - 1].position, "`==`, `!=` or `in`")
        equal = QualityIn(left.metric, (self._quality_word(),))
        return equal if op == "==" else Not(equal)

    def _quality_word(self) -> Quality:
        token = self._next()
        if token.kind is TokenKind.TEXT and token.text in set(Quality):
            return Quality(token.text)
        raise self._error(token.position, f"one of {', '.join(repr(q.value) for q in Quality)}")

    def _membership(self, start: int, left: Part) -> Condition:
        self._insist("[")
        if isinstance(left, QualityOf):
            return QualityIn(left.metric, tuple(self._listed(self._quality_word)))
        return In(self.term(start, left), tuple(self._listed(self._literal)))

    def _listed(self, item: Callable[[], T]) -> list[T]:
        items = [item()]
        while self._take(","):
            items.append(item())
        self._insist("]")
        return items

    def _literal(self) -> float:
        sign = -1.0 if self._take("-") else 1.0
        token = self._next()
        if token.kind is not TokenKind.NUMBER:
            raise self._error(token.position, "a number")
        return sign * self._float(token)

    def _float(self, token: Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            raise self._error(token.position, "a number that is not so large")
        return value

    def _sum(self) -> Part:
        return self._operated(("+", "-"), self._product)

    def _product(self) -> Part:
        return self._operated(("*", "/"), self._unary)

    def _operated(self, signs: tuple[str, ...], operand: Callable[[], Part]) -> Part:
        start = self._now.position
        part = operand()
        while op := self._take(*signs):
            at = self._now.position
            right = self.term(at, operand())
            part = Arithmetic(cast("ArithmeticOp", op), self.term(start, part), right)
        return part

    def _unary(self) -> Part:
        # A loop, so that a thousand signs in a row are no thousand frames.
        signs = []
        while sign := self._take("!", "-"):
            signs.append(sign)
            if len(signs) > MAX_DEPTH:
                raise self._error(self._now.position, f"at most {MAX_DEPTH} signs")
        at = self._now.position
        if signs and signs[-1] == "-" and self._now.kind is TokenKind.NUMBER:
            signs.pop()
            part: Part = Number(-self._float(self._next()))
        else:
            part = self._primary()
        for sign in reversed(signs):
            part = Not(self.condition(at, part)) if sign == "!" else Negate(self.term(at, part))
        return part

    def _primary(self) -> Part:
        token = self._next()
        match token.kind:
            case TokenKind.NUMBER:
                return Number(self._float(token))
            case TokenKind.TEXT:
                return Text(token.text)
            case TokenKind.NAME:
                return self._named(token)
            case TokenKind.SIGN if token.text == "(":
                part = self._choice()
                self._insist(")")
                return part
            case _:
                raise self._error(token.position, "a number, a name or `(`")

    def _named(self, token: Token) -> Part:
        if token.text in {"true", "false"}:
            return Constant(token.text == "true")
        if token.text in _NAMESPACES:
            self._insist(".")
            return _NAMESPACES[token.text](self._name(self._next()))
        if self._take("("):
            return self._call(token)
        return Metric(self._name(token))

    def _name(self, token: Token) -> str:
        if token.kind is not TokenKind.NAME or not is_name(token.text):
            raise self._error(token.position, "a name")
        return token.text

    def _call(self, token: Token) -> Part:
        build = FUNCTIONS.get(token.text)
        if build is None:
            raise self._error(
                token.position, f"one of the functions {', '.join(sorted(FUNCTIONS))}"
            )
        positions: list[int] = [self._now.position]
        parts: list[Part] = []
        if not self._take(")"):
            parts.append(self._choice())
            while self._take(","):
                positions.append(self._now.position)
                parts.append(self._choice())
            positions.append(self._now.position)
            self._insist(")")
        try:
            return build(Arguments(parts))
        except Mismatch as mismatch:
            raise self._error(positions[mismatch.argument], mismatch.expected) from None
