"""How each error looks from outside: its HTTP status and its sentence for people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from evara_core.errors import InvalidItemsError
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from evara_core.errors import EvaraError

__all__ = ["CATALOGUE", "Entry", "anchor_of", "catalogue_json", "entry_for", "framework_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind of error, as a caller meets it."""

    code: str
    """Permanent."""

    status: int
    title: str
    """The same each time. Says what kind of error it is, nothing about this one."""

    advice: str = ""
    """What a client should do."""

    is_detailed: bool = True
    """The error's own sentence may be shown: it holds nothing but what the caller sent, or
    may know. Otherwise the title stands for it, and the log has the sentence."""


_ENTRIES = (
    # The request cannot be read.
    Entry(
        code="VALIDATION_ERROR",
        status=400,
        title="The request cannot be used",
        advice="Correct what `errors` names.",
    ),
    Entry(code="INVALID_JSON", status=400, title="The body is not JSON"),
    Entry(
        code="INVALID_PARAMETER",
        status=400,
        title="A query parameter cannot be used",
        advice="Correct the parameter that `field` names; the message lists what is allowed.",
    ),
    Entry(
        code="INVALID_CURSOR",
        status=400,
        title="The page cursor is damaged or was not made here",
        advice="Start again at the first page.",
    ),
    Entry(
        code="CURSOR_MISMATCH",
        status=400,
        title="The page cursor belongs to another query",
        advice="Keep filters, search and sort while paging, or start again at the first page.",
    ),
    Entry(code="INVALID_HEADER", status=400, title="A request header cannot be used"),
    Entry(code="INVALID_BODY", status=400, title="A member of the body cannot be used"),
    Entry(
        code="INVALID_ITEMS",
        status=400,
        title="The batch is refused: nothing of it was stored",
        advice="Correct the items that `errors` names, or send them with `mode=partial`.",
    ),
    Entry(code="UNSUPPORTED_VERSION", status=400, title="There is no such version"),
    # It can be read, and makes no sense.
    Entry(
        code="IDEMPOTENCY_KEY_REUSED",
        status=422,
        title="The idempotency key was used for another request",
        advice="Make a new key for each new request.",
    ),
    Entry(code="INVALID_EXPRESSION", status=422, title="The expression does not parse"),
    Entry(code="INVALID_RULE", status=422, title="The alert rule makes no sense"),
    Entry(code="INVALID_MAPPING", status=422, title="The channel mapping makes no sense"),
    Entry(code="INVALID_EXPORT", status=422, title="The file is not a ThingSpeak export"),
    # The caller.
    Entry(
        code="UNAUTHENTICATED",
        status=401,
        title="Sign in to use this",
        advice="Get a new token.",
        is_detailed=False,
    ),
    Entry(code="FORBIDDEN", status=403, title="Not allowed"),
    Entry(code="NOT_FOUND", status=404, title="There is no such record"),
    Entry(
        code="CONFLICT",
        status=409,
        title="The record changed meanwhile, or is there already",
        advice="Read it again and decide anew.",
    ),
    Entry(
        code="IDEMPOTENCY_KEY_IN_USE",
        status=409,
        title="The first request with this idempotency key is running",
        advice="Wait `Retry-After` seconds and send the same request again.",
    ),
    Entry(
        code="LEASE_LOST",
        status=409,
        title="Another process does this by now",
        is_detailed=False,
    ),
    Entry(
        code="PRECONDITION_FAILED",
        status=412,
        title="The record changed since you read it",
        advice="Read it again and decide anew.",
    ),
    Entry(
        code="PRECONDITION_REQUIRED",
        status=428,
        title="Say which state of the record you change",
        advice="Send `If-Match` with the `ETag` that you read.",
    ),
    Entry(
        code="RATE_LIMITED",
        status=429,
        title="Too many requests",
        advice="Wait `Retry-After` seconds.",
    ),
    # What we depend on.
    Entry(
        code="SERVICE_UNAVAILABLE",
        status=503,
        title="The service cannot answer now",
        advice="Wait `Retry-After` seconds. Nothing was stored.",
        is_detailed=False,
    ),
    *(
        Entry(code=code, status=status, title=title, is_detailed=False)
        for code, status, title in (
            ("UPSTREAM_FAILED", 503, "A service that this one depends on failed"),
            ("UPSTREAM_TIMEOUT", 503, "A service that this one depends on did not answer"),
            ("UPSTREAM_OPEN", 503, "A service that this one depends on keeps failing"),
            ("UPSTREAM_RATE_LIMITED", 503, "A service that this one depends on asks to wait"),
            ("UPSTREAM_GARBAGE", 502, "A service that this one depends on sent nonsense"),
            ("UPSTREAM_REFUSED", 502, "A service that this one depends on said no"),
            ("UPSTREAM_ACCESS_DENIED", 502, "The channel is private, and the key is wrong"),
            ("UPSTREAM_CHANNEL_NOT_FOUND", 502, "There is no such channel"),
            ("UPSTREAM_CHANNEL_RESET", 502, "The channel was cleared or rewritten"),
            ("UPSTREAM_QUOTA_EXCEEDED", 502, "The account's messages for the year are used up"),
        )
    ),
    # Ourselves.
    *(
        Entry(code=code, status=status, title=title, is_detailed=False)
        for code, status, title in (
            ("INTERNAL_ERROR", 500, "Something went wrong"),
            ("CONFIGURATION_ERROR", 500, "The server is not set up for this"),
            ("STATEMENT_REFUSED", 500, "The server is not set up for this"),
            ("MISSING_EXTRA", 500, "The server is not set up for this"),
            ("CLOSED", 503, "The server is shutting down"),
            ("SLOW_CONSUMER", 503, "The client did not keep up and was let go"),
        )
    ),
)

CATALOGUE = {entry.code: entry for entry in _ENTRIES}
"""Code → entry, for every code of `evara_core.errors`: a test sees to it."""


def entry_for(error: EvaraError) -> Entry:
    """Return the entry of *error*.

    An error class of an application that has a code of its own, and no entry, is shown as
    the library's class that it descends from.
    """
    if isinstance(error, InvalidItemsError) and error.items:
        # A batch fails as its first bad item would have failed alone.
        first = entry_for(error.items[0][1])
        return replace(CATALOGUE[error.code], status=first.status)
    for ancestor in type(error).__mro__:
        entry = CATALOGUE.get(getattr(ancestor, "code", ""))
        if entry is not None:
            return entry
    return CATALOGUE["INTERNAL_ERROR"]


def framework_entry(status: int) -> Entry:
    """Return the entry of an error that a web framework raised by itself: `HTTP_404` and so on.

    A status that is none is a fault of ours.
    """
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        return CATALOGUE["INTERNAL_ERROR"]
    return Entry(code=f"HTTP_{status}", status=status, title=title)


def catalogue_json(*, documentation: str = "") -> bytes:
    """Return the whole catalogue, to be served to clients.

    Args:
        documentation: The address of the page that explains it; each code is an anchor there.
    """
    return dump_json(
        [
            {
                "code": entry.code,
                "status": entry.status,
                "title": entry.title,
                "advice": entry.advice or None,
                "documentation": f"{documentation}#{anchor_of(entry.code)}"
                if documentation
                else None,
            }
            for entry in sorted(_ENTRIES, key=lambda entry: (entry.status, entry.code))
        ]
    )


def anchor_of(code: str) -> str:
    """Return the anchor of *code* in the documentation."""
    return code.lower().replace("_", "-")
