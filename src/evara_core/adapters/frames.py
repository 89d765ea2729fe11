"""What a subscription received, as the bytes of server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.realtime.subscription import Bye, Event, Resync
from evara_core.realtime.wire import (
    bye_frame,
    heartbeat_frame,
    resync_frame,
    retry_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evara_core.realtime.ports import BusPosition, Delivery
    from evara_core.realtime.subscription import Item

__all__ = ["STREAM_HEADERS", "frames_of", "is_last", "opening_frame"]

STREAM_HEADERS = {
    # "no-transform" and "X-Accel-Buffering" keep proxies from collecting what is to flow.
    "Cache-Control": "private, no-store, no-transform",
    "X-Accel-Buffering": "no",
}


def opening_frame(*, retry_ms: int, position: BusPosition | None) -> bytes:
    """Return how a stream begins: what to do after a break, and where it stands."""
    place = b"" if position is None else heartbeat_frame(position)
    return retry_frame(retry_ms) + place


def frames_of(
    items: Sequence[Item],
    encode: Callable[[Delivery], bytes],
    *,
    retry_ms: int,
    position: BusPosition | None = None,
) -> bytes:
    """Return the events of *items*; a heartbeat when there are none.

    A heartbeat says that everything up to *position* was sent.
    """
    frames = b"".join(_frame(item, encode, retry_ms) for item in items)
    return frames or heartbeat_frame(position)


def is_last(items: Sequence[Item]) -> bool:
    """Return whether the stream ends with *items*."""
    return bool(items) and isinstance(items[-1], Bye)


def _frame(item: Item, encode: Callable[[Delivery], bytes], retry_ms: int) -> bytes:
    match item:
        case Event():
            return item.encoded(encode)
        case Resync():
            return resync_frame()
        case Bye(code):
            return bye_frame(code, is_resumable=code.is_resumable, retry_ms=retry_ms)
