"""Devices that report on a grid of time, and the ways in which their sensors fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from typing_extensions import override

from evara_core.thingspeak.simulator.history import Device, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evara_core.thingspeak.simulator.chance import Chance

    Values = tuple[str | None, ...]

__all__ = [
    "JUNK",
    "Flaw",
    "Junk",
    "Measure",
    "PeriodicDevice",
    "Silence",
    "Spikes",
    "Stuck",
    "WaterClock",
]

JUNK = ("nan", "", "ERR", "-", None, "54\r\n", "12,5", "18:1:39", "-inf")
"""What real channels hold in place of numbers."""


class Measure(Protocol):
    """What a device would send."""

    def __call__(self, at_s: float, slot: int) -> Values:
        """Return the eight values at the water's moment *at_s*; *slot* numbers the noise."""
        ...


class WaterClock(NamedTuple):
    """How the water's time follows from the reports' time."""

    epoch_s: int
    water_s: float
    """What time it is for the water at *epoch_s*."""

    pace: float = 1.0
    """Seconds of water in a second of reports: 60 shows a day in 24 minutes."""

    def at(self, report_s: float) -> float:
        """Return the water's moment for a report."""
        return self.water_s + (report_s - self.epoch_s) * self.pace


class Silence(NamedTuple):
    """Nothing is sent for *length* slots, from slot *first* of every *period*."""

    period: int
    first: int
    length: int

    def sent(self, slots: int) -> int:
        """Return how many of the first *slots* slots were sent."""
        full, rest = divmod(slots, self.period)
        quiet = min(max(rest - self.first, 0), self.length)
        return full * (self.period - self.length) + rest - quiet

    def slot(self, number: int) -> int:
        """Return the slot of the report *number*."""
        full, rest = divmod(number, self.period - self.length)
        return full * self.period + (rest if rest < self.first else rest + self.length)


class Flaw(Protocol):
    """Something wrong with a sensor."""

    def spoil(self, slot: int, values: Values, at_slot: Callable[[int], Values]) -> Values:
        """Return what is sent instead of *values*; *at_slot* tells what other slots measured."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck(Flaw):
    """A field repeats one value for *length* slots of every *period*."""

    field: int
    period: int
    first: int
    length: int

    @override
    def spoil(self, slot: int, values: Values, at_slot: Callable[[int], Values]) -> Values:
        since = slot % self.period - self.first
        if not 0 < since < self.length:
            return values
        return _with(values, self.field, at_slot(slot - since)[self.field - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Spikes(Flaw):
    """Single samples jump to a value that cannot be."""

    field: int
    chance: Chance
    probability: float
    value: str

    @override
    def spoil(self, slot: int, values: Values, at_slot: Callable[[int], Values]) -> Values:
        if self.chance.at(slot) >= self.probability:
            return values
        return _with(values, self.field, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Junk(Flaw):
    """Single samples are text that is no number, an empty text, or missing."""

    field: int
    chance: Chance
    probability: float
    texts: Sequence[str | None] = JUNK

    @override
    def spoil(self, slot: int, values: Values, at_slot: Callable[[int], Values]) -> Values:
        if self.chance.at(slot) >= self.probability:
            return values
        return _with(values, self.field, self.texts[int(self.chance.at(slot, 1) * len(self.texts))])


class PeriodicDevice(Device):
    """Reports every *interval_s*, the first time *phase_s* after the clock's epoch."""

    def __init__(
        self,
        measure: Measure,
        *,
        clock: WaterClock,
        interval_s: int,
        phase_s: int = 0,
        flaws: Sequence[Flaw] = (),
        silence: Silence | None = None,
    ) -> None:
        self._measure = measure
        self._clock = clock
        self._interval_s = interval_s
        self._first_s = clock.epoch_s + phase_s
        self._flaws = tuple(flaws)
        self._silence = silence

    @override
    def count(self, at_s: int) -> int:
        slots = (at_s - self._first_s) // self._interval_s + 1
        if slots <= 0:
            return 0
        return slots if self._silence is None else self._silence.sent(slots)

    @override
    def rows(self, first: int, stop: int) -> list[Row]:
        silence = self._silence
        rows: list[Row] = []
        for number in range(first, stop):
            slot = number if silence is None else silence.slot(number)
            values = self._at_slot(slot)
            for flaw in self._flaws:
                values = flaw.spoil(slot, values, self._at_slot)
            rows.append(Row(number + 1, self._first_s + slot * self._interval_s, values))
        return rows

    def _at_slot(self, slot: int) -> Values:
        at_s = self._clock.at(self._first_s + slot * self._interval_s)
        return self._measure(at_s, slot)


def _with(values: Values, field: int, value: str | None) -> Values:
    return (*values[: field - 1], value, *values[field:])
