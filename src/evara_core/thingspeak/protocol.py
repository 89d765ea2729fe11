"""What to ask ThingSpeak, and what its answers mean. Performs nothing.

Its answers say little by their status: a refusal may be 200 with the body `-1`, a stored
update 200 with a number, a refused one 200 with `0`. So the body is read first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from evara_core.errors import (
    AccessDeniedError,
    ChannelNotFoundError,
    InvalidInputError,
    InvalidJsonError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from evara_core.serialization import load_json
from evara_core.thingspeak.models import Channel, Entry, Page
from evara_core.thingspeak.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from evara_core.thingspeak.keys import Key

__all__ = [
    "FIELDS",
    "KEY_HEADER",
    "Call",
    "Request",
    "Response",
    "payload_of",
    "read_entry",
    "read_feed",
    "retry_after_s",
]

T = TypeVar("T")

FIELDS = tuple((number, f"field{number}") for number in range(1, 9))
"""The fields of an entry: number and name."""

KEY_HEADER = "THINGSPEAKAPIKEY"
"""The documented one; a server takes any header whose name contains it."""

RATE_LIMIT_PAUSE_S = 15.0
"""What a free channel waits between two updates: the pause when none is told."""

LONGEST_RETRY_AFTER_S = 3600.0
"""A longer pause than this is not believed."""

REFUSED = -1
"""What reads answer without access, and where there is nothing to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request to make. Its text form shows no key and no body."""

    method: str = "GET"
    target: str
    """Path and query, encoded, beginning with a slash. Never a key."""

    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    key: Key | None = None
    is_key_in_url: bool = False
    """The caller's wish: for servers that read no header."""

    def wire_target(self) -> str:
        """Return path and query as they go out: with the key, if the caller wishes that."""
        if self.key is None or not self.is_key_in_url:
            return self.target
        joint = "&" if "?" in self.target else "?"
        return f"{self.target}{joint}api_key={self.key.reveal()}"

    def wire_headers(self) -> dict[str, str]:
        """Return the headers as they go out, the key among them. Do not keep them."""
        headers = {}
        if self.key is not None and not self.is_key_in_url:
            headers[KEY_HEADER] = self.key.reveal()
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        return headers


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response that came, whole."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how to read the answer."""

    request: Request
    read: Callable[[Response], T]
    channel_id: int | None = None


def payload_of(response: Response) -> Any:  # noqa: ANN401 - JSON is whatever it is
    """Return the JSON of an answer that is none of the known failures.

    A bare `-1` or `0` of an answer with a good status is returned as the number: what it
    means depends on the endpoint.

    Raises:
        UpstreamError: It is a failure; each in its own class.
    """
    status = response.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimitedError(retry_after_s(response.retry_after))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        problem = f"HTTP {status}"
        raise UpstreamError(problem)
    payload = _json_or_none(response.body)
    if isinstance(payload, dict) and "error" in payload and "feeds" not in payload:
        raise _reported_error(payload, response)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        if payload is not None:
            return payload
        raise _text_error(response)
    raise _status_error(status, payload)


def read_feed(response: Response) -> Page:
    """Read an answer of `feeds.json` or `fields/N.json`.

    Raises:
        AccessDeniedError: `-1`, whatever the status.
        UpstreamError: Another failure.
    """
    payload = payload_of(response)
    if _is_bare(payload, REFUSED):
        raise AccessDeniedError(NOT_OPENED)
    if not isinstance(payload, dict):
        raise _unexpected(response)
    feeds = payload.get("feeds")
    if not isinstance(feeds, list):
        raise _unexpected(response)
    try:
        entries = [_entry(row) for row in feeds]
        channel = _channel(payload["channel"])
    except (AttributeError, KeyError, TypeError, ValueError, InvalidInputError) as error:
        raise _unexpected(response) from error
    if not _is_sorted(entries):
        entries.sort(key=_by_time)
    return Page(channel=channel, entries=tuple(entries))


def read_entry(response: Response) -> Entry | None:
    """Read an answer of `feeds/last.json` or `feeds/ID.json`.

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
        return _entry(payload)
    except (AttributeError, KeyError, TypeError, ValueError, InvalidInputError) as error:
        raise _unexpected(response) from error


def retry_after_s(header: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, within reason.

    Only the form in seconds is understood; without it, the pause of a free channel.
    """
    if header is None or not re.fullmatch(r"[0-9]{1,9}", header.strip()):
        return RATE_LIMIT_PAUSE_S
    return min(float(header), LONGEST_RETRY_AFTER_S)


NOT_OPENED = "the channel is private, and the key does not open it"

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
        return UpstreamError(f"HTTP {status}")
    if status < HTTPStatus.BAD_REQUEST:
        return UpstreamGarbageError("an error object that names no known error")
    return _status_error(status, None)


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
    if _is_bare(payload, REFUSED) or _is_bare(payload, 0):
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


def _entry(row: Any) -> Entry:  # noqa: ANN401 - checked here
    return Entry(
        entry_id=_whole(row["entry_id"]),
        created_at=parse_time(row["created_at"]),
        fields={n: _text(row[name]) for n, name in FIELDS if name in row},
        status=_text(row.get("status")),
        latitude=_text(row.get("latitude")),
        longitude=_text(row.get("longitude")),
        elevation=_text(row.get("elevation")),
    )


def _channel(data: Any) -> Channel:  # noqa: ANN401 - checked here
    last = data.get("last_entry_id")
    return Channel(
        channel_id=_whole(data["id"]),
        name=_text(data.get("name")) or "",
        field_labels={n: _text(data[name]) or "" for n, name in FIELDS if name in data},
        last_entry_id=None if last is None else _whole(last),
        description=_text(data.get("description")),
        metadata=_text(data.get("metadata")),
        latitude=_text(data.get("latitude")),
        longitude=_text(data.get("longitude")),
        elevation=_text(data.get("elevation")),
        created_at=_moment(data.get("created_at")),
        updated_at=_moment(data.get("updated_at")),
    )


def _is_bare(payload: object, number: int) -> bool:
    return isinstance(payload, int) and not isinstance(payload, bool) and payload == number


def _text(value: object) -> str | None:
    # Values are text or null; a number is taken for its digits, anything else is not ours.
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError(type(value).__name__)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise TypeError(type(value).__name__)


def _moment(value: object) -> datetime | None:
    return None if value is None else parse_time(str(value))


def _by_time(entry: Entry) -> tuple[datetime, int]:
    return entry.created_at, entry.entry_id


def _is_sorted(entries: list[Entry]) -> bool:
    return all(
        a.created_at < b.created_at or (a.created_at == b.created_at and a.entry_id <= b.entry_id)
        for a, b in pairwise(entries)
    )
