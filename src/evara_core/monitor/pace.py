"""How many looks may go on at once: as many as the source bears. Decides, and waits for nothing.

When nearly all looks fail, half as many are taken; each that is answered allows a little more
again, as TCP does with its window. One bad node changes nothing: it is a small share of all looks.
"""

from __future__ import annotations

__all__ = ["Pace"]

_WEIGHT = 0.1
"""Of the newest look in the share of failures: the last ten count for two thirds."""

_TOO_MANY = 0.8
"""With half of the fleet dead the source is still well; with nearly all of it, it is not."""


class Pace:
    """The number of looks at once, between 1 and a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._allowed = float(limit)
        self._failing = 0.0
        self._since_cut = limit

    @property
    def allowed(self) -> int:
        """How many looks may be under way now."""
        return int(self._allowed)

    def answered(self) -> None:
        """Note that a look was answered."""
        self._failing -= _WEIGHT * self._failing
        self._since_cut += 1
        self._allowed = min(self._limit, self._allowed + 1.0 / self._allowed)

    def failed(self) -> None:
        """Note that a look was not answered, or answered that we ask too much."""
        self._failing += _WEIGHT * (1.0 - self._failing)
        self._since_cut += 1
        # What was under way at the last cut must end before it can be judged.
        if self._failing > _TOO_MANY and self._since_cut > self._allowed:
            self._allowed = max(1.0, self._allowed / 2)
            self._since_cut = 0
