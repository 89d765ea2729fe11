"""Rules as documents, trees as JSON: there and back, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import assume, given, settings

from evara_core.alerts.defaults import default_rules
from evara_core.alerts.expression import expr
from evara_core.alerts.plain import condition_from_plain, to_plain
from evara_core.alerts.rule_documents import load_rules, rule_from_document, rule_to_document
from evara_core.alerts.rules import AlertRule, Flap, Level, Step
from evara_core.alerts.schedule import DayWindow, Schedule
from evara_core.alerts.soundness import problem_of
from evara_core.errors import InvalidInputError, InvalidRuleError
from evara_core.serialization import dump_json, load_json
from evara_core.testing.conditions import conditions

FULL = AlertRule(
    id="full",
    kind="tank",
    label="Full",
    message="{level:1}",
    severity="info",
    when=expr("level < 20"),
    clear_when=expr("level > 25"),
    hold=timedelta(minutes=90),
    keep=timedelta(minutes=5),
    on_unknown="alert",
    unknown_limit=timedelta(hours=2),
    fresh_for=timedelta(minutes=3),
    levels=[Level(severity="critical", when=expr("level < 5"))],
    severity_falls=False,
    escalate=[Step(after=timedelta(hours=1), severity="warning")],
    latching=True,
    auto_clear=timedelta(days=1),
    flap=Flap(window=timedelta(minutes=30), high=3, low=0),
    active=Schedule(zone="Asia/Kolkata", windows=[DayWindow(days=["mon"], start="22:00")]),
    max_open=7,
    enabled=False,
)


@pytest.mark.parametrize("rule", [FULL, *default_rules()], ids=lambda rule: rule.id)
def test_a_rule_comes_back_from_its_document(rule) -> None:
    document = load_json(dump_json(rule_to_document(rule)))

    assert rule_from_document(document) == rule
    assert rule_from_document(document).hash == rule.hash


@settings(max_examples=300, deadline=None)
@given(conditions())
def test_a_tree_comes_back_from_json(condition) -> None:
    assume(problem_of(condition) is None)

    assert condition_from_plain(load_json(dump_json(to_plain(condition)))) == condition


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (7, "mapping"),
        ({"id": "a"}, "kind"),
        ({"id": "a", "kind": "t", "when": "x <"}, "character 3"),
        ({"id": "a", "kind": "t", "when": "true", "hold": 5}, "span of time"),
        ({"id": "a", "kind": "t", "when": "true", "holdd": "5m"}, "holdd"),
        ({"id": "a", "kind": "t", "when": "true", "severity": "awful"}, "awful"),
        ({"id": "a", "kind": "t", "when": {"type": "number", "value": 1}}, "cannot stand"),
        ({"id": "a b", "kind": "t", "when": "true"}, "an id is"),
        ({"id": "a", "kind": "t", "when": "true", "flap": {"high": 1, "low": 1}}, "flap"),
        (
            {"id": "a", "kind": "t", "when": "true", "active": {"zone": "Mars", "windows": [{}]}},
            "zone",
        ),
        ({"id": "a", "kind": "t", "when": "true", "max_open": 0}, "max_open"),
        ({"id": "a", "kind": "t", "when": "true", "hold": "40d"}, "hold is between"),
    ],
)
def test_a_bad_document_is_refused_with_the_reason(document, problem) -> None:
    with pytest.raises(InvalidRuleError) as caught:
        rule_from_document(document)

    assert problem in str(caught.value)


def test_a_bad_rule_does_not_disturb_the_others() -> None:
    good = {"id": "a", "kind": "t", "when": "true"}

    loaded = load_rules([good, {"id": "b"}, good, {"id": "c", "kind": "t", "when": "false"}])

    assert [rule.id for rule in loaded.rules] == ["a", "c"]
    assert [error.rule_id for error in loaded.refused] == ["b", "a"]


def test_a_deep_tree_is_refused_before_it_is_built() -> None:
    tree: dict = {"type": "constant", "value": True}
    for _ in range(5_000):
        tree = {"type": "not", "condition": tree}

    with pytest.raises(InvalidInputError, match="levels"):
        condition_from_plain(tree)


def test_wording_is_not_meaning() -> None:
    one = AlertRule(id="a", kind="t", when=expr("x < 1"))
    same = AlertRule(id="a", kind="t", when=expr("x<1"), label="L", severity="critical")
    other = AlertRule(id="a", kind="t", when=expr("x < 2"))

    assert one.hash == same.hash != other.hash
