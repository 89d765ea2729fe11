"""A condition tree as generated Python: the back end that the engine uses.

Unknown is NaN, so a comparison with it is false, and each condition is written twice: as
an expression that is true when it is *known to be true*, and one that is true when it is
*known to be false*. `a && b` is known to be true when both are, and known to be false
when either is: the three-valued logic needs no test for missing values at all.

The text is made of the tree's own nodes: names that passed `soundness`, floats by `repr`,
and nothing that anybody wrote. `evara_core.alerts.closures` does the same without
generating code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from evara_core.alerts import closures
from evara_core.alerts.conditions import (
    All,
    Any,
    Arithmetic,
    AtLeast,
    Between,
    Changed,
    Choose,
    Compare,
    Condition,
    Config,
    Constant,
    Evidence,
    Function,
    Has,
    In,
    Metric,
    Negate,
    Not,
    Number,
    QualityIn,
    Rate,
    SilentFor,
    SilentIntervals,
    Term,
    Window,
)
from evara_core.alerts.numbers import number_of, usable
from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evara_core.alerts.closures import Ask, Screen

__all__ = ["compile_condition", "compile_screen", "source_of"]

_OPPOSITES = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_EXACT = 2.0**53
"""Whole numbers below this are floats without a difference."""

_NEVER = "False"
_ALWAYS = "True"


def compile_condition(condition: Condition) -> Ask:
    """Return *condition* as a function of a sample."""
    writer = _Writer()
    return cast("Ask", writer.function(_body_of(writer, condition), "ask", "sample"))


def source_of(condition: Condition) -> str:
    """Return the text that `compile_condition` compiles, for who wants to see it."""
    writer = _Writer()
    return "\n".join(_body_of(writer, condition))


def compile_screen(conditions: Sequence[tuple[Condition, bool]]) -> Screen:
    """Return all *conditions* fused into one function for a sample that has just arrived.

    Bit n of its answer says that condition n asks for a closer look: because it is true,
    or, where its flag is set, because it is not known to be false. What the conditions
    share is looked up and worked out once. The sample itself may be None unless a
    condition looks at windows or evidence.
    """
    eager = _Writer(silent=False, eager=True, inline=len(conditions) == 1)
    careful = _Writer(silent=False, names=eager.names)
    quick, slow = _screened(eager, conditions), _screened(careful, conditions)
    body = ["try:", *(f"    {line}" for line in quick), "except (KeyError, TypeError):", "    pass"]
    # Without values that nobody sent there is nothing to be careful with.
    body = [*body, *slow] if eager.is_eager else slow
    return cast("Screen", eager.function(body, "screen", "values, config, sample"))


def _screened(writer: _Writer, conditions: Sequence[tuple[Condition, bool]]) -> list[str]:
    if len(conditions) == 1:
        return _screen_of_one(writer, *conditions[0])
    tests = []
    for number, (condition, when_unknown) in enumerate(conditions):
        test = f"not {writer.false(condition)}" if when_unknown else writer.true(condition)
        if test not in {_NEVER, f"not {_ALWAYS}"}:
            tests.append(f"if {test}: hits |= {1 << number}")
    return [*writer.lines, "hits = 0", *tests, "return hits"]


def _screen_of_one(writer: _Writer, condition: Condition, when_unknown: bool) -> list[str]:  # noqa: FBT001 - as it stands in the tuple
    """Look up no more than decides it. True and False do for one bit."""
    match condition:
        case All(parts) if not when_unknown:
            for part in parts[:-1]:
                test, known = writer.true(part), len(writer.lines)
                if known:
                    writer.lines.append(f"if not {test}: return 0")
        case _:
            pass
    test = f"not {writer.false(condition)}" if when_unknown else writer.true(condition)
    return [*writer.lines, f"return {test}"]


def _body_of(writer: _Writer, condition: Condition) -> list[str]:
    writer.lines.append("values = sample.values")
    match condition:
        case All(parts):
            for part in parts[:-1]:
                writer.leave_if(writer.false(part), _NEVER)
        case Any(parts):
            for part in parts[:-1]:
                writer.leave_if(writer.true(part), _ALWAYS)
        case _:
            pass
    is_true, is_false = writer.true(condition), writer.false(condition)
    return [*writer.lines, f"return True if {is_true} else False if {is_false} else None"]


class _Writer:
    """Writes the lines that work out terms, and the two expressions of a condition."""

    def __init__(
        self,
        *,
        silent: bool = True,
        eager: bool = False,
        inline: bool = False,
        names: dict[str, object] | None = None,
    ) -> None:
        self.lines: list[str] = []
        self._terms: dict[object, str] = {}
        self._silent = silent
        self._eager = eager
        self._inline = inline
        self.is_eager = False
        """Whether a value is compared that may be bad, or none."""

        self.names: dict[str, object] = {} if names is None else names
        self.names |= {
            "GOOD": Quality.GOOD,
            "MISSING": Quality.MISSING,
            "nan": math.nan,
            "number_of": number_of,
            "usable": usable,
        }

    def function(self, body: Sequence[str], name: str, parameters: str) -> Callable[..., object]:
        source = "\n    ".join([f"def {name}({parameters}):", *body])
        names = dict(self.names)
        exec(compile(source, f"<{name}>", "exec"), names)  # noqa: S102 - see the module's text
        made = names[name]
        assert callable(made)
        return made

    def leave_if(self, test: str, answer: str) -> None:
        """End with *answer* where one part decides, before the others are looked up."""
        if test != _NEVER:
            self.lines.append(f"if {test}: return {answer}")

    def true(self, condition: Condition) -> str:
        """Return an expression for: known to be true; when eager, for: perhaps true."""
        match condition:
            case Compare(Metric(name), op, Number(limit)) if (
                self._eager and op in _OPPOSITES and abs(limit) < _EXACT
            ):
                # Bad or whole, it is not less true than what is good and a float: that needs
                # no test here. None and what was not sent raise.
                self.is_eager = True
                return f"({self._value(name)} {op} {self._term(Number(limit))})"
            case All(parts):
                return _joined("and", [self.true(part) for part in parts], _NEVER, _ALWAYS)
            case Any(parts):
                return _joined("or", [self.true(part) for part in parts], _ALWAYS, _NEVER)
            case Not(part):
                return self.false(part)
            case _:
                return self._pair(condition)[0]

    def false(self, condition: Condition) -> str:
        """Return an expression for: known to be false."""
        match condition:
            case All(parts):
                return _joined("or", [self.false(part) for part in parts], _ALWAYS, _NEVER)
            case Any(parts):
                return _joined("and", [self.false(part) for part in parts], _NEVER, _ALWAYS)
            case Not(part):
                return self.true(part)
            case _:
                return self._pair(condition)[1]

    def _pair(self, condition: Condition) -> tuple[str, str]:
        match condition:
            case Constant(value):
                return (_ALWAYS, _NEVER) if value else (_NEVER, _ALWAYS)
            case Compare(left, op, right):
                return self._compared(self._term(left), op, self._term(right))
            case Between(term, low, high):
                x, a, b = self._term(term), self._term(low), self._term(high)
                return f"({a} <= {x} <= {b})", f"({x} < {a} or {x} > {b})"
            case In(term, values):
                x, known = self._term(term), self._constant(frozenset(values))
                return f"({x} in {known})", f"({x} == {x} and {x} not in {known})"
            case Has(name):
                x = self._term(name)
                return f"({x} == {x})", f"({x} != {x})"
            case QualityIn(metric, qualities):
                q, known = self._quality(metric), self._constant(frozenset(qualities))
                return f"({q} in {known})", f"({q} not in {known})"
            case _:
                return self._in_time(condition)

    def _compared(self, a: str, op: str, b: str) -> tuple[str, str]:
        differ, equal = f"({a} < {b} or {a} > {b})", f"({a} == {b})"
        match op:
            case "==":
                return equal, differ
            case "!=":
                return differ, equal
            case _:
                return f"({a} {op} {b})", f"({a} {_OPPOSITES[op]} {b})"

    def _in_time(self, condition: Condition) -> tuple[str, str]:
        match condition:
            case SilentFor() | SilentIntervals() if not self._silent:
                return _NEVER, _ALWAYS
            case SilentFor(seconds):
                return f"({self._silence()} >= {seconds})", f"({self._silence()} < {seconds})"
            case SilentIntervals(count):
                limit = f"{count} * sample.interval_s"
                return f"({self._silence()} >= {limit})", f"({self._silence()} < {limit})"
            case Changed() | AtLeast():
                ask = self._constant(closures.compile_condition(condition))
                answer = self._kept(condition, f"{ask}(sample)")
                return f"({answer} is True)", f"({answer} is False)"
            case _:
                raise TypeError(type(condition).__name__)

    def _silence(self) -> str:
        return self._kept("silence", "nan if sample.silent_s is None else sample.silent_s")

    def _term(self, term: Term) -> str:
        """Return a name or a literal for *term*, after lines that work it out once."""
        if isinstance(term, Number):
            return repr(float(term.value)) if term.value >= 0 else f"({float(term.value)!r})"
        if term not in self._terms:
            self._terms[term] = self._written(term)
        return self._terms[term]

    def _written(self, term: Term) -> str:
        match term:
            case Metric(name):
                return self._metric(name)
            case Config(name):
                source = f"sample.config[{name!r}]" if self._silent else f"config[{name!r}]"
                return self._number(term, source)
            case Evidence(name):
                return self._number(term, f"sample.evidence[{name!r}]")
            case Arithmetic(op, left, right):
                a, b = self._term(left), self._term(right)
                return self._finite(
                    term, f"{a} / {b} if {b} else nan" if op == "/" else f"{a} {op} {b}"
                )
            case Negate(part):
                return self._kept(term, f"-{self._term(part)}")
            case Function(name, parts):
                return self._function(term, name, [self._term(part) for part in parts])
            case Choose(condition, then, otherwise):
                a, b = self._term(then), self._term(otherwise)
                is_true, is_false = self.true(condition), self.false(condition)
                return self._kept(term, f"{a} if {is_true} else {b} if {is_false} else nan")
            case Window() | Rate():
                figure = self._constant(closures.compile_term(term))
                return self._kept(term, f"{figure}(sample)")
            case _:
                raise TypeError(type(term).__name__)

    def _metric(self, name: str) -> str:
        m, v = self._fresh("m"), self._fresh("v")
        self.lines += [
            "try:",
            f"    {m} = values[{name!r}]",
            f"    {v} = {m}.value",
            f"    if {m}.quality is not GOOD or type({v}) is not float:",
            f"        {v} = usable({m})",
            "except KeyError:",
            f"    {m} = None",
            f"    {v} = nan",
        ]
        self._terms["measured", name] = m
        return v

    def _value(self, metric: str) -> str:
        """Return a name for the value as it was sent, or what it is looked up by."""
        text = f"values[{metric!r}].value"
        return text if self._inline else self._kept(("value", metric), text)

    def _quality(self, metric: str) -> str:
        self._term(Metric(metric))
        m = self._terms["measured", metric]
        return self._kept(("quality", metric), f"MISSING if {m} is None else {m}.quality")

    def _number(self, term: Term, source: str) -> str:
        c = self._fresh("c")
        self.lines += [
            "try:",
            f"    {c} = {source}",
            f"    if type({c}) is not float:",
            f"        {c} = number_of({c})",
            "except KeyError:",
            f"    {c} = nan",
        ]
        self._terms[term] = c
        return c

    def _function(self, term: Term, name: str, parts: Sequence[str]) -> str:
        if name == "abs":
            return self._kept(term, f"abs({parts[0]})")
        unknown = " or ".join(f"{part} != {part}" for part in parts)
        return self._kept(term, f"nan if {unknown} else {name}({', '.join(parts)})")

    def _finite(self, term: Term, text: str) -> str:
        t = self._kept(term, text)
        self.lines.append(f"if {t} - {t} != 0.0: {t} = nan")
        return t

    def _kept(self, key: object, text: str) -> str:
        """Return a name for what *text* says, worked out once."""
        if key not in self._terms:
            name = self._fresh("t")
            self.lines.append(f"{name} = {text}")
            self._terms[key] = name
        return self._terms[key]

    def _constant(self, value: object) -> str:
        name = self._fresh("k")
        self.names[name] = value
        return name

    def _fresh(self, letter: str) -> str:
        return f"{letter}{len(self._terms)}_{len(self.lines)}_{len(self.names)}"


def _joined(word: str, parts: Sequence[str], decides: str, otherwise: str) -> str:
    """Join *parts*: one that is *decides* decides, those that are *otherwise* say nothing."""
    if decides in parts:
        return decides
    told = [part for part in parts if part != otherwise]
    return f"({f' {word} '.join(told)})" if told else otherwise
