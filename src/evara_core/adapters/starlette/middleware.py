"""Every request has an id, and nothing that goes wrong escapes as a traceback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evara_core._optional import provided_by
from evara_core.adapters.starlette.request_ids import REQUEST_ID_KEY
from evara_core.api.request_ids import REQUEST_ID_HEADER, sane_request_id

with provided_by("fastapi", package="starlette"):
    from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from evara_core.adapters.starlette.replies import Replies
    from evara_core.ids import IdSource

__all__ = ["RequestIdMiddleware"]

_LOG = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Takes over a sane `X-Request-ID` or makes one, and answers for what nobody else caught.

    Pure ASGI: it buffers nothing, so that event streams pass. Add it last, so that it is
    outermost. An exception that reaches it is logged with its traceback and answered with a
    500 that says the request id and nothing else.
    """

    def __init__(self, app: ASGIApp, *, ids: IdSource, replies: Replies) -> None:
        self._app = app
        self._ids = ids
        self._replies = replies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        sent = sane_request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
        request_id = sent or str(self._ids.new())
        scope.setdefault("state", {})[REQUEST_ID_KEY] = request_id
        has_begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _LOG.exception("request %s failed", request_id)
            if scope["type"] != "http" or has_begun:
                raise
            response: Response = self._replies.unexpected(request_id)
            await response(scope, receive, send_with_id)
