"""A bounded map that knows what to let go of.

SIEVE (Zhang and others, NSDI 2024): entries stand in the order of their arrival, a hit sets
one bit and moves nothing, and a hand walks from the oldest towards the newest. It clears
the bits that it meets and takes the first entry without one. A scan that touches everything
once pushes out nobody who is asked for again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from evara_core.errors import ConfigurationError

__all__ = ["SieveMap", "SieveNode"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SieveNode(Generic[K, V]):
    """A place in the map."""

    __slots__ = ("key", "newer", "older", "size", "value", "was_hit")

    def __init__(self, key: K, value: V, size: int) -> None:
        self.key = key
        self.value = value
        self.size = size
        self.was_hit = False
        self.newer: SieveNode[K, V] | None = None
        self.older: SieveNode[K, V] | None = None


class SieveMap(Generic[K, V]):
    """Values under keys, as many as fit. Not safe across threads: its owner locks.

    Raises:
        ConfigurationError: A bound is not above zero.
    """

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        if max_entries <= 0 or max_bytes <= 0:
            raise ConfigurationError("a cache needs room for at least one entry and one byte")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.nodes: dict[K, SieveNode[K, V]] = {}
        """For a look without a call. Whoever finds what it wants sets `was_hit`."""

        self._oldest: SieveNode[K, V] | None = None
        self._newest: SieveNode[K, V] | None = None
        self._hand: SieveNode[K, V] | None = None
        self.size_bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self.nodes)

    def get(self, key: K) -> V | None:
        """Return the value, and remember that it was asked for."""
        node = self.nodes.get(key)
        if node is None:
            return None
        node.was_hit = True
        return node.value

    def peek(self, key: K) -> V | None:
        """Return the value without a trace."""
        node = self.nodes.get(key)
        return None if node is None else node.value

    def put(self, key: K, value: V, *, size: int) -> bool:
        """Keep *value*, letting go of others if it must; return whether it is kept.

        What takes more than an eighth of all bytes is not: one entry would cost too many.
        Then the key holds nothing.
        """
        self.drop(key)
        if size > max(1, self._max_bytes // 8):
            return False
        while self.nodes and (
            len(self.nodes) >= self._max_entries or self.size_bytes + size > self._max_bytes
        ):
            self._evict()
        node = SieveNode(key, value, size)
        node.older = self._newest
        if self._newest is not None:
            self._newest.newer = node
        self._newest = node
        self._oldest = self._oldest or node
        self.nodes[key] = node
        self.size_bytes += size
        return True

    def drop(self, key: K) -> V | None:
        """Forget *key*; return what it held."""
        node = self.nodes.pop(key, None)
        if node is None:
            return None
        self._unlink(node)
        return node.value

    def clear(self) -> None:
        """Forget everything."""
        self.nodes.clear()
        self._oldest = self._newest = self._hand = None
        self.size_bytes = 0

    def oldest(self, count: int) -> list[tuple[K, V]]:
        """Return up to *count* entries from where the hand stands, for a look at their age."""
        found: list[tuple[K, V]] = []
        node = self._hand or self._oldest
        while node is not None and len(found) < count:
            found.append((node.key, node.value))
            node = node.newer
        return found

    def _evict(self) -> None:
        node = self._hand or self._oldest
        while node is not None and node.was_hit:
            node.was_hit = False
            node = node.newer or self._oldest
        assert node is not None, "there is something to evict"
        self._hand = node.newer
        del self.nodes[node.key]
        self._unlink(node)
        self.evictions += 1

    def _unlink(self, node: SieveNode[K, V]) -> None:
        if self._hand is node:
            self._hand = node.newer
        if node.older is None:
            self._oldest = node.newer
        else:
            node.older.newer = node.newer
        if node.newer is None:
            self._newest = node.older
        else:
            node.newer.older = node.older
        node.older = node.newer = None
        self.size_bytes -= node.size
