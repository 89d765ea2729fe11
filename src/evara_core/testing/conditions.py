"""Strategies for Hypothesis: condition trees, and samples to try them on.

Whoever writes a back end for conditions compares it with `alerts.closures` on these.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evara_core._optional import provided_by
from evara_core.alerts import conditions as c
from evara_core.telemetry.models import Measured, Quality, Reading

with provided_by("test", package="hypothesis"):
    from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hypothesis.strategies import SearchStrategy

__all__ = ["METRICS", "conditions", "configs", "measured", "readings", "terms"]

METRICS = ("flow", "level", "volts")

_START = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS = st.one_of(
    # Few and round, so that comparisons are equal now and then.
    st.sampled_from([0.0, -0.0, 1.0, 2.0, 5.0, 20.0, -3.0, 0.5]),
    st.floats(allow_nan=False, allow_infinity=False),
)


def terms(conditions: SearchStrategy[c.Condition] | None = None) -> SearchStrategy[c.Term]:
    """Return a strategy for number-valued terms, with windows."""
    metrics = st.sampled_from(METRICS)
    leaves: SearchStrategy[c.Term] = st.one_of(
        st.builds(c.Number, _NUMBERS),
        st.builds(c.Metric, metrics),
        st.builds(c.Config, st.sampled_from(["low", "high"])),
        st.builds(c.Rate, metrics, _spans()),
        st.builds(
            c.Window,
            st.sampled_from([f for f in c.WindowFunction if f is not c.WindowFunction.PERCENTILE]),
            metrics,
            _spans(),
        ),
        st.builds(
            c.Window,
            st.just(c.WindowFunction.PERCENTILE),
            metrics,
            _spans(),
            st.sampled_from([0.0, 50.0, 95.0, 100.0]),
        ),
    )
    return st.recursive(leaves, lambda inner: _composed(inner, conditions), max_leaves=6)


def conditions() -> SearchStrategy[c.Condition]:
    """Return a strategy for sound condition trees of every shape."""
    simple = _simple(terms())
    leaves = st.one_of(simple, _simple(terms(simple)), _in_time())
    return st.recursive(leaves, _joined, max_leaves=8)


def configs() -> SearchStrategy[dict[str, Any]]:
    """Return a strategy for configurations: missing entries and wrong types too."""
    odd = st.sampled_from([None, "20", True, math.nan, math.inf, 10**400, 7])
    return st.dictionaries(st.sampled_from(["low", "high"]), st.one_of(_NUMBERS, odd))


def measured() -> SearchStrategy[Measured]:
    """Return a strategy for values: of each quality, and of each wrong type."""
    odd = st.sampled_from([None, math.nan, math.inf, -math.inf, 3, "12", True])
    values: SearchStrategy[Any] = st.one_of(_NUMBERS, odd)
    return st.builds(Measured, values, st.sampled_from(Quality))


def readings(*, min_size: int = 1, max_size: int = 12) -> SearchStrategy[list[Reading]]:
    """Return a strategy for readings of one node, oldest first, at most hours apart."""
    samples = st.tuples(
        st.integers(1, 10_000), st.dictionaries(st.sampled_from(METRICS), measured())
    )
    return st.lists(samples, min_size=min_size, max_size=max_size).map(_as_readings)


def _as_readings(samples: Sequence[tuple[int, Mapping[Any, Measured]]]) -> list[Reading]:
    made, at = [], _START
    for number, (gap_s, values) in enumerate(samples):
        at += timedelta(seconds=gap_s)
        made.append(
            Reading(node_id="n1", measured_at=at, entry_id=number, received_at=at, values=values)
        )
    return made


def _spans() -> SearchStrategy[c.Span]:
    return st.one_of(
        st.builds(c.Span, seconds=st.sampled_from([60, 3600, 7200])),
        st.builds(c.Span, samples=st.integers(2, 5)),
    )


def _composed(
    inner: SearchStrategy[c.Term], conditions: SearchStrategy[c.Condition] | None
) -> SearchStrategy[c.Term]:
    shapes: list[SearchStrategy[c.Term]] = [
        st.builds(c.Arithmetic, st.sampled_from(["+", "-", "*", "/"]), inner, inner),
        st.builds(c.Negate, inner),
        st.builds(c.Function, st.just("abs"), st.tuples(inner)),
        st.builds(
            c.Function,
            st.sampled_from(["min", "max"]),
            st.lists(inner, min_size=2, max_size=3).map(tuple),
        ),
    ]
    if conditions is not None:
        shapes.append(st.builds(c.Choose, conditions, inner, inner))
    return st.one_of(shapes)


def _simple(numbers: SearchStrategy[c.Term]) -> SearchStrategy[c.Condition]:
    """Return a strategy for conditions that look at one sample, besides windows in terms."""
    ops = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    names = st.one_of(
        st.builds(c.Metric, st.sampled_from(METRICS)), st.builds(c.Config, st.just("low"))
    )
    qualities = st.lists(st.sampled_from(Quality), min_size=1, max_size=3, unique=True)
    return st.one_of(
        st.builds(c.Constant, st.booleans()),
        st.builds(c.Compare, numbers, ops, numbers),
        st.builds(c.Compare, st.builds(c.Metric, st.sampled_from(METRICS)), ops, numbers),
        st.builds(c.Between, numbers, numbers, numbers),
        st.builds(c.In, numbers, st.lists(_NUMBERS, min_size=1, max_size=3).map(tuple)),
        st.builds(c.Has, names),
        st.builds(c.QualityIn, st.sampled_from(METRICS), qualities.map(tuple)),
    )


def _in_time() -> SearchStrategy[c.Condition]:
    single = st.builds(
        c.Compare,
        st.builds(c.Metric, st.sampled_from(METRICS)),
        st.sampled_from(["<", ">=", "=="]),
        st.builds(c.Number, _NUMBERS),
    )
    counts = st.integers(1, 4).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))
    return st.one_of(
        st.builds(c.Changed, st.sampled_from(METRICS), _spans()),
        st.builds(c.SilentFor, st.sampled_from([60, 3600])),
        st.builds(c.SilentIntervals, st.integers(1, 5)),
        st.builds(lambda pair, part: c.AtLeast(pair[0], pair[1], part), counts, single),
    )


def _joined(inner: SearchStrategy[c.Condition]) -> SearchStrategy[c.Condition]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(c.Not, inner), st.builds(c.All, parts), st.builds(c.Any, parts))
