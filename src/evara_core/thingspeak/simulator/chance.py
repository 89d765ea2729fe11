"""Chance that can be asked again: the same numbers give the same answer, in any order.

Generators with a state would make a row depend on the rows that were asked before it.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

__all__ = ["Chance"]

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_TABLE_SIZE = 1024


def _mixed(state: int) -> int:
    """Scramble 64 bits: the finalizer of SplitMix64 (Steele, Lea, Flood, 2014)."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
    return state ^ (state >> 31)


@cache
def _bell() -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(
        normal.inv_cdf((_mixed(k * _STEP & _MASK) + 0.5) / 2**64) for k in range(_TABLE_SIZE)
    )


class Chance:
    """Numbers that follow from a seed and from what they are asked for."""

    __slots__ = ("_bell", "_state")

    def __init__(self, *seeds: int) -> None:
        self._state = 0
        for seed in seeds:
            self._state = _mixed((self._state + (seed + 1) * _STEP) & _MASK)
        self._bell = _bell()

    def at(self, *numbers: int) -> float:
        """Return a number in [0, 1)."""
        return (self.bits(*numbers) >> 11) / 2**53

    def bits(self, *numbers: int) -> int:
        """Return 64 bits."""
        state = self._state
        for number in numbers:
            state = _mixed((state + (number + 1) * _STEP) & _MASK)
        return state

    def between(self, low: float, high: float, *numbers: int) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.at(*numbers)

    def noise(self, number: int, lane: int = 0) -> float:
        """Return measurement noise of mean 0 and deviation 1: cheap, repeating after 1,024."""
        return self._bell[(number * 389 + self._state + lane * 131) & (_TABLE_SIZE - 1)]
