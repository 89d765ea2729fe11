"""Conditions as text."""

from __future__ import annotations

import pytest

from evara_core.alerts.conditions import (
    All,
    Any,
    Arithmetic,
    Choose,
    Compare,
    Config,
    Metric,
    Not,
    Number,
    QualityIn,
    SilentFor,
    Span,
    Window,
    WindowFunction,
)
from evara_core.alerts.expression import expr, parse_term
from evara_core.alerts.rendering import render
from evara_core.errors import InvalidExpressionError
from evara_core.telemetry.models import Quality

A_LOW = Compare(Metric("a"), "<", Number(1.0))


def test_reads_the_example_of_the_documentation() -> None:
    tree = expr("level_percent < 20 && quality(level_percent) == 'good'")

    assert tree == All(
        (
            Compare(Metric("level_percent"), "<", Number(20.0)),
            QualityIn("level_percent", (Quality.GOOD,)),
        )
    )


def test_and_binds_tighter_than_or() -> None:
    tree = expr("a < 1 || a < 1 && a < 1")

    assert tree == Any((A_LOW, All((A_LOW, A_LOW))))


def test_brackets_are_kept_where_they_mean_something() -> None:
    tree = expr("(a < 1 && a < 1) && a < 1")

    assert tree == All((All((A_LOW, A_LOW)), A_LOW))
    assert expr(render(tree)) == tree


def test_arithmetic_goes_from_left_to_right() -> None:
    term = parse_term("a - 1 - 2 * 3")

    assert term == Arithmetic(
        "-",
        Arithmetic("-", Metric("a"), Number(1.0)),
        Arithmetic("*", Number(2.0), Number(3.0)),
    )


def test_chooses_between_numbers() -> None:
    assert parse_term("a < 1 ? config.b : 2") == Choose(A_LOW, Config("b"), Number(2.0))


def test_reads_durations_and_counts_of_samples() -> None:
    assert expr("silent_for('1h30m')") == SilentFor(5400)
    assert parse_term("min_over(a, 5)") == Window(WindowFunction.MIN, "a", Span(samples=5))
    assert parse_term("percentile_over(a, 95, '2d')") == Window(
        WindowFunction.PERCENTILE, "a", Span(seconds=172_800), 95.0
    )


def test_quality_that_is_not_a_word_is_the_opposite_of_one_that_is() -> None:
    assert expr("quality(a) != 'bad'") == Not(QualityIn("a", (Quality.BAD,)))


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "a number, a name or `(`"),
        ("a <", 3, "a number, a name or `(`"),
        ("a < b < c", 6, "an operator or the end"),
        ("level_percent", 0, "a condition, such as a comparison"),
        ("a < 1 && 2", 9, "a condition, such as a comparison"),
        ("a < 'x'", 4, "a number"),
        ("1 + (a < 2) > 3", 4, "a number"),
        ("quality(a) < 'good'", 11, "`==`, `!=` or `in`"),
        ("quality(a) == 'nice'", 14, "one of 'good', 'suspect', 'bad', 'missing'"),
        ("a < 1 ;", 6, "a number, a name or an operator"),
        ("a < 1 # b", 6, "a number, a name or an operator"),
        ("silent_for(3)", 11, "a duration, such as '10m' or '6h'"),
        ("silent_for('3 m')", 11, "a duration, such as '10m' or '6h'"),
        ("min(1) < 2", 5, "2 arguments or more"),
        ("abs(1, 2) < 3", 7, "`)`: that is too many arguments"),
        ("has(1)", 4, "a name"),
        ("min_over(a < 1, 5) < 2", 9, "the name of a metric"),
        ("min_over(a, 1.5) < 2", 12, "a whole number"),
        ("a in []", 6, "a number"),
        ("a in [1, b]", 9, "a number"),
        ("config < 1", 7, "`.`"),
        ("config.in < 1", 7, "a name"),
        ("(a < 1", 6, "`)`"),
        ("1e999 > a", 0, "a number that is not so large"),
    ],
)
def test_says_where_it_stopped_making_sense(text: str, position: int, expected: str) -> None:
    with pytest.raises(InvalidExpressionError) as caught:
        expr(text)

    assert (caught.value.position, caught.value.expected) == (position, expected)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "a.__class__ < 1",
        "9**9**9 > 1",
        "lambda: 1",
        "[x for x in a]",
        "a < 1; import os",
        "'a' * 999999999 == a",
        "exec('1')",
        "a < 1 if a else b",
    ],
)
def test_python_cannot_be_reached(text: str) -> None:
    with pytest.raises(InvalidExpressionError):
        expr(text)


@pytest.mark.parametrize(
    "text",
    [
        "a < " + "1" * 2_000,
        "(" * 40 + "a < 1" + ")" * 40,
        "!" * 40 + "(a < 1)",
        "-" * 1_000 + "1 < a",
        " + ".join(["1"] * 40) + " < a",
        " || ".join(["a < 1"] * 100),
        "min_over(a, '8d') < 1",
        "min_over(a, 1001) < 1",
        "min_over(a, 1) < 1",
        "silent_for('0s')",
        "silent_intervals(0)",
        "at_least(3, 2, a < 1)",
        "at_least(1, 2, changed(a))",
        "percentile_over(a, 101, 5) < 1",
        "a" * 65 + " < 1",
    ],
)
def test_limits_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidExpressionError):
        expr(text)


def test_a_long_text_is_cut_in_the_sentence() -> None:
    with pytest.raises(InvalidExpressionError) as caught:
        expr("a" * 5_000)

    assert len(str(caught.value)) < 300
