"""Conditions over records, with the three values of SQL."""

from __future__ import annotations

import math

import pytest

from evara_core.query.ast import (
    ALWAYS,
    NEVER,
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Contains,
    In,
    IsNull,
    Not,
)
from evara_core.query.predicate import compile_predicate

UNKNOWN = Compare("missing", Comparison.EQ, 1)
RECORD = {"level": 5, "missing": None, "label": "Bakul OHT", "odd": math.nan}


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        (ALWAYS, True),
        (NEVER, False),
        (Compare("level", Comparison.EQ, 5), True),
        (Compare("level", Comparison.NE, 5), False),
        (Compare("level", Comparison.LT, 6), True),
        (Compare("level", Comparison.LTE, 5), True),
        (Compare("level", Comparison.GT, 5), False),
        (Compare("level", Comparison.GTE, 5), True),
        (UNKNOWN, None),
        (Compare("missing", Comparison.NE, 1), None),
        (Compare("odd", Comparison.NE, 1), None),
        (Not(UNKNOWN), None),
        (AllOf((ALWAYS, UNKNOWN)), None),
        (AllOf((UNKNOWN, NEVER)), False),
        (AnyOf((NEVER, UNKNOWN)), None),
        (AnyOf((UNKNOWN, ALWAYS)), True),
        (In("level", (4, 5)), True),
        (In("missing", (4, 5)), None),
        (In("missing", ()), False),
        (Not(In("missing", ())), True),
        (IsNull("missing"), True),
        (IsNull("odd"), True),
        (IsNull("level"), False),
        (Contains("label", "bAKUL"), True),
        (Contains("label", "%"), False),
        (Contains("missing", ""), None),
    ],
)
def test_judges_a_record(condition, verdict):
    assert compile_predicate(condition)(RECORD) is verdict


def test_folds_the_letters_a_to_z_only():
    assert compile_predicate(Contains("label", "É"))({"label": "é"}) is False


@pytest.mark.parametrize("condition", [IsNull("lavel"), Not(IsNull("lavel")), In("lavel", ())])
def test_a_misspelt_field_is_no_missing_value(condition):
    with pytest.raises(KeyError):
        compile_predicate(condition)(RECORD)
