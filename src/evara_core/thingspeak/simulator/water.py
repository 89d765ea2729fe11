"""Water: how much is where at a moment, from a seed alone.

Any moment can be asked without playing the time before it, so that a row costs the same
today and in ten years. The price is one rule per kind of asset that ties each day to a
known start; it is named in each class. Moments are seconds of local time, days begin
at 05:00, when cities are at rest.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.chance import Chance

__all__ = ["DAY_S", "FlowWater", "TankWater", "WellState", "WellWater", "ambient_c"]

DAY_S = 86_400
_DAWN_S = 5 * 3600
_STEP_S = 600
_STEPS = DAY_S // _STEP_S
_SUPPLY_STEPS = 12

# Relative use by hour of the day from 00:00: a morning peak, a smaller one in the evening.
_USE_BY_HOUR = (1, 1, 1, 1, 1, 3, 7, 9, 8, 5, 4, 4, 4, 4, 3, 3, 4, 5, 6, 6, 5, 4, 3, 2)


def _shares() -> tuple[float, ...]:
    """Return the part of a day's use that falls on each step, from dawn on."""
    total = sum(_USE_BY_HOUR) * 3600 / _STEP_S
    first = _DAWN_S // 3600
    hours = [_USE_BY_HOUR[(first + step * _STEP_S // 3600) % 24] for step in range(_STEPS)]
    return tuple(use / total for use in hours)


_SHARE = _shares()
_USED_BEFORE = (0.0, *accumulate(_SHARE))


def _split(at_s: float) -> tuple[int, float]:
    day, rest = divmod(at_s - _DAWN_S, DAY_S)
    return int(day), rest


def ambient_c(at_s: float, mean_c: float = 27.0, swing_c: float = 4.0) -> float:
    """Return the temperature of the air, warmest at 15:00."""
    return mean_c + swing_c * math.sin((at_s / DAY_S - 0.375) * math.tau)


class TankWater:
    """An overhead tank: people draw from it, a pump fills it between two marks.

    Each day starts at a seeded level, because the street's supply fills every tank
    between 03:00 and 05:00. A day is worked out in steps of ten minutes when it is asked.
    """

    def __init__(
        self,
        chance: Chance,
        *,
        height_cm: float,
        capacity_l: float,
        use_l_per_day: float,
        pump_l_per_min: float,
        dawn: tuple[float, float] = (0.78, 0.97),
        pump_sticks: bool = False,
    ) -> None:
        self._chance = chance
        self.height_cm = height_cm
        self._cm_per_l = height_cm / capacity_l
        self._use_l = use_l_per_day
        self._fill_cm = pump_l_per_min * _STEP_S / 60 * self._cm_per_l
        self._low_cm, self._high_cm = 0.35 * height_cm, 0.92 * height_cm
        self._dawn = dawn
        self._pump_sticks = pump_sticks
        self._days: dict[int, tuple[float, ...]] = {}

    def level_cm(self, at_s: float) -> float:
        """Return the height of the water: 0 to the height of the tank."""
        day, rest = _split(at_s)
        levels = self._days.get(day)
        if levels is None:
            if len(self._days) > 1:
                self._days.clear()
            levels = self._days[day] = self._play(day)
        position = rest / _STEP_S
        step = int(position)
        here = levels[step]
        return here + (levels[step + 1] - here) * (position - step)

    def _dawn_cm(self, day: int) -> float:
        return self.height_cm * self._chance.between(*self._dawn, day)

    def _play(self, day: int) -> tuple[float, ...]:
        level, top = self._dawn_cm(day), self.height_cm
        use_cm = self._use_l * self._chance.between(0.85, 1.15, day, 1) * self._cm_per_l
        pumping = self._pump_sticks
        levels = [level]
        for share in _SHARE[: _STEPS - _SUPPLY_STEPS]:
            level -= share * use_cm
            if pumping:
                level += self._fill_cm
                pumping = self._pump_sticks or level < self._high_cm
            elif level < self._low_cm:
                pumping = True
            level = min(max(level, 0.0), top)
            levels.append(level)
        rise = (self._dawn_cm(day + 1) - level) / _SUPPLY_STEPS
        levels += [level + rise * step for step in range(1, _SUPPLY_STEPS + 1)]
        return tuple(levels)


class WellState(NamedTuple):
    """A borewell at a moment; levels are metres below ground."""

    static_m: float
    dynamic_m: float
    is_pumping: bool
    is_dry: bool
    """The pump runs, and there is no water at its intake."""


class _Run(NamedTuple):
    start_s: float
    end_s: float
    drawdown_at_start_m: float
    drawdown_at_end_m: float


class WellWater:
    """A borewell: pumping draws the water down, rest lets it come back.

    Both follow an exponential. Each day starts at rest: the pump stops hours before
    dawn, and what is missing by then is millimetres.
    """

    def __init__(
        self,
        chance: Chance,
        *,
        static_m: float,
        pump_m: float,
        full_drawdown_m: float,
        fall_s: float = 1200.0,
        recovery_s: float = 2400.0,
    ) -> None:
        self._chance = chance
        self._static_m = static_m
        self.pump_m = pump_m
        self._full_m = full_drawdown_m
        self._fall_s = fall_s
        self._recovery_s = recovery_s
        self._days: dict[int, tuple[_Run, ...]] = {}

    def state(self, at_s: float) -> WellState:
        """Return how the well is."""
        day, rest = _split(at_s)
        runs = self._days.get(day)
        if runs is None:
            if len(self._days) > 1:
                self._days.clear()
            runs = self._days[day] = self._plan(day)
        static = self._rest_level_m(day, rest)
        drawdown, is_pumping = 0.0, False
        for run in reversed(runs):
            if rest >= run.end_s:
                drawdown = run.drawdown_at_end_m * math.exp((run.end_s - rest) / self._recovery_s)
                break
            if rest >= run.start_s:
                is_pumping = True
                drawdown = self._drawn(run.drawdown_at_start_m, rest - run.start_s)
                break
        is_dry = is_pumping and static + drawdown >= self.pump_m
        return WellState(static, min(static + drawdown, self.pump_m), is_pumping, is_dry)

    def _rest_level_m(self, day: int, rest_s: float) -> float:
        return self._static_m + 1.5 * math.sin((day + rest_s / DAY_S) * math.tau / 365)

    def _drawn(self, before_m: float, for_s: float) -> float:
        return self._full_m + (before_m - self._full_m) * math.exp(-for_s / self._fall_s)

    def _plan(self, day: int) -> tuple[_Run, ...]:
        chance = self._chance
        morning = chance.between(1.0, 1.4, day) * 3600
        noon = chance.between(7.0, 8.0, day, 1) * 3600
        evening = chance.between(11.5, 12.5, day, 2) * 3600
        starts = (morning, noon, evening)
        lengths = (
            chance.between(2.0, 3.0, day, 3) * 3600,
            chance.between(0.5, 1.0, day, 4) * 3600,
            chance.between(1.5, 2.5, day, 5) * 3600,
        )
        room_m = self.pump_m - self._rest_level_m(day, 0.0)
        runs: list[_Run] = []
        drawdown, ended = 0.0, 0.0
        for start, length in zip(starts, lengths, strict=True):
            before = drawdown * math.exp((ended - start) / self._recovery_s)
            drawdown = min(self._drawn(before, length), room_m)
            ended = start + length
            runs.append(_Run(start, ended, before, drawdown))
        return tuple(runs)


class FlowWater:
    """A pipe with a meter: the flow follows the day, the total never falls.

    The total at each dawn is the mean use times the days passed, give or take a seeded
    part of a day, so days differ and no sum over them is needed.
    """

    def __init__(
        self,
        chance: Chance,
        *,
        use_l_per_day: float,
        start_l: float,
        since_s: float,
        leak_l_per_min: float = 0.0,
    ) -> None:
        self._chance = chance
        self._use_l = use_l_per_day
        self._leak_l_per_s = leak_l_per_min / 60
        self._days: dict[int, tuple[float, float]] = {}
        self._start_l = 0.0
        self._start_l = start_l - self.total_l(since_s)
        self.peak_l_per_min = use_l_per_day * max(_SHARE) * 60 / _STEP_S * 1.3 + leak_l_per_min

    def total_l(self, at_s: float) -> float:
        """Return what the meter shows."""
        day, rest = _split(at_s)
        dawns = self._days.get(day)
        if dawns is None:
            if len(self._days) > 1:
                self._days.clear()
            dawns = self._days[day] = (self._at_dawn(day), self._at_dawn(day + 1))
        before, after = dawns
        position = rest / _STEP_S
        step = int(position)
        used = _USED_BEFORE[step] + _SHARE[step] * (position - step)
        return self._start_l + before + (after - before) * used + self._leak_l_per_s * at_s

    def flow_l_per_min(self, at_s: float, over_s: float) -> float:
        """Return the mean flow of the last *over_s* seconds."""
        return (self.total_l(at_s) - self.total_l(at_s - over_s)) * 60 / over_s

    def _at_dawn(self, day: int) -> float:
        return self._use_l * (day + self._chance.between(0.0, 0.3, day))
