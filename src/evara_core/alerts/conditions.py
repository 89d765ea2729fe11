"""The tree that a rule's condition is. It says what to ask; others answer.

A `Term` is a number or unknown; a `Condition` is true, false or unknown. What the
device did not send, what is bad, what is not finite, what is divided by zero and what
the node's configuration does not hold is unknown, and `all`, `any` and `not` follow
Kleene: an unknown side does not matter when the other one decides.

`evara_core.alerts.expression` reads and writes a tree as text, `evara_core.alerts.plain`
as JSON values.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evara_core.telemetry.models import Quality

__all__ = [
    "All",
    "Any",
    "Arithmetic",
    "ArithmeticOp",
    "AtLeast",
    "Between",
    "Changed",
    "Choose",
    "Compare",
    "CompareOp",
    "Condition",
    "Config",
    "Constant",
    "Evidence",
    "Function",
    "FunctionName",
    "Has",
    "In",
    "Metric",
    "Name",
    "Negate",
    "Node",
    "Not",
    "Number",
    "QualityIn",
    "Rate",
    "SilentFor",
    "SilentIntervals",
    "Span",
    "Term",
    "Window",
    "WindowFunction",
    "children",
    "metrics_of",
    "walk",
]

CompareOp: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]
ArithmeticOp: TypeAlias = Literal["+", "-", "*", "/"]
FunctionName: TypeAlias = Literal["abs", "min", "max"]


@dataclass(frozen=True, slots=True)
class Term:
    """Something that is a number, or unknown."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is true, false or unknown."""


Node: TypeAlias = Term | Condition


@dataclass(frozen=True, slots=True)
class Number(Term):
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Metric(Term):
    """What the sample says for a metric; unknown when that is bad or missing."""

    name: str


@dataclass(frozen=True, slots=True)
class Config(Term):
    """A number of the node's configuration, such as `config.low_level`."""

    name: str


@dataclass(frozen=True, slots=True)
class Evidence(Term):
    """A number that a detector handed in beside the sample, such as `evidence.leak`."""

    name: str


Name: TypeAlias = Metric | Config | Evidence


@dataclass(frozen=True, slots=True)
class Arithmetic(Term):
    """Two terms made one. A result that is not finite is unknown."""

    op: ArithmeticOp
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Negate(Term):
    """A term with its sign turned."""

    term: Term


@dataclass(frozen=True, slots=True)
class Function(Term):
    """A pure function: `abs` of one term, `min` or `max` of two or more."""

    name: FunctionName
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Choose(Term):
    """One term or the other; unknown when the condition is."""

    condition: Condition
    then: Term
    otherwise: Term


@dataclass(frozen=True, slots=True)
class Span:
    """How far a window looks back: so many seconds, or so many samples.

    Exactly one of the two is set.
    """

    seconds: int | None = None
    samples: int | None = None


class WindowFunction(StrEnum):
    """What a window makes of the samples that it sees."""

    MIN = "min_over"
    MAX = "max_over"
    MEAN = "mean_over"
    COUNT = "count_over"
    PERCENTILE = "percentile_over"


@dataclass(frozen=True, slots=True)
class Window(Term):
    """A figure over the usable samples of a metric, the present one included.

    Unknown while there are none, except the count, which is then 0.
    """

    function: WindowFunction
    metric: str
    span: Span
    percent: float | None = None
    """For `percentile_over` only: 0 to 100, linear between samples."""


@dataclass(frozen=True, slots=True)
class Rate(Term):
    """How fast a metric changes, in its unit per hour: newest minus oldest of the window."""

    metric: str
    span: Span


@dataclass(frozen=True, slots=True)
class Constant(Condition):
    """Always, or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """Two terms compared as floats."""

    left: Term
    op: CompareOp
    right: Term


@dataclass(frozen=True, slots=True)
class Between(Condition):
    """Whether low <= term <= high."""

    term: Term
    low: Term
    high: Term


@dataclass(frozen=True, slots=True)
class In(Condition):
    """Whether a term is one of some numbers."""

    term: Term
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Has(Condition):
    """Whether a name has a usable value now. Never unknown."""

    name: Name


@dataclass(frozen=True, slots=True)
class QualityIn(Condition):
    """Whether a metric's quality is one of these. Never unknown: nothing sent is `missing`."""

    metric: str
    qualities: tuple[Quality, ...]


@dataclass(frozen=True, slots=True)
class Changed(Condition):
    """Whether a metric took more than one value in the window.

    Unknown while the window is not yet covered by samples and nothing has changed.
    """

    metric: str
    span: Span


@dataclass(frozen=True, slots=True)
class SilentFor(Condition):
    """Whether nothing has arrived for at least so long, by the clock of the receiver."""

    seconds: int


@dataclass(frozen=True, slots=True)
class SilentIntervals(Condition):
    """Whether nothing has arrived for so many of the node's expected intervals."""

    count: int


@dataclass(frozen=True, slots=True)
class AtLeast(Condition):
    """Whether a condition held in at least *count* of the last *samples* samples."""

    count: int
    samples: int
    condition: Condition


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The opposite; unknown stays unknown."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class All(Condition):
    """True when all are, false when any is false."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Any(Condition):
    """True when any is, false when all are false."""

    conditions: tuple[Condition, ...]


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes directly under *node*."""
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Term | Condition):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Term | Condition))


def walk(node: Node) -> Iterator[Node]:
    """Yield *node* and all that is under it, however deep."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(children(node))


def metrics_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Return the metrics that *nodes* themselves name, each once, in order of their names."""
    names = set()
    for node in nodes:
        match node:
            case Metric(name) | QualityIn(name, _) | Window(_, name, _):
                names.add(name)
            case Rate(name, _) | Changed(name, _):
                names.add(name)
            case _:
                pass
    return tuple(sorted(names))
