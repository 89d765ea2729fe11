"""What a bus must do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Batch", "Bus", "BusPosition", "Delivery", "Message"]

BusPosition: TypeAlias = str
"""A place in a stream, opaque: it comes from a bus and means something only to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that happened, as the outbox stored it."""

    message_id: str
    """Of the outbox row: the same however often it is delivered."""

    kind: str
    """`reading`, `node` or `alert`."""

    key: str
    """What it is about, such as the node id. Newer news of the same kind and key replaces
    older, except for alerts."""

    topics: tuple[str, ...]
    """Who may hear it: `access.tenancy.Tenancy.topics`."""

    body: bytes
    """JSON, encoded once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message and its place in the stream."""

    position: BusPosition
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What came after a position."""

    deliveries: tuple[Delivery, ...]
    position: BusPosition
    """Read on from here, also when nothing came."""

    has_gap: bool = False
    """Messages between the asked position and these are gone: history is bounded."""


class Bus(Protocol):
    """A stream of messages with a bounded history. One process reads it once.

    Whoever implements this runs `evara_core.testing.conformance.realtime` against it.
    """

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append *messages*, in order. When it returns, every reader can get them.

        Raises:
            UpstreamError: It cannot be said whether they were appended. Publish again:
                readers tell repetitions by `message_id`.
        """
        ...

    async def end(self) -> BusPosition:
        """Return the position after which nothing has been published yet."""
        ...

    async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
        """Return at most *limit* messages after *after*, waiting up to *wait_s* for the first.

        A position that this bus does not know (damaged, or from before a restart that lost
        the history) reads from the oldest message that is there, with `has_gap`.

        Raises:
            UpstreamError: The bus is away. The position stays good.
        """
        ...

    def is_after(self, position: BusPosition, other: BusPosition) -> bool:
        """Say whether *position* lies later in the stream than *other*.

        False when either of them means nothing to this bus.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what it holds. Waiting readers return with nothing, soon.

        Whoever uses it afterwards gets a `ClosedError`.
        """
        ...
