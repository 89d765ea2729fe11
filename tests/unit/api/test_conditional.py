"""Read only what changed; change only what was read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.conditional import (
    Verdict,
    cache_headers,
    check_if_match,
    etag_of,
    http_date,
    is_not_modified,
    judge,
    version_etag,
)
from evara_core.errors import (
    InvalidHeaderError,
    PreconditionFailedError,
    PreconditionRequiredError,
)

CHANGED_AT = datetime(2026, 11, 25, 10, 30, 0, 500_000, tzinfo=UTC)


def test_a_tag_is_quoted_and_of_exactly_these_bytes():
    assert etag_of(b"a").startswith('"')
    assert etag_of(b"a").endswith('"')
    assert etag_of(b"a") == etag_of(b"a")
    assert etag_of(b"a") != etag_of(b"b")


def test_a_record_is_tagged_by_what_tells_its_states_apart():
    assert version_etag("n1", 1) != version_etag("n1", 2)
    assert version_etag("n", "11") != version_etag("n1", "1")


@pytest.mark.parametrize(
    ("sent", "is_the_same"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"x", "a"', True),
        ('"x","a"', True),
        ("*", True),
        ('"b"', False),
        ('"b,"', False),
        ("a", False),
        ("", False),
        ('"a', False),
    ],
)
def test_reads_if_none_match(sent, is_the_same):
    assert is_not_modified({"if-none-match": sent}, etag='"a"') is is_the_same


def test_if_none_match_goes_before_if_modified_since():
    headers = {"if-none-match": '"b"', "if-modified-since": http_date(CHANGED_AT)}

    assert not is_not_modified(headers, etag='"a"', modified_at=CHANGED_AT)


@pytest.mark.parametrize(
    ("since", "is_the_same"),
    [
        (http_date(CHANGED_AT), True),
        (http_date(CHANGED_AT + timedelta(days=1)), True),
        (http_date(CHANGED_AT - timedelta(seconds=1)), False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_reads_if_modified_since(since, is_the_same):
    headers = {"if-modified-since": since}

    assert is_not_modified(headers, etag='"a"', modified_at=CHANGED_AT) is is_the_same
    assert not is_not_modified(headers, etag='"a"')


def test_a_change_names_the_state_it_changes():
    check_if_match('"a"', etag='"a"')
    check_if_match('"b", "a"', etag='"a"')
    check_if_match("*", etag='"a"')
    check_if_match(None, etag='"a"', is_required=False)


@pytest.mark.parametrize(
    ("sent", "etag"),
    [('"b"', '"a"'), ('W/"a"', '"a"'), ('W/"a"', 'W/"a"'), ("*", None), ('"a"', None)],
)
def test_a_change_of_another_state_is_refused(sent, etag):
    with pytest.raises(PreconditionFailedError):
        check_if_match(sent, etag=etag)


def test_a_change_of_an_unnamed_state_is_refused():
    with pytest.raises(PreconditionRequiredError):
        check_if_match(None, etag='"a"')


@pytest.mark.parametrize("sent", ["a", "", '"a', '"a" "b"', '"\n"'])
def test_a_precondition_that_does_not_parse_never_holds(sent):
    with pytest.raises(InvalidHeaderError):
        check_if_match(sent, etag='"a"')


@given(st.text())
def test_any_header_is_read(text):
    is_not_modified({"if-none-match": text}, etag='"a"')
    is_not_modified({"if-modified-since": text}, etag='"a"', modified_at=CHANGED_AT)


def test_what_needs_a_token_is_private():
    assert cache_headers(etag='"a"', modified_at=CHANGED_AT) == {
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
        "ETag": '"a"',
        "Last-Modified": "Wed, 25 Nov 2026 10:30:00 GMT",
    }
    assert cache_headers(is_private=False) == {"Cache-Control": "public, no-cache"}


def test_dates_are_in_gmt():
    kolkata = timezone(timedelta(hours=5, minutes=30))

    assert http_date(datetime(2026, 1, 1, 5, 30, tzinfo=kolkata)) == "Thu, 01 Jan 2026 00:00:00 GMT"


NOON = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
BEFORE, AFTER = "Thu, 01 Jan 2026 11:59:59 GMT", "Thu, 01 Jan 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("method", "headers", "verdict"),
    [
        ("GET", {}, Verdict.GO_ON),
        ("GET", {"if-none-match": 'W/"a"'}, Verdict.NOT_MODIFIED),
        ("GET", {"if-none-match": '"b"'}, Verdict.GO_ON),
        ("GET", {"if-none-match": "garbage"}, Verdict.GO_ON),
        ("GET", {"if-modified-since": AFTER}, Verdict.NOT_MODIFIED),
        ("GET", {"if-modified-since": BEFORE}, Verdict.GO_ON),
        ("GET", {"if-none-match": '"b"', "if-modified-since": AFTER}, Verdict.GO_ON),
        ("GET", {"if-match": '"b"', "if-none-match": '"a"'}, Verdict.FAILED),
        ("GET", {"if-unmodified-since": BEFORE}, Verdict.FAILED),
        ("PUT", {"if-none-match": '"a"'}, Verdict.FAILED),
        ("PUT", {"if-none-match": "*"}, Verdict.FAILED),
        ("PUT", {"if-modified-since": AFTER}, Verdict.GO_ON),
        ("PUT", {"if-unmodified-since": BEFORE}, Verdict.FAILED),
        ("PUT", {"if-unmodified-since": AFTER}, Verdict.GO_ON),
        ("PUT", {"if-unmodified-since": "yesterday"}, Verdict.GO_ON),
        ("PUT", {"if-match": '"x,y", "a"'}, Verdict.GO_ON),
        ("PUT", {"if-match": "*"}, Verdict.GO_ON),
        ("PUT", {"if-match": 'W/"a"'}, Verdict.FAILED),
        ("PUT", {"if-match": "a"}, Verdict.FAILED),
        ("PUT", {"if-match": '"a"', "if-unmodified-since": BEFORE}, Verdict.GO_ON),
    ],
)
def test_conditions_are_judged_in_the_order_of_the_standard(
    method: str, headers: dict[str, str], verdict: Verdict
) -> None:
    assert judge(method, headers, etag='"a"', modified_at=NOON) is verdict


def test_a_weak_tag_matches_no_write_not_even_itself() -> None:
    assert judge("PUT", {"if-match": 'W/"a"'}, etag='W/"a"') is Verdict.FAILED
    assert judge("PUT", {"if-match": "*"}, etag='W/"a"') is Verdict.GO_ON


def test_where_there_is_nothing_only_a_creation_goes_on() -> None:
    assert judge("PUT", {"if-match": "*"}, etag=None) is Verdict.FAILED
    assert judge("PUT", {"if-none-match": "*"}, etag=None) is Verdict.GO_ON
