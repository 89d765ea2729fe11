"""The service's own cache of large answers: why a poll of `results=8000` returns old rows."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.request import Reply

__all__ = ["ReplyCache"]


class ReplyCache:
    """Answers, each repeated until it is *keep_s* old."""

    def __init__(self, *, keep_s: int = 300, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[object, tuple[int, Reply]] = OrderedDict()

    def get(self, key: object, *, now_s: int) -> Reply | None:
        """Return the kept answer, if it is young enough."""
        found = self._kept.get(key)
        if found is None or not 0 <= now_s - found[0] < self._keep_s:
            return None
        return found[1]

    def put(self, key: object, reply: Reply, *, now_s: int) -> None:
        """Keep *reply*, letting the oldest answers go when there are too many bytes."""
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= len(old[1].body)
        self._kept[key] = (now_s, reply)
        self._bytes += len(reply.body)
        while self._bytes > self._max_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= len(gone.body)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0
