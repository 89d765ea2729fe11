"""A snapshot, and the place in the stream to go on from, with no hole in between.

The place is taken *before* the snapshot is read. Whatever is told up to it was committed
before, since messages go out after their commit, so the snapshot has it. Whatever comes
after it is told. What happens in between is in both, which harms nobody: newer values replace
older ones, and an alert has an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.realtime.hub import Hub
    from evara_core.realtime.ports import BusPosition

__all__ = ["Snapshot", "snapshot"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Generic[T]):
    """How things stood, at the earliest, when the stream stood at `position`."""

    position: BusPosition
    data: T


async def snapshot(hub: Hub, read: Callable[[], Awaitable[T]]) -> Snapshot[T]:
    """Return what *read* finds, and from where on to listen.

    *read* must see all that is committed by now: it goes past caches, and to no replica that
    may lag behind.

    Raises:
        UpstreamError: The hub has not reached the bus yet.
    """
    position = hub.position
    return Snapshot(position=position, data=await read())
