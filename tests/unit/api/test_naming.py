"""camelCase outside, and the way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.details import error_details
from evara_core.api.envelope import (
    ErrorDetail,
    PaginationMeta,
    ResponseMeta,
    error_bytes,
    success_bytes,
)
from evara_core.api.naming import (
    Naming,
    camel_error,
    camel_keys,
    camel_schema,
    check_names,
    snake_keys,
    snake_parameters,
    to_camel,
    to_snake,
)
from evara_core.errors import (
    ConfigurationError,
    InvalidBodyError,
    InvalidParameterError,
    NotFoundError,
)

words = st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True)
names = st.lists(words, min_size=1, max_size=4).map("_".join)


@given(names)
def test_every_name_finds_back(name):
    assert to_snake(to_camel(name)) == name


@pytest.mark.parametrize(
    ("snake", "camel"),
    [
        ("created_at", "createdAt"),
        ("label", "label"),
        ("static_level_m", "staticLevelM"),
        ("Bakul OHT", "Bakul OHT"),
        ("_private", "_private"),
    ],
)
def test_rewrites_names_only(snake, camel):
    assert to_camel(snake) == camel


def test_a_name_that_does_not_find_back_is_refused_at_start():
    check_names(["created_at", "label", "field_1"])
    with pytest.raises(ConfigurationError, match="fieldA"):
        check_names(["fieldA"])


@given(
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(names, inner)
    )
)
def test_bodies_find_back(value):
    assert snake_keys(camel_keys(value)) == value


def test_keys_that_are_data_stay():
    value = {"last_seen_at": 1, "values": {"level_percent": {"raw_value": 1}}}
    camel = {"lastSeenAt": 1, "values": {"level_percent": {"raw_value": 1}}}

    assert camel_keys(value, keep={"values"}) == camel
    assert snake_keys(camel, keep={"values"}) == value


def test_a_member_under_two_names_is_refused():
    with pytest.raises(InvalidBodyError, match="two names"):
        snake_keys({"created_at": 1, "createdAt": 2})


def test_parameters_are_renamed_wherever_a_name_stands():
    assert snake_parameters(
        [
            ("createdAt__gte", "2026"),
            ("label__isNull", "true"),
            ("locationName", "inCamel"),
            ("sort", "-createdAt,label"),
            ("fields", "id,createdAt"),
            ("include", "nodeOwner.homeTown"),
            ("where", 'any(locationName=xY,all(createdAt__notIn=(aB,cD),label="aB=(cD"))'),
        ]
    ) == [
        ("created_at__gte", "2026"),
        ("label__is_null", "true"),
        ("location_name", "inCamel"),
        ("sort", "-created_at,label"),
        ("fields", "id,created_at"),
        ("include", "node_owner.home_town"),
        ("where", 'any(location_name=xY,all(created_at__not_in=(aB,cD),label="aB=(cD"))'),
    ]


def test_errors_speak_the_clients_language():
    def told(error):
        (detail,) = error_details(camel_error(error))
        return detail.field, detail.allowed, detail.pointer

    assert told(InvalidParameterError("sort", "unknown name 'x'", ("created_at",))) == (
        "sort",
        ("createdAt",),
        None,
    )
    assert told(InvalidParameterError("node_kind", "unknown value 'x'", ("deep_well",))) == (
        "nodeKind",
        ("deep_well",),
        None,
    )
    assert told(InvalidBodyError("/items/3/created_at", "is missing")) == (
        "createdAt",
        None,
        "/items/3/createdAt",
    )
    missing = NotFoundError("node")
    assert camel_error(missing) is missing


def test_the_envelope_follows():
    meta = ResponseMeta(
        request_id="r1",
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        pagination=PaginationMeta(limit=2, next_cursor="n"),
    )
    data = [{"created_at": 1, "values": {"level_cm": 2}}]

    found = json.loads(success_bytes(data, meta, naming=Naming.CAMEL, keep={"values"}))
    failed = json.loads(
        error_bytes([ErrorDetail(code="X", message="x")], meta, naming=Naming.CAMEL)
    )

    assert found["data"] == [{"createdAt": 1, "values": {"level_cm": 2}}]
    assert found["meta"]["pagination"] == {"limit": 2, "nextCursor": "n", "prevCursor": None}
    assert failed["meta"]["requestId"] == "r1"


def test_the_schema_follows():
    schema = {
        "properties": {"created_at": {"type": "string"}, "in_it": {"properties": {"a_b": {}}}},
        "required": ["created_at"],
    }

    assert camel_schema({"components": [schema]}) == {
        "components": [
            {
                "properties": {
                    "createdAt": {"type": "string"},
                    "inIt": {"properties": {"aB": {}}},
                },
                "required": ["createdAt"],
            }
        ]
    }
