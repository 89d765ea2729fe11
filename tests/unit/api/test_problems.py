"""Errors for clients that ask for problem details."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.accept import accepted_quality
from evara_core.api.catalogue import entry_for
from evara_core.api.details import error_details
from evara_core.api.problems import problem_bytes, wants_problem
from evara_core.errors import (
    InvalidBodyError,
    InvalidItemsError,
    InvalidParameterError,
    NotFoundError,
)


def problem(error, **more):
    return json.loads(
        problem_bytes(entry_for(error), error_details(error), request_id="r1", **more)
    )


def test_says_what_the_envelope_says():
    assert problem(InvalidParameterError("sort", "unknown name 'x'", ("label",))) == {
        "type": "about:blank",
        "title": "A query parameter cannot be used",
        "status": 400,
        "detail": "sort: unknown name 'x' (allowed: label)",
        "instance": "#r1",
        "code": "INVALID_PARAMETER",
        "request_id": "r1",
        "errors": [
            {
                "detail": "sort: unknown name 'x' (allowed: label)",
                "code": "INVALID_PARAMETER",
                "field": "sort",
                "where": "query",
                "allowed": ["label"],
            }
        ],
    }


def test_a_type_is_an_anchor_in_the_catalogue():
    assert problem(NotFoundError("node"), types="https://d/errors")["type"] == (
        "https://d/errors#not-found"
    )


def test_a_request_id_that_is_a_uuid_becomes_a_urn():
    entry = entry_for(NotFoundError("node"))
    request_id = "0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11"

    found = json.loads(problem_bytes(entry, [], request_id=request_id))

    assert found["instance"] == f"urn:uuid:{request_id}"
    assert found["detail"] == entry.title
    assert "errors" not in found


def test_a_refused_batch_points_to_its_items():
    error = InvalidItemsError(
        ((3, InvalidBodyError("/label", "is missing")), (7, NotFoundError("node")))
    )

    found = problem(error)

    assert found["status"] == 400
    assert [each["pointer"] for each in found["errors"]] == ["/items/3/label", "/items/7"]


def test_a_batch_fails_as_its_first_bad_item_would():
    assert problem(InvalidItemsError(((7, NotFoundError("node")),)))["status"] == 404


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/problem+json", True),
        ("application/json, application/problem+json", True),
        ("application/json;q=0.5, APPLICATION/PROBLEM+JSON", True),
        ("application/problem+json;q=0.5, application/json", False),
        ("application/problem+json;q=0", False),
        ("*/*", False),
        ("application/*", False),
        ("", False),
        (None, False),
    ],
)
def test_is_negotiated(accept, wanted):
    assert wants_problem(accept) is wanted


@pytest.mark.parametrize(
    ("accept", "quality"),
    [
        ("*/*;q=0.1", 0.1),
        ("application/*;q=0.2, */*", 0.2),
        ("application/json;q=0.3, application/*, */*", 0.3),
        ("application/json; charset=utf-8; q=0.4", 0.4),
        ("application/json;q=x", 1.0),
        ("text/html", 0.0),
    ],
)
def test_the_most_specific_range_decides(accept, quality):
    assert accepted_quality(accept, "application/json") == quality


@given(st.text())
def test_any_accept_header_is_read(accept):
    wants_problem(accept)
