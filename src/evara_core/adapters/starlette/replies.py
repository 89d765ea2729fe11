"""Answers in the envelope, and every error in the same shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evara_core._optional import provided_by
from evara_core.adapters.starlette.request_ids import request_id_of
from evara_core.api.catalogue import CATALOGUE, Entry, entry_for, framework_entry
from evara_core.api.details import error_details
from evara_core.api.envelope import (
    ErrorDetail,
    ResponseMeta,
    error_bytes,
    pagination_of,
    success_bytes,
)
from evara_core.errors import EvaraError, UnauthenticatedError

with provided_by("fastapi", package="starlette"):
    from starlette.exceptions import HTTPException
    from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.requests import Request

    from evara_core.clock import Clock
    from evara_core.query.paging import Page

__all__ = ["Replies"]

_JSON = "application/json"
_PRIVATE = "private, no-store"
_RETRY_AFTER_S = 5.0
_UNAVAILABLE = 503


class Replies:
    """Makes responses that all look alike.

    Args:
        clock: For `meta.timestamp`.
        version: Of the API, for `meta.version`.
    """

    def __init__(self, *, clock: Clock, version: str = "1") -> None:
        self._clock = clock
        self._version = version

    def success(
        self,
        request: Request,
        data: Any,  # noqa: ANN401 - JSON is whatever it is
        *,
        page: Page[Any] | None = None,
        is_cached: bool = False,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return *data* in the envelope. `bytes` are JSON already.

        It may be kept by nobody but the caller: whoever answers something public says so
        in *headers*.
        """
        meta = self._meta(
            request_id_of(request),
            cached=is_cached,
            pagination=None if page is None else pagination_of(page),
        )
        return Response(
            success_bytes(data, meta),
            status_code=status,
            media_type=_JSON,
            headers={"Cache-Control": _PRIVATE, **(headers or {})},
        )

    def error(self, request: Request, error: EvaraError) -> Response:
        """Return what a client may know of *error*, with the headers that belong to it."""
        entry = entry_for(error)
        headers = {}
        if isinstance(error, UnauthenticatedError):
            headers["WWW-Authenticate"] = "Bearer"
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is None and entry.status == _UNAVAILABLE:
            retry_after_s = _RETRY_AFTER_S
        if retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        return self._error(request_id_of(request), entry, error_details(error), headers)

    def framework_error(
        self,
        request: Request,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        details: Sequence[ErrorDetail] = (),
    ) -> Response:
        """Return an error that the framework raised by itself, such as a 405."""
        entry = framework_entry(status)
        return self._error(request_id_of(request), entry, details, headers or {})

    def invalid(self, request: Request, details: Sequence[ErrorDetail]) -> Response:
        """Return the refusal of a request of which *details* tell what is wrong."""
        return self._error(request_id_of(request), CATALOGUE["VALIDATION_ERROR"], details, {})

    def unexpected(self, request_id: str) -> Response:
        """Return the answer to a fault of ours."""
        return self._error(request_id, CATALOGUE["INTERNAL_ERROR"], (), {})

    def unready(self, request: Request, failed: Sequence[str]) -> Response:
        """Return the answer of a readiness check that found *failed*."""
        entry = CATALOGUE["SERVICE_UNAVAILABLE"]
        details = [
            ErrorDetail(code=entry.code, message=f"{name} is away", field=name) for name in failed
        ]
        headers = {"Retry-After": str(math.ceil(_RETRY_AFTER_S))}
        return self._error(request_id_of(request), entry, details, headers)

    def handlers(
        self,
    ) -> dict[Any, Callable[[Request, Any], Awaitable[Response]]]:
        """Return the exception handlers for a Starlette application."""

        async def on_error(request: Request, error: EvaraError) -> Response:
            return self.error(request, error)

        async def on_http_error(request: Request, error: HTTPException) -> Response:
            return self.framework_error(request, error.status_code, headers=error.headers)

        return {EvaraError: on_error, HTTPException: on_http_error}

    def _error(
        self,
        request_id: str,
        entry: Entry,
        details: Sequence[ErrorDetail],
        headers: Mapping[str, str],
    ) -> Response:
        found = details or (ErrorDetail(code=entry.code, message=entry.title),)
        return Response(
            error_bytes(found, self._meta(request_id)),
            status_code=entry.status,
            media_type=_JSON,
            headers={"Cache-Control": "no-store", **headers},
        )

    def _meta(self, request_id: str, **more: Any) -> ResponseMeta:  # noqa: ANN401 - of the model
        return ResponseMeta(
            request_id=request_id, timestamp=self._clock.now(), version=self._version, **more
        )
