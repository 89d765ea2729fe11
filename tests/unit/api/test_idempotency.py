"""What a client sends, and what is remembered of it. The stores: tests/contracts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.idempotency import (
    Begun,
    Finished,
    IdempotencyPolicy,
    KeptReply,
    Mismatched,
    Running,
    begun_or_kept,
    kept_reply,
    read_idempotency_key,
    request_fingerprint,
)
from evara_core.errors import (
    IdempotencyMismatchError,
    IdempotencyRunningError,
    InvalidHeaderError,
)

REQUEST = {"principal_id": "asha", "method": "POST", "path": "/nodes?a=1", "body": b"{}"}


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5"', "8e03978e-40d5"),
        ("8e03978e-40d5", "8e03978e-40d5"),
        (' "two words" ', "two words"),
        (None, None),
    ],
)
def test_reads_a_key(header, key):
    assert read_idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", '""', '"a', "a b", "é", '"' + "x" * 256 + '"', '"a\nb"'])
def test_refuses_what_is_no_key(header):
    with pytest.raises(InvalidHeaderError, match="Idempotency-Key"):
        read_idempotency_key(header)


def test_may_be_required():
    with pytest.raises(InvalidHeaderError, match="is needed"):
        read_idempotency_key(None, is_required=True)


@given(st.text())
def test_any_header_is_read_or_refused(header):
    with suppress(InvalidHeaderError):
        assert read_idempotency_key(header)


@pytest.mark.parametrize(
    ("change", "is_same_key", "is_same_request"),
    [
        ({}, True, True),
        ({"principal_id": "ravi"}, False, True),
        ({"method": "PATCH"}, False, False),
        ({"path": "/alerts?a=1"}, False, False),
        ({"path": "/nodes?a=2"}, True, False),
        ({"body": b"{ }"}, True, False),
    ],
)
def test_a_key_is_the_callers_own_and_of_one_request(change, is_same_key, is_same_request):
    one = request_fingerprint("k", **REQUEST)
    other = request_fingerprint("k", **{**REQUEST, **change})

    assert (one.digest == other.digest) is is_same_key
    assert (one.fingerprint == other.fingerprint) is is_same_request


def test_what_is_known_decides():
    reply = KeptReply(status=201, body=b"{}")

    assert begun_or_kept(Begun()) is None
    assert begun_or_kept(Finished(reply)) is reply
    with pytest.raises(IdempotencyRunningError):
        begun_or_kept(Running())
    with pytest.raises(IdempotencyMismatchError):
        begun_or_kept(Mismatched())


def test_keeps_what_a_client_needs_of_an_answer():
    headers = [("Location", "/n/1"), ("Set-Cookie", "secret"), ("X-Request-ID", "r1")]

    kept = kept_reply(status=201, body=b"{}", headers=headers, policy=IdempotencyPolicy())

    assert kept == KeptReply(status=201, body=b"{}", headers=(("Location", "/n/1"),))


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
def test_keeps_nothing_that_may_be_different_the_next_time(status):
    assert kept_reply(status=status, body=b"", headers=[], policy=IdempotencyPolicy()) is None


@pytest.mark.parametrize("status", [200, 201, 204, 400, 404, 422])
def test_keeps_what_will_be_the_same(status):
    assert kept_reply(status=status, body=b"", headers=[], policy=IdempotencyPolicy()) is not None


def test_keeps_no_answer_that_is_too_long():
    policy = replace(IdempotencyPolicy(), longest_body=3)

    assert kept_reply(status=200, body=b"1234", headers=[], policy=policy) is None
