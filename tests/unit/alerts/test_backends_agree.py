"""One condition, compiled three ways: every back end gives the same answer to every sample."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evara_core.alerts import closures, generated
from evara_core.alerts.conditions import Compare, Condition, Metric, Number, metrics_of, walk
from evara_core.alerts.expression import expr
from evara_core.alerts.history import History, needs_of
from evara_core.alerts.masks import Columns, columns_of, compute_masks
from evara_core.alerts.moments import to_us
from evara_core.alerts.rendering import render
from evara_core.alerts.sample import Sample
from evara_core.alerts.soundness import problem_of
from evara_core.telemetry.models import Measured, Reading
from evara_core.testing.conditions import METRICS, conditions, configs, readings


def samples_of(condition: Condition, taken: list[Reading], config: dict) -> list[Sample]:
    """Return one sample for each reading, each with the history up to it."""
    made = []
    for count in range(1, len(taken) + 1):
        history = History(needs_of([condition]))
        for reading in taken[:count]:
            history.append(to_us(reading.measured_at), reading.values)
        newest = taken[count - 1]
        made.append(
            Sample(
                newest.values,
                config=config,
                history=history,
                at_us=to_us(newest.measured_at),
                silent_s=0.0,
            )
        )
    return made


def by_masks(condition: Condition, taken: list[Reading], config: dict) -> list[bool | None]:
    columns = columns_of(taken, METRICS, config=config)
    true, false = compute_masks(condition, columns)
    assert not (true & false).any()
    return [True if t else False if f else None for t, f in zip(true, false, strict=True)]


@settings(max_examples=400, deadline=None)
@given(conditions(), readings(), configs())
@example(expr("min(level, flow) < 1"), [], {})
def test_all_back_ends_agree_on_every_sample(condition, taken, config) -> None:
    assume(problem_of(condition) is None)
    samples = samples_of(condition, taken, config)

    closed = [closures.compile_condition(condition)(sample) for sample in samples]

    assert [generated.compile_condition(condition)(sample) for sample in samples] == closed
    assert by_masks(condition, taken, config) == closed


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(conditions(), st.booleans()), min_size=1, max_size=5),
    readings(max_size=4),
    configs(),
)
def test_a_fused_screen_lets_through_what_its_conditions_do(several, taken, config) -> None:
    assume(all(problem_of(condition) is None for condition, _ in several))
    history = History(needs_of([condition for condition, _ in several]))
    for reading in taken:
        history.append(to_us(reading.measured_at), reading.values)
    newest = taken[-1]
    at_us = to_us(newest.measured_at)
    sample = Sample(newest.values, config=config, history=history, at_us=at_us, silent_s=0.0)

    answers = [closures.compile_condition(condition)(sample) for condition, _ in several]
    wanted = sum(
        1 << number
        for number, (answer, (_, flag)) in enumerate(zip(answers, several, strict=True))
        if answer or (flag and answer is None)
    )

    for backend in (closures, generated):
        assert backend.compile_screen(several)(newest.values, config, sample) == wanted


@settings(max_examples=300, deadline=None)
@given(conditions(), st.one_of(st.none(), st.floats(0, 10_000)))
def test_back_ends_agree_on_silence(condition, silent_s) -> None:
    assume(problem_of(condition) is None)
    sample = Sample({}, history=History(needs_of([condition])), silent_s=silent_s)

    assert generated.compile_condition(condition)(sample) == closures.compile_condition(condition)(
        sample
    )


@settings(max_examples=400, deadline=None)
@given(conditions())
def test_text_and_tree_are_the_same(condition) -> None:
    assume(problem_of(condition) is None)

    text = render(condition)

    assume(len(text) <= 2_000)
    assert expr(text) == condition


def test_a_missing_side_does_not_matter_when_the_other_decides() -> None:
    both, either = expr("a < 1 && b < 1"), expr("a < 1 || b < 1")
    missing_true = Sample({"b": Measured(0.0)})
    missing_false = Sample({"b": Measured(5.0)})

    for backend in (closures, generated):
        assert backend.compile_condition(both)(missing_true) is None
        assert backend.compile_condition(both)(missing_false) is False
        assert backend.compile_condition(either)(missing_true) is True
        assert backend.compile_condition(either)(missing_false) is None


def test_masks_take_columns_alone() -> None:
    level = np.array([10.0, math.nan, 30.0])
    condition = Compare(Metric("level"), "<", Number(20.0))

    true, false = compute_masks(condition, Columns(rows=3, values={"level": level}))

    assert true.tolist() == [True, False, False]
    assert false.tolist() == [False, False, True]


def test_generated_code_holds_nothing_that_anybody_wrote() -> None:
    source = generated.source_of(expr("level < 20 && quality(level) == 'good'"))

    assert "import" not in source
    assert "'level'" in source


def test_a_tree_names_its_metrics() -> None:
    tree = expr("a < 1 && quality(b) == 'good' && mean_over(c, 5) > rate_per_h(d) && changed(e)")

    assert metrics_of(walk(tree)) == ("a", "b", "c", "d", "e")
