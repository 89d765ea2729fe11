"""Event streams: a subscription of the hub, written as server-sent events from a thread.

The hub lives in an event loop. A *portal* into that loop, such as anyio's
`start_blocking_portal`, lets a thread of the WSGI server wait for what comes. Each open
stream holds one thread of the server.
"""

from __future__ import annotations

import logging
import random
from functools import partial
from typing import TYPE_CHECKING

from evara_core._optional import provided_by
from evara_core.adapters.frames import STREAM_HEADERS, frames_of, is_last, opening_frame
from evara_core.errors import ClosedError, UpstreamError
from evara_core.realtime.wire import Reconnect, event_frame

with provided_by("flask", package="flask"):
    from flask import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.from_thread import BlockingPortal

    from evara_core.realtime.ports import Delivery
    from evara_core.realtime.subscription import Subscription

__all__ = ["event_stream"]

_LOG = logging.getLogger(__name__)


def event_stream(
    subscription: Subscription,
    *,
    portal: BlockingPortal,
    encode: Callable[[Delivery], bytes] = event_frame,
    heartbeat_s: float = 15.0,
    reconnect: Reconnect = Reconnect(),
    chance: Callable[[], float] = random.random,
) -> Response:
    """Return a response that writes what *subscription* receives, and closes it at the end.

    A client that left is noticed at the next write, at the latest after *heartbeat_s*.

    Args:
        subscription: Of a hub in the loop of *portal*.
        portal: Into that loop.
        encode: Makes the event of a message; called once for all streams that it goes to.
        heartbeat_s: A comment after so long without news.
        reconnect: The pause that clients are told to make.
        chance: For the pause of each.
    """
    retry_ms = reconnect.draw_ms(chance)

    def frames() -> Iterator[bytes]:
        yield opening_frame(retry_ms=retry_ms, position=subscription.position)
        is_over = False
        while not is_over:
            try:
                items = portal.call(partial(subscription.receive, wait_s=heartbeat_s))
            except (ClosedError, UpstreamError) as error:
                # The client resumes where it was. Nothing can be said to it any more.
                _LOG.info("an event stream ends: %r", error)
                return
            is_over = is_last(items)
            position = subscription.position
            yield frames_of(items, encode, retry_ms=retry_ms, position=position)

    response = Response(frames(), content_type="text/event-stream", headers=STREAM_HEADERS)
    response.call_on_close(partial(portal.call, subscription.close))
    return response
