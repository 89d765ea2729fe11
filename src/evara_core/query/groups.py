"""Groups of conditions in one parameter.

  where = item
  item  = ("all" | "any") "(" item *( "," item ) ")" | "not" "(" item ")" | test
  test  = field [ "__" operator ] "=" value
  value = plain | quoted | "(" ( plain | quoted ) *( "," ( plain | quoted ) ) ")"

A quoted value stands in double quotes, and a double quote within is doubled. A plain one
ends at a comma or a parenthesis.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evara_core.errors import InvalidParameterError
from evara_core.query.ast import AllOf, AnyOf, Not
from evara_core.query.filters import build_condition, resolve

if TYPE_CHECKING:
    from evara_core.query.ast import Condition
    from evara_core.query.filters import Budget
    from evara_core.query.spec import ListSpec

__all__ = ["parse_groups"]

_PARAMETER = "where"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_PLAIN = re.compile(r'[^",()]*')


def parse_groups(spec: ListSpec, text: str, *, budget: Budget) -> Condition:
    """Return the condition that *text*, the value of `where=`, states.

    Args:
        spec: What is allowed.
        text: As it was sent.
        budget: Shared by all the filters of a request.

    Raises:
        InvalidParameterError: It does not parse, is nested too deeply, states too much, or
            says what the spec does not allow.
    """
    reader = _Reader(spec, text, budget)
    condition = reader.item(depth=0)
    reader.end()
    return condition


class _Reader:
    def __init__(self, spec: ListSpec, text: str, budget: Budget) -> None:
        self._spec = spec
        self._text = text
        self._budget = budget
        self._at = 0

    def item(self, *, depth: int) -> Condition:
        name = self._match(_NAME, "all(, any(, not( or a field").group()
        if self._take("("):
            if depth == self._spec.max_depth:
                raise self._error(f"groups are nested more than {self._spec.max_depth} deep")
            return self._group(name, depth=depth + 1)
        self._expect("=")
        blamed = f"{_PARAMETER}: {name[:100]}"
        field, operator = resolve(self._spec, name, blamed)
        return build_condition(field, operator, self._values(), blamed=blamed, budget=self._budget)

    def end(self) -> None:
        if self._at < len(self._text):
            raise self._error("expected the end")

    def _group(self, name: str, *, depth: int) -> Condition:
        start = self._at
        parts = [self.item(depth=depth)]
        while self._take(","):
            parts.append(self.item(depth=depth))
        self._expect(")")
        match name:
            case "all":
                return AllOf(tuple(parts))
            case "any":
                return AnyOf(tuple(parts))
            case "not" if len(parts) == 1:
                return Not(parts[0])
            case "not":
                raise self._error("not( takes one condition", start)
            case _:
                raise self._error("expected all(, any( or not(", start - len(name) - 1)

    def _values(self) -> list[str]:
        if not self._take("("):
            return [self._value()]
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> str:
        if self._text.startswith('"', self._at):
            return self._match(_QUOTED, "a closing double quote").group(1).replace('""', '"')
        return self._match(_PLAIN, "a value").group()

    def _match(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(f"expected {expected}")
        self._at = found.end()
        return found

    def _take(self, letter: str) -> bool:
        if not self._text.startswith(letter, self._at):
            return False
        self._at += 1
        return True

    def _expect(self, letter: str) -> None:
        if not self._take(letter):
            raise self._error(f"expected {letter}")

    def _error(self, problem: str, at: int | None = None) -> InvalidParameterError:
        place = self._at if at is None else at
        return InvalidParameterError(_PARAMETER, f"{problem} at character {place}")
