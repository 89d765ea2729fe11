"""Conditional requests, RFC 9110 section 13: read only what changed, change only what was read.

An entity tag of a representation is a hash of its bytes; one of a record is its version.
What needs a token is private to its caller.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Final

from evara_core.errors import (
    InvalidHeaderError,
    PreconditionFailedError,
    PreconditionRequiredError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Verdict",
    "cache_headers",
    "check_if_match",
    "etag_of",
    "http_date",
    "is_not_modified",
    "judge",
    "version_etag",
]

_READS: Final = frozenset({"GET", "HEAD"})

_TAG = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
_MOST_TAGS = 100


class Verdict(Enum):
    """What becomes of a request with conditions."""

    GO_ON = "go on"
    NOT_MODIFIED = "304"
    FAILED = "412"


def etag_of(body: bytes) -> str:
    """Return a strong entity tag of exactly these bytes."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def version_etag(*facts: object) -> str:
    """Return the entity tag of a record whose state is told apart by *facts*.

    For example its id and its version number, or the moment of its last change. It is strong:
    `If-Match` compares no other. Give it to one representation of the record only.
    """
    told = "\x1f".join(map(str, facts)).encode()
    return f'"{hashlib.blake2b(told, digest_size=12, person=b"record").hexdigest()}"'


def is_not_modified(
    headers: Mapping[str, str], *, etag: str, modified_at: datetime | None = None
) -> bool:
    """Return whether a GET or HEAD with these headers is answered with 304.

    `If-None-Match` decides where it is sent; `If-Modified-Since` only without it. A header
    that does not parse is ignored, as if it had not been sent.

    Args:
        headers: Of the request, by lower-case name.
        etag: Of what would be sent.
        modified_at: When it last changed, aware; None: not known.
    """
    sent = headers.get("if-none-match")
    if sent is not None:
        tags = _tags(sent)
        return tags is not None and ("*" in tags or _opaque(etag) in map(_opaque, tags))
    return _is_unmodified(headers.get("if-modified-since"), modified_at) is True


def judge(
    method: str,
    headers: Mapping[str, str],
    *,
    etag: str | None,
    modified_at: datetime | None = None,
) -> Verdict:
    """Return what the conditions of a request say, in the order of RFC 9110 section 13.2.2.

    Ask it once the caller is known to be allowed, and only where the answer would be a success.
    An `If-Match` that does not parse fails: nothing is changed by accident. An `If-None-Match`
    that does not parse counts as not sent.

    Args:
        method: Of the request.
        headers: Of the request, by lower-case name.
        etag: Of the current representation; None: there is none.
        modified_at: When it last changed, aware; None: not known.
    """
    if (if_match := headers.get("if-match")) is not None:
        tags = _tags(if_match) or []
        is_strong = etag is not None and not etag.startswith("W/")
        if etag is None or ("*" not in tags and not (is_strong and etag in tags)):
            return Verdict.FAILED
    elif _is_unmodified(headers.get("if-unmodified-since"), modified_at) is False:
        return Verdict.FAILED
    if etag is None:
        return Verdict.GO_ON
    if method in _READS:
        is_known = is_not_modified(headers, etag=etag, modified_at=modified_at)
        return Verdict.NOT_MODIFIED if is_known else Verdict.GO_ON
    # `If-None-Match: *` on a write means: create it, change nothing.
    only_if_none = {"if-none-match": headers.get("if-none-match", "")}
    return Verdict.FAILED if is_not_modified(only_if_none, etag=etag) else Verdict.GO_ON


def check_if_match(if_match: str | None, *, etag: str | None, is_required: bool = True) -> None:
    """Let a change pass if `If-Match` names the state that the record is in.

    Args:
        if_match: The header; None: not sent.
        etag: Of the record as it is; None: there is none.
        is_required: Whether a change without the header is refused.

    Raises:
        InvalidHeaderError: The header does not parse.
        PreconditionFailedError: The record is in another state, or not there.
        PreconditionRequiredError: The header is missing.
    """
    if if_match is None:
        if is_required:
            raise PreconditionRequiredError
        return
    tags = _tags(if_match)
    if tags is None:
        header = "If-Match"
        raise InvalidHeaderError(header, 'not a list of entity tags such as "abc"')
    if etag is None or ("*" not in tags and (etag.startswith("W/") or etag not in tags)):
        raise PreconditionFailedError


def cache_headers(
    *, etag: str | None = None, modified_at: datetime | None = None, is_private: bool = True
) -> dict[str, str]:
    """Return the headers of an answer that its reader may keep, and must ask about again.

    Args:
        etag: Of the answer.
        modified_at: When it last changed, aware.
        is_private: It depends on who asks: no shared cache may keep it.
    """
    headers = {"Cache-Control": "private, no-cache" if is_private else "public, no-cache"}
    if is_private:
        headers["Vary"] = "Authorization"
    if etag is not None:
        headers["ETag"] = etag
    if modified_at is not None:
        headers["Last-Modified"] = http_date(modified_at)
    return headers


def http_date(moment: datetime) -> str:
    """Return *moment*, which must be aware, as HTTP writes dates, whatever the locale."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def _is_unmodified(since: str | None, modified_at: datetime | None) -> bool | None:
    """Return whether it is unchanged since; None where that cannot be told."""
    if since is None or modified_at is None:
        return None
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return modified_at.replace(microsecond=0) <= moment


def _tags(text: str) -> list[str] | None:
    """Return the entity tags of a header, or None if it does not parse."""
    if text.strip() == "*":
        return ["*"]
    tags: list[str] = []
    at = 0
    while at < len(text) and len(tags) < _MOST_TAGS:
        found = _TAG.match(text, at)
        if found is None:
            return None
        tags.append(found.group(1))
        at = found.end()
    return tags or None


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
