"""Where the id of a request is found, and what else of it an answer depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.adapters.answers import Asked

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = [
    "ALSO_KEY",
    "PATH_KEY",
    "REQUEST_ID_KEY",
    "VERSION_KEY",
    "asked_by",
    "request_id_of",
    "version_of",
]

REQUEST_ID_KEY = "evara_request_id"
"""Where in the state of the ASGI scope the id lies."""

ALSO_KEY = "evara_headers"
"""Headers that the answer carries whatever it is."""

VERSION_KEY = "evara_version"
PATH_KEY = "evara_path"
"""The path as it was sent, where the version was taken out of it."""


def request_id_of(connection: HTTPConnection) -> str:
    """Return the id that `RequestIdMiddleware` gave; empty where it does not run."""
    found: str = connection.scope.get("state", {}).get(REQUEST_ID_KEY, "")
    return found


def version_of(connection: HTTPConnection) -> str | None:
    """Return the name of the version that answers; None where there is but one."""
    found: str | None = connection.scope.get("state", {}).get(VERSION_KEY)
    return found


def asked_by(connection: HTTPConnection) -> Asked:
    """Return what the answer to *connection* depends on."""
    scope = connection.scope
    return Asked(
        request_id=request_id_of(connection),
        method=scope.get("method", "GET"),
        path=scope.get("state", {}).get(PATH_KEY) or scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=connection.headers,
        version=version_of(connection),
        also=tuple(scope.get("state", {}).get(ALSO_KEY, ())),
    )
