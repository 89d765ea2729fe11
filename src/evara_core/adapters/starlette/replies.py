"""Answers in the envelope, and every error in the same shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core._optional import provided_by
from evara_core.adapters.answers import Answer, Answers, Asked
from evara_core.adapters.starlette.request_ids import asked_by
from evara_core.api.naming import Naming
from evara_core.errors import EvaraError

with provided_by("fastapi", package="starlette"):
    from starlette.exceptions import HTTPException
    from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.requests import HTTPConnection, Request

    from evara_core.adapters.answers import Freshness
    from evara_core.api.batch import BatchReply
    from evara_core.api.envelope import ErrorDetail
    from evara_core.clock import Clock
    from evara_core.query.paging import Page

__all__ = ["Replies", "response_of"]


class Replies:
    """Makes responses that all look alike: see `adapters.answers.Answers`, which decides.

    Args:
        clock: For `meta.timestamp`.
        version: Of the API, for `meta.version`.
        naming: How the names of members are written.
        keep: Members below which keys are data.
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
        self._answers = Answers(clock=clock, version=version, naming=naming, keep=keep, types=types)

    def success(
        self,
        request: Request,
        data: Any,  # noqa: ANN401 - JSON is whatever it is
        *,
        page: Page[Any] | None = None,
        is_cached: bool = False,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        freshness: Freshness | None = None,
    ) -> Response:
        """Return *data* in the envelope. `bytes` are JSON already.

        It may be kept by nobody, unless *freshness* or *headers* say otherwise.
        """
        answer = self._answers.success(
            asked_by(request),
            data,
            page=page,
            is_cached=is_cached,
            status=status,
            headers=headers,
            freshness=freshness,
        )
        return response_of(answer)

    def empty(self, request: Request) -> Response:
        """Return a 204: it is done, and there is nothing to show."""
        return response_of(self._answers.empty(asked_by(request)))

    def batch(self, request: Request, reply: BatchReply) -> Response:
        """Return the answer to a batch: 200 or 201 for all of it, 207 for its parts."""
        return response_of(self._answers.batch(asked_by(request), reply))

    def error(
        self,
        request: HTTPConnection,
        error: EvaraError,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return what a client may know of *error*, with the headers that belong to it."""
        return response_of(self._answers.error(asked_by(request), error, headers=headers))

    def framework_error(
        self,
        request: HTTPConnection,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        details: Sequence[ErrorDetail] = (),
    ) -> Response:
        """Return an error that the framework raised by itself, such as a 405."""
        asked = asked_by(request)
        answer = self._answers.framework_error(asked, status, headers=headers, details=details)
        return response_of(answer)

    def invalid(self, request: Request, details: Sequence[ErrorDetail]) -> Response:
        """Return the refusal of a request of which *details* tell what is wrong."""
        return response_of(self._answers.invalid(asked_by(request), details))

    def unexpected(self, request_id: str) -> Response:
        """Return the answer to a fault of ours."""
        return response_of(self._answers.unexpected(Asked(request_id=request_id)))

    def unready(self, request: Request, failed: Sequence[str]) -> Response:
        """Return the answer of a readiness check that found *failed*."""
        return response_of(self._answers.unready(asked_by(request), failed))

    def handlers(
        self,
    ) -> dict[Any, Callable[[Request, Any], Awaitable[Response]]]:
        """Return the exception handlers for a Starlette application."""

        async def on_error(request: Request, error: EvaraError) -> Response:
            return self.error(request, error)

        async def on_http_error(request: Request, error: HTTPException) -> Response:
            return self.framework_error(request, error.status_code, headers=error.headers)

        return {EvaraError: on_error, HTTPException: on_http_error}


def response_of(answer: Answer) -> Response:
    """Return *answer* as Starlette sends it."""
    response = Response(answer.body, status_code=answer.status)
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response
