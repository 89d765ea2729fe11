"""What every framework answers, byte for byte: status, headers and body, and nothing sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evara_core.api.catalogue import CATALOGUE, Entry, entry_for, framework_entry
from evara_core.api.conditional import cache_headers, etag_of, is_not_modified
from evara_core.api.details import error_details
from evara_core.api.envelope import (
    BatchMeta,
    ErrorDetail,
    ResponseMeta,
    error_bytes,
    pagination_of,
    success_bytes,
)
from evara_core.api.links import page_links, render_links
from evara_core.api.naming import Naming, camel_error, camel_keys
from evara_core.api.problems import PROBLEM_MEDIA_TYPE, problem_bytes, wants_problem
from evara_core.errors import InvalidJsonError, UnauthenticatedError
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.api.batch import BatchReply
    from evara_core.clock import Clock
    from evara_core.errors import EvaraError
    from evara_core.query.paging import Page

__all__ = ["Answer", "Answers", "Asked", "Freshness"]

_JSON = "application/json"
_PRIVATE = "private, no-store"
_RETRY_AFTER_S = 5.0
_UNAVAILABLE = 503
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an answer depends on of its request."""

    request_id: str = ""
    method: str = "GET"
    path: str = ""
    """As the client sent it, decoded."""

    query: str = ""
    """As the client sent it, encoded."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""

    version: str | None = None
    """Of the API, that answers; None: there is but one."""

    also: tuple[tuple[str, str], ...] = ()
    """Headers that the answer carries whatever it is, such as where a rate limit stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    """A name may come twice: append them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How a reader may keep an answer: it asks each time whether it is still good.

    Without *etag*, the tag is made of the data, which must be there first.
    """

    etag: str | None = None
    is_private: bool = True


class Answers:
    """Decides on answers that all look alike.

    Args:
        clock: For `meta.timestamp`.
        version: Of the API, for `meta.version`, where requests name none.
        naming: How the names of members are written.
        keep: Members below which keys are data: see `api.naming.camel_keys`.
        types: The address of the documented error catalogue, for problem details.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        version: str = "1",
        naming: Naming = Naming.SNAKE,
        keep: Sequence[str] = (),
        types: str = "",
    ) -> None:
        self._clock = clock
        self._version = version
        self._naming = naming
        self._keep = keep
        self._types = types

    def success(
        self,
        asked: Asked,
        data: Any,  # noqa: ANN401 - JSON is whatever it is
        *,
        page: Page[Any] | None = None,
        batch: BatchReply | None = None,
        is_cached: bool = False,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        freshness: Freshness | None = None,
    ) -> Answer:
        """Return *data* in the envelope. `bytes` are JSON already.

        It may be kept by nobody, unless *freshness* or *headers* say otherwise.
        """
        told = dict(headers or {})
        if freshness is not None and asked.method in _READS:
            data = self._encoded(data)
            etag = freshness.etag or etag_of(data + self._page_bytes(page))
            told |= cache_headers(etag=etag, is_private=freshness.is_private)
            if is_not_modified(asked.headers, etag=etag):
                return Answer(status=304, headers=(*told.items(), *asked.also))
        meta = self._meta(
            asked,
            cached=is_cached,
            pagination=None if page is None else pagination_of(page),
            batch=None
            if batch is None
            else BatchMeta(succeeded=batch.succeeded, failed=batch.failed),
        )
        body = success_bytes(data, meta, naming=self._naming, keep=self._keep)
        sent = {"Content-Type": _JSON, "Cache-Control": _PRIVATE, **told}
        links = () if page is None else self._links(asked, page)
        return Answer(status=status, body=body, headers=(*sent.items(), *links, *asked.also))

    def empty(self, asked: Asked, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return a 204: it is done, and there is nothing to show."""
        return Answer(status=204, headers=(*(headers or {}).items(), *asked.also))

    def batch(self, asked: Asked, reply: BatchReply) -> Answer:
        """Return the answer to a batch: 200 or 201 for all of it, 207 for its parts."""
        return self.success(asked, reply.data, batch=reply, status=reply.status)

    def error(
        self, asked: Asked, error: EvaraError, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return what a client may know of *error*, with the headers that belong to it."""
        entry = entry_for(error)
        told = dict(headers or {})
        if isinstance(error, UnauthenticatedError):
            told["WWW-Authenticate"] = "Bearer"
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is None and entry.status == _UNAVAILABLE:
            retry_after_s = _RETRY_AFTER_S
        if retry_after_s is not None:
            told["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        if isinstance(error, InvalidJsonError):
            found = [ErrorDetail(code=entry.code, message="The body is not JSON", where="body")]
            return self._error(asked, entry, found, told)
        if self._naming is Naming.CAMEL:
            error = camel_error(error)
        return self._error(asked, entry, error_details(error), told)

    def framework_error(
        self,
        asked: Asked,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        details: Sequence[ErrorDetail] = (),
    ) -> Answer:
        """Return an error that the framework raised by itself, such as a 405."""
        return self._error(asked, framework_entry(status), details, headers or {})

    def invalid(self, asked: Asked, details: Sequence[ErrorDetail]) -> Answer:
        """Return the refusal of a request of which *details* tell what is wrong."""
        return self._error(asked, CATALOGUE["VALIDATION_ERROR"], details, {})

    def unexpected(self, asked: Asked) -> Answer:
        """Return the answer to a fault of ours."""
        return self._error(asked, CATALOGUE["INTERNAL_ERROR"], (), {})

    def unready(self, asked: Asked, failed: Sequence[str]) -> Answer:
        """Return the answer of a readiness check that found *failed*."""
        entry = CATALOGUE["SERVICE_UNAVAILABLE"]
        details = [
            ErrorDetail(code=entry.code, message=f"{name} is away", field=name) for name in failed
        ]
        headers = {"Retry-After": str(math.ceil(_RETRY_AFTER_S))}
        return self._error(asked, entry, details, headers)

    def _error(
        self,
        asked: Asked,
        entry: Entry,
        details: Sequence[ErrorDetail],
        headers: Mapping[str, str],
    ) -> Answer:
        found = details or (ErrorDetail(code=entry.code, message=entry.title),)
        media_type = _JSON
        if wants_problem(asked.headers.get("accept")):
            media_type = PROBLEM_MEDIA_TYPE
            body = problem_bytes(entry, found, request_id=asked.request_id, types=self._types)
        else:
            body = error_bytes(found, self._meta(asked), naming=self._naming)
        sent = {"Content-Type": media_type, "Cache-Control": "no-store", **headers}
        also = (("Vary", "Accept"), *asked.also)
        return Answer(status=entry.status, body=body, headers=(*sent.items(), *also))

    def _meta(self, asked: Asked, **more: Any) -> ResponseMeta:  # noqa: ANN401 - of the model
        return ResponseMeta(
            request_id=asked.request_id,
            timestamp=self._clock.now(),
            version=asked.version or self._version,
            **more,
        )

    def _encoded(self, data: Any) -> bytes:  # noqa: ANN401 - JSON is whatever it is
        if isinstance(data, bytes):
            return data
        if self._naming is Naming.CAMEL:
            data = camel_keys(data, keep=self._keep)
        return dump_json(data)

    @staticmethod
    def _page_bytes(page: Page[Any] | None) -> bytes:
        return b"" if page is None else pagination_of(page).model_dump_json().encode()

    @staticmethod
    def _links(asked: Asked, page: Page[Any]) -> tuple[tuple[str, str], ...]:
        url = quote(asked.path) + (f"?{asked.query}" if asked.query else "")
        return (("Link", render_links(page_links(url, page))),)
