"""Versions of the API, in the path or in a header, before a view is looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evara_core._optional import provided_by
from evara_core.adapters.flask.requests import PATH_KEY, VERSION_KEY
from evara_core.api.versioning import VERSION_HEADER, split_version
from evara_core.errors import EvaraError

with provided_by("flask", package="flask"):
    from flask import request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from evara_core.api.versioning import Version, Versions

__all__ = ["VersionedPaths", "current_version"]

_ERROR_KEY: Final = "evara_core.version_error"
_HEADER: Final = f"HTTP_{VERSION_HEADER.upper().replace('-', '_')}"


class VersionedPaths:
    """Finds the version of a request, takes it out of the path, and sends its headers.

    `app.wsgi_app = VersionedPaths(app.wsgi_app, versions=…)`. See
    `adapters.starlette.versions.VersionMiddleware`, which does the same.

    Args:
        app: Below.
        versions: That answer.
        prefix: What stands before the version in the path, such as `/api`.
    """

    def __init__(self, app: WSGIApplication, *, versions: Versions, prefix: str = "") -> None:
        self._app = app
        self._versions = versions
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(f"{self._prefix}/"):
            return self._app(environ, start_response)
        in_path, rest = split_version(path[len(self._prefix) :])
        try:
            version = self._versions.choose(in_path=in_path, in_header=environ.get(_HEADER))
        except EvaraError as error:
            environ[_ERROR_KEY] = error
            return self._app(environ, start_response)
        environ |= {VERSION_KEY: version, PATH_KEY: path.encode("latin-1").decode(errors="replace")}
        if in_path is not None:
            environ["PATH_INFO"] = self._prefix + rest

        def start_with_version(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 - of WSGI
            return start_response(status, [*headers, *self._versions.headers(version)], *more)

        return self._app(environ, start_with_version)


def current_version() -> Version | None:
    """Return the version that answers this request; None where there is but one."""
    found: Version | None = request.environ.get(VERSION_KEY)
    return found


def refuse_version() -> None:
    """Refuse a request of a version that there is not: before the view is called."""
    error = request.environ.get(_ERROR_KEY)
    if error is not None:
        raise error
