"""What a client may write in a query string, and what it is told when it errs."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidParameterError
from evara_core.query.ast import (
    ALWAYS,
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Contains,
    In,
    IsNull,
    Not,
    SortKey,
)
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import (
    EQUALITY,
    ORDERING,
    TEXT_SEARCH,
    CountMode,
    Field,
    FieldType,
    ListSpec,
    Operator,
)

NODES = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", type=FieldType.UUID, operators=EQUALITY, sortable=True),
        Field(
            name="label",
            operators=EQUALITY | TEXT_SEARCH | {Operator.IS_NULL},
            sortable=True,
            searchable=True,
        ),
        Field(name="location_name", searchable=True),
        Field(
            name="status",
            operators=frozenset({Operator.EQ, Operator.IN}),
            choices=("Online", "Offline", "Alert"),
            sortable=True,
        ),
        Field(name="category", operators=EQUALITY),
        Field(name="level", type=FieldType.NUMBER, operators=ORDERING),
        Field(name="alerts", type=FieldType.INTEGER, operators=EQUALITY | ORDERING, maximum=99),
        Field(name="live", type=FieldType.BOOLEAN, operators=EQUALITY),
        Field(name="created_at", type=FieldType.MOMENT, operators=ORDERING, sortable=True),
        Field(name="secret", selectable=False),
    ),
    default_sort=(SortKey("created_at", descending=True),),
    count_modes=(CountMode.NONE, CountMode.EXACT),
)


def parse(*params):
    return parse_list_query(NODES, params)


def refused(*params):
    with pytest.raises(InvalidParameterError) as caught:
        parse(*params)
    return caught.value


def test_asks_for_the_first_page_of_everything_when_nothing_is_said():
    query = parse()

    assert query.condition == ALWAYS
    assert query.sort == (SortKey("created_at", descending=True), SortKey("id", descending=True))
    assert query.fields == NODES.selectable
    assert (query.limit, query.cursor, query.page) == (20, None, None)


def test_reads_the_example_of_the_documentation():
    query = parse(
        ("status", "Online"),
        ("status", "Alert"),
        ("category", "OHT"),
        ("search", "Bakul"),
        ("sort", "-created_at,label"),
        ("fields", "id,label"),
        ("limit", "20"),
    )

    assert query.condition == AllOf(
        (
            AllOf(
                (
                    In("status", ("Online", "Alert")),
                    Compare("category", Comparison.EQ, "OHT"),
                )
            ),
            AnyOf((Contains("label", "Bakul"), Contains("location_name", "Bakul"))),
        )
    )
    assert query.sort == (
        SortKey("created_at", descending=True),
        SortKey("label"),
        SortKey("id"),
    )
    assert query.fields == ("id", "label")


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("category", "OHT", Compare("category", Comparison.EQ, "OHT")),
        ("category__ne", "OHT", Compare("category", Comparison.NE, "OHT")),
        ("category", "OHT,sump", In("category", ("OHT", "sump"))),
        ("category", '"a,b"', Compare("category", Comparison.EQ, "a,b")),
        ("category", '"say ""hi""",x', In("category", ('say "hi"', "x"))),
        ("category", "", Compare("category", Comparison.EQ, "")),
        ("category__in", "OHT", In("category", ("OHT",))),
        ("category__not_in", "OHT,sump", Not(In("category", ("OHT", "sump")))),
        ("label__is_null", "true", IsNull("label")),
        ("label__is_null", "false", Not(IsNull("label"))),
        ("label__contains", "50%", Contains("label", "50%")),
        ("level__lt", "-1.5e1", Compare("level", Comparison.LT, -15.0)),
        (
            "level__between",
            "1,2",
            AllOf(
                (Compare("level", Comparison.GTE, 1.0), Compare("level", Comparison.LTE, 2.0)),
            ),
        ),
        ("alerts__gte", "7", Compare("alerts", Comparison.GTE, 7)),
        ("live", "true", Compare("live", Comparison.EQ, True)),
        (
            "created_at__gt",
            "2026-01-01",
            Compare("created_at", Comparison.GT, datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        (
            "created_at__gt",
            "2026-01-01T05:30:00 05:30",  # an unescaped plus sign
            Compare("created_at", Comparison.GT, datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        (
            "id",
            "0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11",
            Compare("id", Comparison.EQ, UUID("0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11")),
        ),
    ],
)
def test_reads_a_filter(name, value, condition):
    assert parse((name, value)).where == condition


def test_types_its_values():
    assert type(parse(("alerts", "1")).where.value) is int
    assert type(parse(("live", "true")).where.value) is bool


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("colour", "red", "unknown parameter"),
        ("secret", "x", "unknown parameter"),
        ("location_name", "x", "unknown parameter"),
        ("__class__", "x", "unknown parameter"),
        ("label__", "x", "no such operator"),
        ("label__gt", "x", "no such operator"),
        ("label____class__", "x", "no such operator"),
        ("created_at", "2026-01-01", "needs an operator"),
        ("status", "online", "unknown value 'online'"),
        ("category", 'a"b', "a double quote is out of place at character 0"),
        ("label__is_null", "maybe", "not a truth value"),
        ("level__lt", "nan", "not a number"),
        ("level__lt", "inf", "not a number"),
        ("level__lt", "0x10", "not a number"),
        ("level__lt", "\u0661", "not a number"),
        ("level__lt", "1e999", "not between"),
        ("level__between", "1", "takes two values"),
        ("alerts", "1.0", "not a whole number"),
        ("alerts", "100", "not between"),
        ("alerts", "9" * 30, "not a whole number"),
        ("live", "yes", "not a truth value"),
        ("created_at__gt", "yesterday", "not a moment"),
        ("created_at__gt", "2026-01-01T00:00:00", "needs Z or an offset"),
        ("created_at__gt", "2026-02-30", "no such moment"),
        ("created_at__gt", "0001-01-01T00:00:00+14:00", "no such moment"),
        ("id", "x", "not a UUID"),
        ("id", "{0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11}", "not a UUID"),
        ("category", "a\x00b", "holds a NUL character"),
        ("category", "\ud800", "is not UTF-8"),
        ("category", "x" * 201, "longer than 200 characters"),
        ("label__contains", "x" * 201, "longer than 200 characters"),
        ("category", "x" * 5000, "longer than 4000 characters"),
        ("category", ",".join("ab" * 101), "more than 200 values"),
        ("search", "a b c d e f", "more than 5 words"),
        ("search", "a" * 201, "longer than 200 characters"),
        ("sort", "colour", "unknown name 'colour'"),
        ("sort", "secret", "unknown name 'secret'"),
        ("sort", "la-bel", "unknown name 'la-bel'"),
        ("sort", "label,-label", "label is there twice"),
        ("sort", "label,", "unknown name ''"),
        ("fields", "id,secret", "unknown name 'secret'"),
        ("fields", "", "unknown name ''"),
        ("include", "community", "unknown name 'community'"),
        ("count", "capped", "unknown value 'capped'"),
        ("limit", "0", "not a whole number of 1 or more"),
        ("limit", "-1", "not a whole number of 1 or more"),
        ("limit", "ten", "not a whole number of 1 or more"),
        ("limit", "²", "not a whole number of 1 or more"),
        ("limit", "9" * 5000, "longer than 4000 characters"),
        ("page", "0", "not a whole number of 1 or more"),
        ("page", "999999", "passes over more than 10000 rows"),
    ],
)
def test_refuses_and_names_the_parameter(name, value, problem):
    error = refused((name, value))

    assert error.parameter == name
    assert problem in error.problem


def test_says_what_is_allowed():
    assert refused(("sort", "colour")).allowed == ("id", "label", "status", "created_at")
    assert refused(("status", "?")).allowed == ("Online", "Offline", "Alert")
    assert "level__between" in refused(("colour", "red")).allowed
    assert refused(("label__gt", "x")).allowed == (
        "label",
        "label__contains",
        "label__in",
        "label__is_null",
        "label__ne",
        "label__not_in",
    )


def test_cuts_a_limit_that_is_too_large():
    assert parse(("limit", "5000")).limit == 100


def test_takes_single_parameters_once_only():
    assert refused(("limit", "1"), ("limit", "2")).problem == "given more than once"
    assert refused(("level__gt", "1"), ("level__gt", "2")).problem == "given more than once"


def test_does_not_mix_the_ways_of_paging():
    assert refused(("page", "2"), ("cursor", "x")).problem == "cannot be combined with cursor"


def test_an_empty_cursor_or_sort_means_none():
    query = parse(("cursor", ""), ("sort", ""))

    assert query.cursor is None
    assert query.sort == parse().sort


def test_refuses_too_many_parameters():
    assert "parameters" in refused(*[("category", str(n)) for n in range(101)]).problem


def test_counts_conditions_over_the_whole_request():
    spec = ListSpec(
        name="things",
        fields=(Field(name="id", type=FieldType.INTEGER, operators=EQUALITY | ORDERING),),
        max_conditions=1,
    )

    with pytest.raises(InvalidParameterError, match="more than 1 conditions"):
        parse_list_query(spec, [("id__gt", "1"), ("id__lt", "9")])


def test_a_scope_only_ever_narrows():
    mine, yours = Compare("id", Comparison.EQ, 1), Compare("id", Comparison.EQ, 2)

    assert parse().within(mine).condition == mine
    assert parse().within(mine).within(yours).condition == AllOf((mine, yours))


names = st.sampled_from(
    [*(field.name for field in NODES.fields), "sort", "limit", "fields", "search", "page", "x"]
)
suffixes = st.sampled_from(["", *(f"__{operator}" for operator in Operator)])
anything = st.lists(
    st.tuples(st.builds(str.__add__, names, suffixes) | st.text(), st.text()), max_size=5
)


@given(anything)
def test_any_input_is_read_or_refused_by_name(params):
    try:
        query = parse(*params)
    except InvalidParameterError as error:
        assert error.parameter in {name[:100] for name, _ in params}  # noqa: PT017 - one of two ways
    else:
        assert 1 <= query.limit <= NODES.max_limit
