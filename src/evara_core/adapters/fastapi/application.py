"""Bring an application to our shape of answers, errors and access."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from evara_core._optional import provided_by
from evara_core.adapters.fastapi.callers import Guard, count_refusal, keep_guard
from evara_core.adapters.fastapi.routes import check_routes
from evara_core.adapters.starlette.middleware import RequestIdMiddleware
from evara_core.adapters.starlette.replies import Replies
from evara_core.adapters.validation import details_of
from evara_core.api.envelope import ErrorDetail
from evara_core.errors import EvaraError
from evara_core.ids import IdSource

with provided_by("fastapi", package="fastapi"):
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError

__all__ = ["install", "validation_details"]


def install(
    app: FastAPI,
    *,
    replies: Replies,
    ids: IdSource,
    guard: Guard,
    open_paths: Mapping[str, str] | None = None,
) -> None:
    """Make *app* answer as evara_core does. Call it once, after its routes are there.

    All errors, also those of the framework, get the one shape; every request has an id; the
    dependencies of `adapters.fastapi.callers` work.

    Args:
        app: Yours.
        replies: Makes the answers.
        ids: Makes request ids.
        guard: Knows callers and permissions.
        open_paths: Path → reason, for routes without dependencies that everybody may use.

    Raises:
        ConfigurationError: A route says not who may call it, or wants an unknown permission.
    """
    check_routes(app, guard.policy, open_paths=open_paths)
    keep_guard(app, guard)
    for kind, handler in replies.handlers().items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(EvaraError, _on_refusal(replies))
    app.add_exception_handler(RequestValidationError, _on_invalid(replies))
    app.add_middleware(RequestIdMiddleware, ids=ids, replies=replies)


def validation_details(error: RequestValidationError) -> list[ErrorDetail]:
    """Return what is wrong with a request, in our words where FastAPI found it.

    What was sent is not repeated: it may be long, and it may be a secret.
    """
    return details_of(error.errors())


def _on_refusal(replies: Replies) -> Callable[[Request, Any], Awaitable[Response]]:
    async def handler(request: Request, error: EvaraError) -> Response:
        count_refusal(request, error)
        return replies.error(request, error)

    return handler


def _on_invalid(replies: Replies) -> Callable[[Request, Any], Awaitable[Response]]:
    async def handler(request: Request, error: RequestValidationError) -> Response:
        return replies.invalid(request, validation_details(error))

    return handler
