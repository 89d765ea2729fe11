"""ASGI messages that several WebSockets get alike, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core.realtime.subscription import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.realtime.encoding import Encoding
    from evara_core.realtime.subscription import Item

__all__ = ["ReadyFrames"]


class ReadyFrames:
    """The newest frames of one encoding.

    Clients that hear the same have the same waiting when they are written to in one turn.

    Args:
        encoding: Of the frames.
        most: How many are held. Clients of one role and place share one; each is some 100 KB
            at most, by `HubLimits.batch`.
    """

    def __init__(self, encoding: Encoding, *, most: int = 16) -> None:
        self._encoding = encoding
        self._most = most
        self._made: dict[tuple[Item, ...], dict[str, Any]] = {}

    def message(self, items: Sequence[Item]) -> dict[str, Any] | None:
        """Return the message that carries *items*; None when they are not all events."""
        key = tuple(items)
        found = self._made.get(key)
        if found is not None:
            return found
        encode = self._encoding.event
        encoded = [item.encoded(encode) for item in items if isinstance(item, Event)]
        if not encoded or len(encoded) < len(items):
            return None
        frame = self._encoding.events(encoded)
        content = {"text": frame.decode()} if self._encoding.is_text else {"bytes": frame}
        found = {"type": "websocket.send", **content}
        while len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[key] = found
        return found
