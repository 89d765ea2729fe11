"""Every error of the library has its place in the catalogue."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from evara_core import errors
from evara_core.api.catalogue import CATALOGUE, catalogue_json, entry_for, framework_entry
from evara_core.api.details import error_details
from evara_core.errors import (
    ConfigurationError,
    CursorMismatchError,
    EvaraError,
    InvalidExpressionError,
    InvalidParameterError,
    NotFoundError,
    StorageUnavailableError,
    UnauthenticatedError,
    UpstreamRefusedError,
)

CODES = {
    each.code
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, EvaraError)
}


def test_every_code_has_an_entry_and_every_entry_a_code():
    assert set(CATALOGUE) == CODES


def test_statuses_are_those_of_the_contract():
    assert {entry.status for entry in CATALOGUE.values()} <= {
        *(400, 401, 403, 404, 409, 412, 422, 428, 429),
        *(500, 502, 503),
    }


def test_a_fault_of_ours_shows_no_detail():
    assert not [entry for entry in CATALOGUE.values() if entry.status >= 500 and entry.is_detailed]


def test_an_error_of_an_application_is_shown_as_what_it_descends_from():
    class PumpNotFoundError(NotFoundError):
        code = "PUMP_NOT_FOUND"

    assert entry_for(PumpNotFoundError("pump")) == CATALOGUE["NOT_FOUND"]


@pytest.mark.parametrize(
    ("status", "code", "title"),
    [
        (404, "HTTP_404", "Not Found"),
        (405, "HTTP_405", "Method Not Allowed"),
        (777, "INTERNAL_ERROR", "Something went wrong"),
    ],
)
def test_an_error_of_a_framework_is_named_after_its_status(status, code, title):
    entry = framework_entry(status)

    assert (entry.code, entry.title) == (code, title)


def test_a_parameter_is_blamed_by_name():
    error = InvalidParameterError("sort", "unknown name 'colour'", ("label", "status"))

    (detail,) = error_details(error)

    assert detail.message == "sort: unknown name 'colour' (allowed: label, status)"
    assert (detail.code, detail.field, detail.where) == ("INVALID_PARAMETER", "sort", "query")
    assert detail.allowed == ("label", "status")


def test_a_cursor_is_blamed_on_its_parameter():
    (detail,) = error_details(CursorMismatchError("another query"))

    assert (detail.code, detail.field, detail.where) == ("CURSOR_MISMATCH", "cursor", "query")


def test_an_expression_is_blamed_at_its_position():
    (detail,) = error_details(InvalidExpressionError("level <", 7, "a number"))

    assert detail.position == 7


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("the secret is hunter2"),
        StorageUnavailableError("cannot reach postgres://app:hunter2@db"),
        UnauthenticatedError("hunter2"),
        UpstreamRefusedError("key hunter2"),
    ],
)
def test_what_may_hold_secrets_is_not_shown(error):
    (detail,) = error_details(error)

    assert "hunter2" not in detail.message
    assert detail.message == CATALOGUE[error.code].title


def test_an_error_without_a_sentence_is_shown_by_its_title():
    (detail,) = error_details(errors.ConflictError())

    assert detail.message == CATALOGUE["CONFLICT"].title


def test_is_published_as_json():
    found = json.loads(catalogue_json(documentation="https://d/errors"))

    assert [entry["code"] for entry in found] == [
        entry.code
        for entry in sorted(CATALOGUE.values(), key=lambda each: (each.status, each.code))
    ]
    assert found[0]["documentation"] == "https://d/errors#cursor-mismatch"


def test_is_published_as_a_page():
    page = (Path(__file__).parents[3] / "docs/reference/errors.md").read_text()

    for entry in CATALOGUE.values():
        assert f"### {entry.code.lower().replace('_', '-')}" in page
        assert f"| {entry.status} | `{entry.code}` | {entry.title} |" in page
