"""Whether a condition tree can be used: sizes, names, windows.

A tree may come from JSON or from code, not only from the parser, so the limits are
checked on the tree itself.
"""

from __future__ import annotations

import math
import re
from typing import get_args

from evara_core.alerts.conditions import (
    All,
    Any,
    Arithmetic,
    ArithmeticOp,
    AtLeast,
    Changed,
    Compare,
    CompareOp,
    Config,
    Evidence,
    Function,
    FunctionName,
    In,
    Metric,
    Node,
    Number,
    QualityIn,
    Rate,
    SilentFor,
    SilentIntervals,
    Span,
    Window,
    WindowFunction,
    children,
    walk,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_SAMPLES",
    "MAX_WINDOW_S",
    "RESERVED",
    "is_name",
    "problem_of",
]

MAX_NODES = 200
"""Parts of a tree. A rule that a person can still read has fewer than thirty."""

MAX_DEPTH = 32
"""Levels of a tree: far below what Python's own recursion and compiler bear."""

MAX_SAMPLES = 1_000
"""The most samples that a window may count: sixteen bytes each, per node and metric."""

MAX_WINDOW_S = 7 * 24 * 3600
"""The longest window: a week of one-minute samples is 160 kB per node and metric."""

RESERVED = frozenset(
    {
        "abs",
        "at_least",
        "between",
        "changed",
        "config",
        "evidence",
        "false",
        "has",
        "in",
        "max",
        "min",
        "null",
        "quality",
        "rate_per_h",
        "silent_for",
        "silent_intervals",
        "true",
        *(function.value for function in WindowFunction),
    }
)
"""What cannot be the name of a metric."""

_Looking = Window | Rate | Changed | SilentFor | SilentIntervals | AtLeast

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def is_name(text: str) -> bool:
    """Whether *text* can name a metric, a configuration entry or a piece of evidence."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED


def problem_of(tree: Node) -> str | None:
    """Return what makes *tree* unusable, or None.

    A tree that `evara_core.alerts.expression.expr` made has no problem.
    """
    nodes = 0
    level: list[Node] = [tree]
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        if nodes > MAX_NODES:
            return f"more than {MAX_NODES} parts"
        for node in level:
            if problem := _problem_of_node(node):
                return problem
        level = [child for node in level for child in children(node)]
        if not level:
            return None
    return f"nested more than {MAX_DEPTH} levels deep"


def _problem_of_node(node: Node) -> str | None:
    match node:
        case Metric(name) | Config(name) | Evidence(name) | QualityIn(name, _):
            return _problem_of_name(name) or _problem_of_qualities(node)
        case Window(function, metric, span, percent):
            return (
                _problem_of_name(metric)
                or _problem_of_span(span)
                or _problem_of_percent(function, percent)
            )
        case Rate(metric, span) | Changed(metric, span):
            return _problem_of_name(metric) or _problem_of_span(span)
        case SilentFor() | SilentIntervals() | AtLeast():
            return _problem_in_time(node)
        case _:
            return _problem_of_shape(node)


def _problem_of_shape(node: Node) -> str | None:
    match node:
        case Number(value) if not math.isfinite(value):
            return f"{value} is not a finite number"
        case In(_, values) if not values or not all(map(math.isfinite, values)):
            return "`in` needs at least one number, all of them finite"
        case All(parts) | Any(parts) if len(parts) < 2:  # noqa: PLR2004 - it joins
            return "`&&` and `||` join two conditions or more"
        case Function(name, terms) if not _fits(name, len(terms)):
            return "`abs` takes one term, `min` and `max` take two or more"
        case Compare(_, op, _) if op not in get_args(CompareOp):
            return f"there is no comparison {op!r}"
        case Arithmetic(op, _, _) if op not in get_args(ArithmeticOp):
            return f"there is no operation {op!r}"
        case _:
            return None


def _fits(name: FunctionName, terms: int) -> bool:
    return name in get_args(FunctionName) and (terms == 1 if name == "abs" else terms > 1)


def _problem_in_time(node: SilentFor | SilentIntervals | AtLeast) -> str | None:
    match node:
        case SilentFor(seconds):
            good = 0 < seconds <= MAX_WINDOW_S
            return None if good else f"silence is judged between 1 s and {MAX_WINDOW_S} s"
        case SilentIntervals(count):
            good = 0 < count <= MAX_SAMPLES
            return None if good else f"silence is judged over 1 to {MAX_SAMPLES} intervals"
        case AtLeast(count, samples, condition):
            if not 1 <= count <= samples <= MAX_SAMPLES:
                return f"`at_least` needs 1 <= count <= samples <= {MAX_SAMPLES}"
            if any(isinstance(n, _Looking) for n in walk(condition)):
                return "`at_least` looks at single samples: no window or silence inside"
            return None


def _problem_of_name(name: str) -> str | None:
    return None if is_name(name) else f"{name[:64]!r} is not a name"


def _problem_of_qualities(node: Node) -> str | None:
    if isinstance(node, QualityIn) and not node.qualities:
        return "`quality` needs a word to compare with"
    return None


def _problem_of_span(span: Span) -> str | None:
    match span:
        case Span(seconds=int(seconds), samples=None) if 0 < seconds <= MAX_WINDOW_S:
            return None
        case Span(seconds=None, samples=int(samples)) if 1 < samples <= MAX_SAMPLES:
            return None
        case _:
            return f"a window is 1 s to {MAX_WINDOW_S} s, or 2 to {MAX_SAMPLES} samples"


def _problem_of_percent(function: WindowFunction, percent: float | None) -> str | None:
    if (function is WindowFunction.PERCENTILE) != (percent is not None):
        return "`percentile_over`, and nothing else, needs a percentage"
    if percent is not None and not 0 <= percent <= 100:  # noqa: PLR2004 - per cent
        return "a percentage is between 0 and 100"
    return None
