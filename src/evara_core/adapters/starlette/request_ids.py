"""Where the id of a request is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["REQUEST_ID_KEY", "request_id_of"]

REQUEST_ID_KEY = "evara_request_id"
"""Where in the state of the ASGI scope the id lies."""


def request_id_of(connection: HTTPConnection) -> str:
    """Return the id that `RequestIdMiddleware` gave; empty where it does not run."""
    found: str = connection.scope.get("state", {}).get(REQUEST_ID_KEY, "")
    return found
