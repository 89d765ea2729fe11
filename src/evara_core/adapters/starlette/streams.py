"""Event streams: a subscription of the hub, written as server-sent events."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

import anyio

from evara_core._optional import provided_by
from evara_core.adapters.frames import STREAM_HEADERS, frames_of, is_last, opening_frame
from evara_core.errors import ClosedError, UpstreamError
from evara_core.realtime.wire import Reconnect, event_frame

with provided_by("fastapi", package="starlette"):
    from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from evara_core.realtime.ports import Delivery
    from evara_core.realtime.subscription import Subscription

__all__ = ["EventStreamResponse"]

_LOG = logging.getLogger(__name__)


class EventStreamResponse(Response):
    """Writes what a subscription receives until either side ends it; then closes it.

    Args:
        subscription: Of the hub. It is closed in any case.
        encode: Makes the event of a message; called once for all streams that it goes to.
        heartbeat_s: A comment after so long without news. Proxies close what is silent for 60 s.
        send_timeout_s: A write that a client does not take for so long ends the stream.
        reconnect: The pause that clients are told to make.
        chance: For the pause of each.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        subscription: Subscription,
        *,
        encode: Callable[[Delivery], bytes] = event_frame,
        heartbeat_s: float = 15.0,
        send_timeout_s: float = 10.0,
        reconnect: Reconnect = Reconnect(),
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(headers=STREAM_HEADERS)
        del self.headers["content-length"]
        self._subscription = subscription
        self._encode = encode
        self._heartbeat_s = heartbeat_s
        self._send_timeout_s = send_timeout_s
        self._retry_ms = reconnect.draw_ms(chance)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        del scope
        with self._subscription:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, receive, tasks.cancel_scope.cancel)
                try:
                    await self._write(send)
                except (TimeoutError, ClosedError, UpstreamError, OSError) as error:
                    # The client resumes where it was. Nothing can be said to it any more.
                    _LOG.info("an event stream ends: %r", error)
                tasks.cancel_scope.cancel()

    @staticmethod
    async def _listen(receive: Receive, leave: Callable[[], None]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        leave()

    async def _write(self, send: Send) -> None:
        with anyio.fail_after(self._send_timeout_s):
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
        body = opening_frame(retry_ms=self._retry_ms, position=self._subscription.position)
        is_over = False
        while not is_over:
            with anyio.fail_after(self._send_timeout_s):
                await send({"type": "http.response.body", "body": body, "more_body": True})
            items = await self._subscription.receive(wait_s=self._heartbeat_s)
            is_over = is_last(items)
            body = frames_of(
                items,
                self._encode,
                retry_ms=self._retry_ms,
                position=self._subscription.position,
            )
        with anyio.fail_after(self._send_timeout_s):
            await send({"type": "http.response.body", "body": body})
