"""Versions of the API, in the path or in a header, before a route is looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core._optional import provided_by
from evara_core.adapters.starlette.request_ids import PATH_KEY, VERSION_KEY
from evara_core.api.versioning import VERSION_HEADER, split_version
from evara_core.errors import EvaraError

with provided_by("fastapi", package="starlette"):
    from starlette.datastructures import MutableHeaders
    from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from evara_core.adapters.starlette.replies import Replies
    from evara_core.api.versioning import Versions

__all__ = ["VersionMiddleware"]

_SERVED = frozenset({"http", "websocket"})


class VersionMiddleware:
    """Finds the version of a request, takes it out of the path, and sends its headers.

    Add it before `RequestIdMiddleware`, which is to be outermost. `/api/v2/nodes` and
    `/api/nodes` with `X-API-Version: 2` reach the route `/api/nodes`.

    Args:
        app: Below.
        versions: That answer.
        replies: Makes the refusals.
        prefix: What stands before the version in the path, such as `/api`. Paths elsewhere
            have no version.
    """

    def __init__(
        self, app: ASGIApp, *, versions: Versions, replies: Replies, prefix: str = ""
    ) -> None:
        self._app = app
        self._versions = versions
        self._replies = replies
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        path = scope.get("path", "")
        if scope["type"] not in _SERVED or not path.startswith(f"{self._prefix}/"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        in_path, rest = split_version(path[len(self._prefix) :])
        asked = connection.headers.get(VERSION_HEADER)
        try:
            version = self._versions.choose(in_path=in_path, in_header=asked)
        except EvaraError as error:
            if scope["type"] == "http":
                await self._replies.error(connection, error)(scope, receive, send)
            else:
                # Without a route it is refused: a socket has no body to say more in.
                await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state |= {VERSION_KEY: version.name, PATH_KEY: path}
        inner = dict(scope)
        if in_path is not None:
            inner["path"] = self._prefix + rest
            inner.pop("raw_path", None)

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._versions.headers(version):
                    headers.append(name, value)
            await send(message)

        await self._app(inner, receive, send_with_version)
