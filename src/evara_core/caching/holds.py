"""What is settling: invalidated a moment ago, and perhaps still read as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.caching.results import Request
    from evara_core.clock import Clock

__all__ = ["Holds"]


class Holds:
    """What was just invalidated and may still be read from a replica as it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def add(self, names: list[str], settle_s: float) -> None:
        """Keep nothing under *names* for *settle_s* seconds."""
        now_s = self._clock.elapsed_s()
        self._until_s = {name: end for name, end in self._until_s.items() if end > now_s}
        self._until_s.update(dict.fromkeys(names, now_s + settle_s))

    def cover(self, request: Request) -> bool:
        """Return whether *request* is to be loaded without keeping it."""
        return bool(self._until_s) and self.cover_names((request.text, *request.tags))

    def cover_names(self, names: Iterable[str]) -> bool:
        """Return whether one of *names* is still settling."""
        now_s = self._clock.elapsed_s()
        return any(now_s < self._until_s.get(name, 0.0) for name in names)
