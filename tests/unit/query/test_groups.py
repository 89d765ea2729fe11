"""Conditions in groups, within limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidParameterError
from evara_core.query.ast import AllOf, AnyOf, Compare, Comparison, In, IsNull, Not
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec, Operator

SPEC = ListSpec(
    name="nodes",
    fields=(
        Field(name="id"),
        Field(name="label", operators=EQUALITY | {Operator.IS_NULL}),
        Field(name="status", operators=EQUALITY, choices=("Online", "Alert")),
        Field(name="level", type=FieldType.NUMBER, operators=ORDERING),
    ),
    max_conditions=4,
    max_depth=3,
)
ONLINE = Compare("status", Comparison.EQ, "Online")
LOW = Compare("level", Comparison.LT, 20.0)


def parse(text, *more):
    return parse_list_query(SPEC, [*more, ("where", text)]).where


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("status=Online", ONLINE),
        ("any(status=Online,level__lt=20)", AnyOf((ONLINE, LOW))),
        ("all(status=Online,not(level__lt=20))", AllOf((ONLINE, Not(LOW)))),
        (
            "any(all(status=Online,level__lt=20),label__is_null=true)",
            AnyOf((AllOf((ONLINE, LOW)), IsNull("label"))),
        ),
        ("status__in=(Online,Alert)", In("status", ("Online", "Alert"))),
        ("status=(Online,Alert)", In("status", ("Online", "Alert"))),
        ("not(status__in=Online)", Not(In("status", ("Online",)))),
        ('label="a,(b) ""c"""', Compare("label", Comparison.EQ, 'a,(b) "c"')),
        ("label=", Compare("label", Comparison.EQ, "")),
        ("label=a b=c", Compare("label", Comparison.EQ, "a b=c")),
    ],
)
def test_reads_groups(text, condition):
    assert parse(text) == condition


def test_joins_the_other_filters():
    assert parse("level__lt=20", ("status", "Online")) == AllOf((ONLINE, LOW))


def test_an_empty_one_says_nothing():
    assert parse("") == AllOf(())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(", "expected all(, any(, not( or a field at character 0"),
        ("some(status=Online)", "expected all(, any( or not( at character 0"),
        ("all()", "expected all(, any(, not( or a field at character 4"),
        ("all(status=Online", "expected ) at character 17"),
        ("all(status=Online))", "expected the end at character 18"),
        ("status", "expected = at character 6"),
        ("not(status=Online,level__lt=1)", "not( takes one condition at character 4"),
        ('label="a', "expected a closing double quote at character 6"),
        ("level__lt=(1,2)", "takes one value"),
        ("all(any(not(not(status=Online))))", "groups are nested more than 3 deep at character 16"),
        ("any(" + ",".join(["status=Online"] * 5) + ")", "more than 4 conditions"),
        ("colour=red", "unknown parameter"),
        ("id=1", "unknown parameter"),
        ("level=1", "needs an operator"),
        ("status=online", "unknown value 'online'"),
    ],
)
def test_says_where_and_what(text, problem):
    with pytest.raises(InvalidParameterError) as caught:
        parse(text)

    assert caught.value.parameter.startswith("where")
    assert problem in caught.value.problem


@given(st.text('alnyot(),="_ sbe1', max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        parse(text)
    except InvalidParameterError as error:
        assert error.parameter.startswith("where")  # noqa: PT017 - one of two ways
