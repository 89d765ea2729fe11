"""No body is longer than the application says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core._optional import provided_by

with provided_by("fastapi", package="starlette"):
    from starlette.datastructures import Headers
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from evara_core.adapters.starlette.replies import Replies

__all__ = ["BodyLimitMiddleware"]

_TOO_LARGE = 413
_MOST_DIGITS = 18


class BodyLimitMiddleware:
    """Refuses longer bodies with 413: at once when the length is told, else on the way.

    Flask has the setting `MAX_CONTENT_LENGTH` for it.

    Args:
        app: Below.
        replies: Makes the refusal.
        most_bytes: A batch of 1,000 nodes is about 300,000.
    """

    def __init__(self, app: ASGIApp, *, replies: Replies, most_bytes: int = 2_000_000) -> None:
        self._app = app
        self._replies = replies
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        if told.isascii() and told.isdigit():
            length = int(told[:_MOST_DIGITS])
            if length > self._most_bytes:
                refusal = self._replies.framework_error(HTTPConnection(scope), _TOO_LARGE)
                await refusal(scope, receive, send)
                return
        taken = 0

        async def receive_some() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most_bytes:
                raise HTTPException(_TOO_LARGE)
            return message

        await self._app(scope, receive_some, send)
