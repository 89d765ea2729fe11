"""What answers mean, on every endpoint, whatever the status."""

from __future__ import annotations

from contextlib import suppress

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evara_core.errors import (
    AccessDeniedError,
    ChannelNotFoundError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.models import MalformedEntry, Receipt
from evara_core.thingspeak.protocol import (
    read_age,
    read_bulk,
    read_entry,
    read_feed,
    read_nothing,
    read_objects,
    read_update,
    retry_after_s,
)

READERS = [
    read_feed, read_entry, read_age, read_update, read_bulk, read_nothing, read_objects,
]  # fmt: skip
HTML = b"<!DOCTYPE html>\n<html><body>The page you were looking for doesn't exist</body></html>"


def error_object(code: str, status: str) -> bytes:
    error = {"error_code": code, "message": "m", "details": "d"}
    return orjson.dumps({"status": status, "error": error})


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response(400, b"-1"), AccessDeniedError),
        (Response(400, b'"-1"'), AccessDeniedError),
        (Response(401, b"-1"), AccessDeniedError),
        (Response(400, b"0"), AccessDeniedError),
        (Response(401, b""), AccessDeniedError),
        (Response(403, HTML), AccessDeniedError),
        (Response(401, error_object("error_auth_required", "401")), AccessDeniedError),
        (Response(200, error_object("error_auth_required", "401")), AccessDeniedError),
        (Response(200, b"error_auth_required"), AccessDeniedError),
        (Response(402, b""), QuotaExceededError),
        (Response(402, error_object("error_payment_required", "402")), QuotaExceededError),
        (Response(404, HTML), ChannelNotFoundError),
        (Response(404, b"-1"), ChannelNotFoundError),
        (Response(404, error_object("error_resource_not_found", "404")), ChannelNotFoundError),
        (Response(200, error_object("error_resource_not_found", "404")), ChannelNotFoundError),
        (Response(200, b'{"status":"404","error":"gone"}'), ChannelNotFoundError),
        (Response(429, b""), RateLimitedError),
        (Response(429, error_object("error_too_many_requests", "429")), RateLimitedError),
        (Response(200, error_object("error_too_many_requests", "429")), RateLimitedError),
        (Response(200, b'{"status":"429","error":{}}'), RateLimitedError),
        (Response(400, error_object("error_bad_request", "400")), UpstreamRefusedError),
        (Response(405, error_object("error_method_invalid", "405")), UpstreamRefusedError),
        (Response(409, error_object("error_conflict", "409")), UpstreamRefusedError),
        (Response(413, b""), UpstreamRefusedError),
        (Response(421, error_object("error_no_action", "421")), UpstreamRefusedError),
        (Response(422, error_object("error_invalid_byte_sequence", "422")), UpstreamRefusedError),
        (Response(408, b""), UpstreamTimeoutError),
        (Response(500, b""), UpstreamError),
        (Response(500, b"-1"), UpstreamError),
        (Response(502, HTML), UpstreamError),
        (Response(503, error_object("error_auth_required", "401")), UpstreamError),
        (Response(200, b'{"status":"500","error":{}}'), UpstreamError),
        (Response(200, HTML), UpstreamGarbageError),
        (Response(200, b""), UpstreamGarbageError),
        (Response(204, b""), UpstreamGarbageError),
        (Response(200, b'{"channel":{"id":9'), UpstreamGarbageError),
        (Response(200, b"\xff\xfe"), UpstreamGarbageError),
        (Response(200, b"true"), UpstreamGarbageError),
        (Response(200, b'"-2"'), UpstreamGarbageError),
        (Response(200, b'{"status":"200","error":{}}'), UpstreamGarbageError),
        (Response(302, b""), UpstreamGarbageError),
        (Response(101, b""), UpstreamGarbageError),
    ],
    ids=lambda value: f"{value.status} {value.body[:60]!r}" if isinstance(value, Response) else "",
)
def test_each_failure_is_its_own_error(read, response, error) -> None:
    with pytest.raises(error) as caught:
        read(response)

    assert type(caught.value) is error


@pytest.mark.parametrize("body", [b"-1", b'"-1"', b" -1\n"])
def test_minus_one_with_a_good_status(body: bytes) -> None:
    response = Response(200, body)

    assert read_entry(response) is None
    assert read_age(response) is None
    for read in (read_feed, read_update, read_bulk, read_nothing, read_objects):
        with pytest.raises(AccessDeniedError):
            read(response)


def test_zero_is_an_update_that_was_not_stored() -> None:
    with pytest.raises(RateLimitedError) as caught:
        read_update(Response(200, b"0"), interval_s=1.0)

    assert caught.value.retry_after_s == 1.0


@pytest.mark.parametrize("body", [b"17", b'"17"', b" 17\n", b'{"entry_id":17,"channel_id":"9"}'])
def test_an_update_is_answered_with_its_id(body: bytes) -> None:
    receipt = read_update(Response(200, body))

    assert receipt.entry_id == 17
    assert receipt in {Receipt(entry_id=17), Receipt(entry_id=17, channel_id=9)}


def test_a_bulk_update_is_accepted() -> None:
    read_bulk(Response(202, b'{"success":true}'))

    with pytest.raises(UpstreamGarbageError):
        read_bulk(Response(202, b'{"success":false}'))


def test_an_age_is_text_of_a_number() -> None:
    answer = b'{"last_data_age":"174","last_data_age_units":"s"}'

    assert read_age(Response(200, answer)) == 174.0


def test_an_age_in_another_unit_is_not_believed() -> None:
    with pytest.raises(UpstreamGarbageError):
        read_age(Response(200, b'{"last_data_age":"3","last_data_age_units":"min"}'))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 15.0), ("", 15.0), ("3", 3.0), (" 20 ", 20.0), ("0", 0.0), ("-5", 15.0),
        ("nan", 15.0), ("1e9", 15.0), ("999999999", 3600.0), ("٣", 15.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", 15.0),
    ],
)  # fmt: skip
def test_retry_after_is_believed_within_reason(header: str | None, seconds: float) -> None:
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (Response(503, b""), 0.0),
        (Response(503, b"", "7"), 7.0),
        (Response(502, HTML, " 30 "), 30.0),
        (Response(503, b"", "soon"), 15.0),
        (Response(200, b'{"status":"503","error":{}}', "7"), 7.0),
    ],
)  # fmt: skip
def test_a_broken_host_may_ask_for_a_pause(read, response: Response, seconds: float) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(response)

    assert type(caught.value) is UpstreamError
    assert caught.value.asked_pause_s == seconds


CHANNEL = {"id": 9, "name": "n", "field1": "level", "last_entry_id": 2}
ROW = {"created_at": "2026-01-01T00:00:00Z", "entry_id": 2, "field1": "3.2"}


def feed(channel: object = CHANNEL, feeds: object = (ROW,)) -> Response:
    return Response(200, orjson.dumps({"channel": channel, "feeds": feeds}))


def test_null_and_empty_text_are_kept_apart() -> None:
    rows = [ROW | {"field1": None}, ROW | {"field1": "", "entry_id": 3}]

    null, empty = read_feed(feed(feeds=rows)).entries

    assert (null.fields, empty.fields) == ({1: None}, {1: ""})


def test_labels_decide_which_fields_there_are() -> None:
    page = read_feed(feed())

    assert page.channel.field_labels == {1: "level"}
    assert set(page.entries[0].fields) == {1}


def test_rows_come_out_by_time_and_id_however_they_came_in() -> None:
    later = ROW | {"created_at": "2026-01-01T00:01:00Z", "entry_id": 1}
    rows = [later, ROW | {"entry_id": 3}, ROW]

    assert [entry.entry_id for entry in read_feed(feed(feeds=rows)).entries] == [2, 3, 1]


def test_numbers_and_text_may_take_each_others_place() -> None:
    row = ROW | {"entry_id": "2", "field1": 3.25}

    entry = read_entry(Response(200, orjson.dumps(row)))

    assert entry is not None
    assert (entry.entry_id, entry.fields) == (2, {1: "3.25"})


@pytest.mark.parametrize(
    "row",
    [
        {}, [], None, 7, "x",
        ROW | {"entry_id": None}, ROW | {"entry_id": -4}, ROW | {"entry_id": True},
        ROW | {"entry_id": "9" * 5000}, ROW | {"entry_id": 1e300},
        ROW | {"created_at": None}, ROW | {"created_at": 0}, ROW | {"created_at": "yesterday"},
        ROW | {"created_at": "2026-02-30T00:00:00Z"}, ROW | {"created_at": "2026-01-01T00:00:00"},
        ROW | {"field1": []}, ROW | {"field1": {"a": 1}}, ROW | {"field1": True},
        ROW | {"status": False},
        {name: ROW[name] for name in ("created_at", "field1")},
    ],
    ids=lambda row: repr(row)[:70],
)  # fmt: skip
def test_a_row_that_is_none_is_garbage_alone_and_costs_the_others_of_a_feed_nothing(
    row: object,
) -> None:
    page = read_feed(feed(feeds=[ROW | {"entry_id": 1}, row, ROW | {"entry_id": 3}]))

    whole = [entry for entry in page.entries if not isinstance(entry, MalformedEntry)]
    [malformed] = [entry for entry in page.entries if isinstance(entry, MalformedEntry)]
    assert [entry.entry_id for entry in whole] == [1, 3]
    assert malformed.reason
    assert not malformed.fields
    with pytest.raises(UpstreamGarbageError):
        read_entry(Response(200, orjson.dumps(row)))


def test_a_feed_without_any_time_is_garbage() -> None:
    with pytest.raises(UpstreamGarbageError):
        read_feed(feed(feeds=[{}, None]))


@pytest.mark.parametrize("channel", [None, [], {}, {"id": "x"}, CHANNEL | {"last_entry_id": -3}])
def test_a_channel_that_is_none_is_garbage(channel: object) -> None:
    with pytest.raises(UpstreamGarbageError):
        read_feed(feed(channel=channel))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-01-01T00:00:00Z", "-1", "0", "17", "s"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from([
            "channel", "feeds", "id", "name", "created_at", "entry_id", "field1", "error",
            "error_code", "status", "success", "channel_id", "last_entry_id", "last_data_age",
            "last_data_age_units", "channels", "latitude",
        ])
        | st.text(max_size=5),
        inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip


def dumped(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return repr(value).encode("utf-8", "replace")


BODIES = st.one_of(
    st.binary(max_size=400),
    JSON.map(dumped),
    st.tuples(JSON.map(dumped), st.integers(0, 400)).map(lambda pair: pair[0][: pair[1]]),
    st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@pytest.mark.parametrize("read", READERS)
@given(
    body=BODIES,
    status=st.sampled_from([100, 200, 200, 200, 202, 204, 302, 400, 401, 404, 418, 429, 500, 503]),
    retry_after=st.none() | st.text(max_size=12),
)
@example(body=b"[" * 100_000, status=200, retry_after=None)
@example(body=b'{"a":' * 50_000 + b"1" + b"}" * 50_000, status=200, retry_after=None)
@example(body=b"9" * 100_000, status=200, retry_after=None)
@example(body=b'{"error":[[[]]]}', status=200, retry_after=None)
def test_nothing_but_documented_errors_comes_out(read, body, status, retry_after) -> None:
    with suppress(UpstreamError):
        read(Response(status, body, retry_after))
