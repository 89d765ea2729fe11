"""Bodies of requests, as `api.bodies` reads them."""

from __future__ import annotations

from typing import Any

from evara_core._optional import provided_by
from evara_core.errors import InvalidBodyError
from evara_core.serialization import load_json

with provided_by("fastapi", package="fastapi"):
    from fastapi import Request

__all__ = ["json_body", "request_body"]


async def json_body(request: Request) -> Any:  # noqa: ANN401 - JSON is whatever it is
    """Return the decoded body, whatever media type it claims.

    How long it may be is for `adapters.starlette.bodies.BodyLimitMiddleware` to say.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidBodyError: There is none.
    """
    body = await request.body()
    if not body:
        raise InvalidBodyError("", "is missing")
    return load_json(body)


def request_body(schema: dict[str, Any], *, media_type: str = "application/json") -> dict[str, Any]:
    """Return `openapi_extra=` for a route that takes such a body."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}
