"""Bring an application to our shape of answers, errors and access."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from evara_core._optional import provided_by
from evara_core.adapters.fastapi.callers import Guard, keep_guard
from evara_core.adapters.fastapi.routes import check_routes
from evara_core.adapters.starlette.middleware import RequestIdMiddleware
from evara_core.adapters.starlette.replies import Replies
from evara_core.api.envelope import ErrorDetail
from evara_core.ids import IdSource

with provided_by("fastapi", package="fastapi"):
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError

__all__ = ["install", "validation_details"]

_PLACES: Final[dict[str, Literal["query", "path", "header", "cookie", "body"]]] = {
    "query": "query",
    "path": "path",
    "header": "header",
    "cookie": "cookie",
    "body": "body",
}
_JSON_INVALID: Final = "json_invalid"
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_MOST_DETAILS: Final = 50


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
    app.add_exception_handler(RequestValidationError, _on_invalid(replies))
    app.add_middleware(RequestIdMiddleware, ids=ids, replies=replies)


def validation_details(error: RequestValidationError) -> list[ErrorDetail]:
    """Return what is wrong with a request, in our words where FastAPI found it.

    What was sent is not repeated: it may be long, and it may be a secret.
    """
    return [_detail(found) for found in error.errors()[:_MOST_DETAILS]]


def _on_invalid(replies: Replies) -> Callable[[Request, Any], Awaitable[Response]]:
    async def handler(request: Request, error: RequestValidationError) -> Response:
        return replies.invalid(request, validation_details(error))

    return handler


def _detail(found: Mapping[str, Any]) -> ErrorDetail:
    where, *path = found["loc"]
    place = _PLACES.get(str(where))
    if found["type"] == _JSON_INVALID:
        return ErrorDetail(code="INVALID_JSON", message="The body is not JSON", where="body")
    names = [_UNPRINTABLE.sub("?", str(part))[:100] for part in path]
    pointer = "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in names)
    return ErrorDetail(
        code="VALIDATION_ERROR",
        message=str(found["msg"]),
        field=".".join(names) or None,
        where=place,
        pointer=pointer if place == "body" else None,
    )
