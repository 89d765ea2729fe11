"""What ThingSpeak's answers mean. Performs nothing.

They say little by their status: a refusal may be 200 with the body `-1`, a stored update
200 with a number, a refused one 200 with `0`. So the body is read first.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from evara_core.errors import (
    AccessDeniedError,
    ChannelNotFoundError,
    InvalidJsonError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from evara_core.serialization import load_json
from evara_core.thingspeak.malformed import salvaged
from evara_core.thingspeak.models import Entry, Receipt
from evara_core.thingspeak.rows import MALFORMED, Page, entries_of, entry_of, whole_of

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.thingspeak.messages import Response

__all__ = [
    "payload_of",
    "read_age",
    "read_bulk",
    "read_entry",
    "read_feed",
    "read_nothing",
    "read_objects",
    "read_update",
    "retry_after_s",
]

RATE_LIMIT_PAUSE_S: Final = 15.0
"""What a free channel waits between two updates: the pause when none is told."""

LONGEST_RETRY_AFTER_S: Final = 3600.0
"""A longer pause than this is not believed."""

HTTP_OK: Final = 200

REFUSED: Final = -1
"""What reads answer without access, and where there is nothing to show."""

NOT_STORED: Final = 0
"""What updates answer that come too soon, or with a time that is taken."""


def payload_of(response: Response) -> Any:  # noqa: ANN401 - JSON is whatever it is
    """Return the JSON of an answer that is none of the known failures.

    A bare `-1` or `0` of an answer with a good status is returned as the number: what it
    means depends on the endpoint.

    Raises:
        UpstreamError: It is a failure; each in its own class.
    """
    status = response.status
    if status == HTTP_OK:
        # Nearly always, so it comes first.
        payload = _json_or_none(response.body)
        if type(payload) is dict and "error" not in payload:
            return payload
        if payload is not None and not _is_error(payload):
            return payload
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimitedError(retry_after_s(response.retry_after))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _broken(status, response)
    payload = _json_or_none(response.body)
    if _is_error(payload):
        raise _reported_error(payload, response)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        if payload is not None:
            return payload
        raise _text_error(response)
    raise _status_error(status, payload)


def read_feed(response: Response, since: datetime | None = None) -> Page:
    """Read an answer of `feeds.json` or `fields/N.json`, which was asked for from *since* on.

    A row that is no entry is among the others as a `MalformedEntry`.

    Raises:
        AccessDeniedError: `-1`, whatever the status.
        UpstreamError: Another failure.
    """
    payload = payload_of(response)
    if type(payload) is not dict and _is_bare(payload, REFUSED):
        raise AccessDeniedError(NOT_OPENED)
    try:
        channel, rows = payload["channel"], payload["feeds"]
        try:
            return Page(channel, entries_of(rows))
        except MALFORMED:
            return salvaged(channel, rows, since=since)
    except MALFORMED as error:
        raise _unexpected(response) from error


def read_entry(response: Response) -> Entry | None:
    """Read an answer of `feeds/last.json`, `fields/N/last.json` or `feeds/ID.json`.

    None stands for `-1` with a good status, which is no data or no access: the server
    does not tell these apart here, so whoever gets it must ask `feeds.json?results=0`.

    Raises:
        AccessDeniedError: `-1` with the status of a refusal.
        UpstreamError: Another failure.
    """
    payload = payload_of(response)
    if _is_bare(payload, REFUSED):
        return None
    try:
        return entry_of(payload)
    except MALFORMED as error:
        raise _unexpected(response) from error


def read_age(response: Response) -> float | None:
    """Read an answer of `last_data_age.json`: seconds; None as for `read_entry`."""
    payload = payload_of(response)
    if _is_bare(payload, REFUSED):
        return None
    try:
        if payload["last_data_age_units"] != "s":
            raise _unexpected(response)
        return float(whole_of(payload["last_data_age"]))
    except MALFORMED as error:
        raise _unexpected(response) from error


def read_update(response: Response, *, interval_s: float = RATE_LIMIT_PAUSE_S) -> Receipt:
    """Read an answer of `update.json`; *interval_s* is what the channel wants between two.

    Raises:
        RateLimitedError: `0` with a good status: too soon, or the time is taken.
        AccessDeniedError: The key is not a write key.
        UpstreamError: Another failure. The entry may have been stored all the same.
    """
    payload = payload_of(response)
    if _is_bare(payload, NOT_STORED):
        told = response.retry_after
        raise RateLimitedError(interval_s if told is None else retry_after_s(told))
    if _is_bare(payload, REFUSED):
        raise AccessDeniedError(NOT_OPENED)
    try:
        if isinstance(payload, int):
            return Receipt(entry_id=whole_of(payload))
        return Receipt(
            entry_id=whole_of(payload["entry_id"]), channel_id=whole_of(payload["channel_id"])
        )
    except MALFORMED as error:
        raise _unexpected(response) from error


def read_bulk(response: Response) -> None:
    """Read an answer of `bulk_update.json`. Without an error the rows were accepted, not more.

    Raises:
        RateLimitedError: The last bulk update was less than 15 s ago.
        UpstreamError: Another failure.
    """
    payload = payload_of(response)
    if _is_bare(payload, NOT_STORED):
        raise RateLimitedError(retry_after_s(response.retry_after))
    if _is_bare(payload, REFUSED):
        raise AccessDeniedError(NOT_OPENED)
    if not isinstance(payload, dict) or payload.get("success") is not True:
        raise _unexpected(response)


def read_nothing(response: Response) -> None:
    """Read an answer that says no more than that it was done."""
    payload = payload_of(response)
    if _is_bare(payload, REFUSED) or _is_bare(payload, NOT_STORED):
        raise AccessDeniedError(NOT_OPENED)
    if not isinstance(payload, dict | list):
        raise _unexpected(response)


def read_objects(response: Response) -> list[dict[str, Any]]:
    """Read an answer that is an object, a list of them, or `{"channels": [...]}`."""
    payload = payload_of(response)
    if _is_bare(payload, REFUSED) or _is_bare(payload, NOT_STORED):
        raise AccessDeniedError(NOT_OPENED)
    if isinstance(payload, dict):
        payload = payload.get("channels", [payload])
    if not isinstance(payload, list) or not all(isinstance(item, dict) for item in payload):
        raise _unexpected(response)
    return payload


def retry_after_s(header: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, within reason.

    Only the form in seconds is understood; without it, the pause of a free channel.
    """
    if header is None or not re.fullmatch(r"[0-9]{1,9}", header.strip()):
        return RATE_LIMIT_PAUSE_S
    return min(float(header), LONGEST_RETRY_AFTER_S)


NOT_OPENED: Final = "the channel is private, and the key does not open it"

_BARE_NUMBER = re.compile(rb'\s*"?(-1|0|[1-9][0-9]{0,18})"?\s*')
_ERROR_CODE = re.compile(rb"\s*(error_[a-z_]+)\s*")

_BY_CODE: dict[str, type[UpstreamError]] = {
    "error_auth_required": AccessDeniedError,
    "error_payment_required": QuotaExceededError,
    "error_resource_not_found": ChannelNotFoundError,
    "error_bad_request": UpstreamRefusedError,
    "error_method_invalid": UpstreamRefusedError,
    "error_conflict": UpstreamRefusedError,
    "error_request_too_large": UpstreamRefusedError,
    "error_no_action": UpstreamRefusedError,
    "error_invalid_byte_sequence": UpstreamRefusedError,
}

_BY_STATUS: dict[int, type[UpstreamError]] = {
    HTTPStatus.UNAUTHORIZED: AccessDeniedError,
    HTTPStatus.PAYMENT_REQUIRED: QuotaExceededError,
    HTTPStatus.FORBIDDEN: AccessDeniedError,
    HTTPStatus.NOT_FOUND: ChannelNotFoundError,
    HTTPStatus.REQUEST_TIMEOUT: UpstreamTimeoutError,
}


def _json_or_none(body: bytes) -> Any:  # noqa: ANN401 - JSON is whatever it is
    try:
        payload = load_json(body)
    except InvalidJsonError:
        return None
    if isinstance(payload, str):
        found = _BARE_NUMBER.fullmatch(body)
        return int(found[1]) if found else None
    return payload


def _is_error(payload: object) -> bool:
    return isinstance(payload, dict) and "error" in payload and "feeds" not in payload


def _reported_error(payload: dict[str, Any], response: Response) -> UpstreamError:
    error = payload["error"]
    code = error.get("error_code") if isinstance(error, dict) else error
    if code == "error_too_many_requests":
        return RateLimitedError(retry_after_s(response.retry_after))
    if isinstance(code, str) and code in _BY_CODE:
        return _BY_CODE[code](code)
    told = str(payload.get("status"))
    status = int(told) if re.fullmatch(r"[1-5][0-9]{2}", told) else response.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(retry_after_s(response.retry_after))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _broken(status, response)
    if status < HTTPStatus.BAD_REQUEST:
        return UpstreamGarbageError("an error object that names no known error")
    return _status_error(status, None)


def _broken(status: int, response: Response) -> UpstreamError:
    error = UpstreamError(f"HTTP {status}")
    if response.retry_after is not None:
        error.asked_pause_s = retry_after_s(response.retry_after)
    return error


def _text_error(response: Response) -> UpstreamError:
    """Return what a good status without JSON stands for."""
    found = _ERROR_CODE.fullmatch(response.body)
    if not found:
        return _unexpected(response)
    return _reported_error({"error": found[1].decode()}, response)


def _status_error(status: int, payload: object) -> UpstreamError:
    if status in _BY_STATUS:
        return _BY_STATUS[status](f"HTTP {status}")
    if status < HTTPStatus.BAD_REQUEST:
        return UpstreamGarbageError(f"HTTP {status}: somebody else answers here")
    if _is_bare(payload, REFUSED) or _is_bare(payload, NOT_STORED):
        return AccessDeniedError(NOT_OPENED)
    return UpstreamRefusedError(f"HTTP {status}")


def _unexpected(response: Response) -> UpstreamGarbageError:
    # The body is not quoted: it may be large, and it may repeat what was sent.
    start = response.body[:64].lstrip().lower()
    if not start:
        what = "an empty body"
    elif start.startswith(b"<"):
        what = "a web page"
    else:
        what = "not what the protocol says"
    return UpstreamGarbageError(f"HTTP {response.status} with {len(response.body)} bytes: {what}")


def _is_bare(payload: object, number: int) -> bool:
    return isinstance(payload, int) and not isinstance(payload, bool) and payload == number
