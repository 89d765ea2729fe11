"""The fast path writes what the models write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evara_core.api.envelope import (
    ErrorDetail,
    ErrorResponse,
    PaginationMeta,
    ResponseMeta,
    StandardResponse,
    error_bytes,
    pagination_of,
    success_bytes,
)
from evara_core.query.paging import Page, Total
from evara_core.query.spec import CountMode

NOW = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
META = ResponseMeta(request_id="r1", timestamp=NOW)

names = st.text(min_size=1, max_size=10)
maybe_names = st.none() | names
moments = st.datetimes(timezones=st.just(UTC))
paginations = st.builds(
    PaginationMeta,
    page=st.none() | st.integers(1),
    limit=st.integers(1),
    total=st.none() | st.integers(0),
    total_kind=st.none() | st.sampled_from(["exact", "capped", "estimated"]),
    total_pages=st.none() | st.integers(0),
    next_cursor=maybe_names,
    prev_cursor=maybe_names,
)
metas = st.builds(
    ResponseMeta,
    request_id=names,
    timestamp=moments,
    version=maybe_names,
    cached=st.booleans(),
    pagination=st.none() | paginations,
)
details = st.builds(
    ErrorDetail,
    code=names,
    message=names,
    field=maybe_names,
    where=st.none() | st.sampled_from(["query", "path", "header", "cookie", "body"]),
    pointer=maybe_names,
    position=st.none() | st.integers(0),
    allowed=st.none() | st.lists(names, max_size=3).map(tuple),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(),
    st.text(),
    moments,
    st.uuids(),
)
rows = st.lists(st.dictionaries(names, scalars, max_size=5), max_size=5)


@given(rows, metas)
def test_rows_give_the_same_bytes(data, meta):
    model = StandardResponse[list[dict[str, Any]]](data=data, meta=meta)

    assert success_bytes(data, meta) == model.model_dump_json().encode()


@given(st.lists(details, min_size=1, max_size=3), metas)
def test_errors_give_the_same_bytes(errors, meta):
    model = ErrorResponse(errors=tuple(errors), meta=meta)

    assert error_bytes(errors, meta) == model.model_dump_json().encode()


def test_json_that_is_ready_is_copied():
    assert success_bytes(b'[{"id":1}]', META) == success_bytes([{"id": 1}], META)


def test_looks_as_documented():
    pagination = PaginationMeta(limit=20, next_cursor="AbC")
    meta = ResponseMeta(request_id="r1", timestamp=NOW, version="1", pagination=pagination)

    assert json.loads(success_bytes([{"id": 1, "label": None}], meta)) == {
        "status": "success",
        "data": [{"id": 1, "label": None}],
        "meta": {
            "request_id": "r1",
            "timestamp": "2026-11-25T10:30:00Z",
            "version": "1",
            "cached": False,
            "pagination": {"limit": 20, "next_cursor": "AbC", "prev_cursor": None},
        },
        "errors": None,
    }


def test_an_error_names_what_is_wrong_and_nothing_else():
    detail = ErrorDetail(code="INVALID_PARAMETER", message="sort: no", field="sort")

    assert json.loads(error_bytes([detail], META)) == {
        "status": "error",
        "data": None,
        "meta": {"request_id": "r1", "timestamp": "2026-11-25T10:30:00Z", "cached": False},
        "errors": [{"code": "INVALID_PARAMETER", "message": "sort: no", "field": "sort"}],
    }


def test_what_was_not_counted_is_absent():
    page = Page(rows=(1,), limit=20, next="n")

    assert json.loads(pagination_of(page).model_dump_json()) == {
        "limit": 20,
        "next_cursor": "n",
        "prev_cursor": None,
    }


@pytest.mark.parametrize(
    ("total", "pages"),
    [
        (Total(count=41, kind=CountMode.EXACT), 3),
        (Total(count=40, kind=CountMode.EXACT), 2),
        (Total(count=0, kind=CountMode.EXACT), 0),
        (Total(count=1000, kind=CountMode.CAPPED), None),
    ],
)
def test_tells_how_it_counted(total, pages):
    found = pagination_of(Page(rows=(), limit=20, number=2, total=total))

    assert (found.page, found.total, found.total_kind) == (2, total.count, total.kind)
    assert found.total_pages == pages


def test_a_misspelt_member_is_refused():
    with pytest.raises(ValidationError):
        ResponseMeta(request_id="r1", timestamp=NOW, cashed=True)
