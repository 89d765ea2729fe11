"""Water obeys its laws at every moment, in whatever order the moments are asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.thingspeak.simulator.chance import Chance
from evara_core.thingspeak.simulator.water import (
    DAY_S,
    FlowWater,
    TankWater,
    WellWater,
    ambient_c,
)

seeds = st.integers(0, 2**32)
moments = st.floats(0, 20_000 * DAY_S)


def tank_of(seed, **changes):
    options = {"height_cm": 200.0, "capacity_l": 10_000.0, "use_l_per_day": 9000.0} | changes
    return TankWater(Chance(seed), **({"pump_l_per_min": 55.0} | options))


def well_of(seed, *, pump_m=45.0, full_drawdown_m=12.0):
    return WellWater(Chance(seed), static_m=30.0, pump_m=pump_m, full_drawdown_m=full_drawdown_m)


def flow_of(seed, leak_l_per_min=0.0):
    return FlowWater(
        Chance(seed), use_l_per_day=40_000, start_l=1000.0, since_s=0.0,
        leak_l_per_min=leak_l_per_min,
    )  # fmt: skip


@given(seeds, moments)
def test_a_tank_is_never_fuller_than_full_nor_emptier_than_empty(seed, at_s):
    for tank in (tank_of(seed), tank_of(seed, use_l_per_day=40_000.0, pump_l_per_min=0.0)):
        assert 0.0 <= tank.level_cm(at_s) <= tank.height_cm


@given(seeds, moments)
def test_the_level_does_not_jump(seed, at_s):
    tank = tank_of(seed)

    # In ten minutes: the pump's 550 l and what people draw, at most some 2 % of a day.
    change_cm = abs(tank.level_cm(at_s + 600) - tank.level_cm(at_s))

    assert change_cm < 20


@given(seeds, moments, moments)
def test_moments_can_be_asked_in_any_order(seed, one_s, other_s):
    asked, fresh = tank_of(seed), tank_of(seed)
    asked.level_cm(other_s)

    assert asked.level_cm(one_s) == fresh.level_cm(one_s)
    assert well_of(seed).state(one_s) == well_of(seed).state(one_s)
    assert flow_of(seed).total_l(one_s) == flow_of(seed).total_l(one_s)


def test_a_tank_drains_in_the_morning_and_is_filled_by_its_pump():
    tank = tank_of(3)
    day = [tank.level_cm(hour * 3600) for hour in range(5, 29)]

    assert day[4] < day[0]
    assert min(day) > 0.25 * tank.height_cm
    assert any(later > earlier + 10 for earlier, later in pairwise(day))


def test_a_tank_whose_pump_is_broken_runs_empty_and_one_whose_pump_sticks_stays_full():
    empty = tank_of(1, use_l_per_day=18_000.0, pump_l_per_min=0.0, dawn=(0.4, 0.46))
    full = tank_of(1, pump_sticks=True)

    assert empty.level_cm(10 * 3600) == 0.0
    assert full.level_cm(12 * 3600) == full.height_cm


@given(seeds, moments)
def test_a_well_is_between_rest_and_its_pump(seed, at_s):
    state = well_of(seed, pump_m=38.0).state(at_s)

    assert 28.0 < state.static_m <= state.dynamic_m <= 38.0
    assert state.is_pumping or not state.is_dry
    assert not state.is_dry or state.dynamic_m == 38.0


@given(seeds, moments)
def test_the_water_in_a_well_does_not_jump(seed, at_s):
    well = well_of(seed)

    # It falls fastest when the pump starts: 12 m with a time constant of 20 minutes.
    assert abs(well.state(at_s + 60).dynamic_m - well.state(at_s).dynamic_m) < 0.65


@given(seeds, st.integers(0, 10_000))
def test_a_well_is_pumped_every_morning_and_rests_at_dawn(seed, day):
    well = well_of(seed)
    dawn = well.state(day * DAY_S + 5 * 3600)
    morning = well.state(day * DAY_S + 7 * 3600)

    assert not dawn.is_pumping
    assert dawn.dynamic_m - dawn.static_m < 0.01
    assert morning.is_pumping
    assert morning.dynamic_m - morning.static_m > 5


def test_a_weak_well_runs_dry_and_a_good_one_does_not():
    weak, good = well_of(5, pump_m=38.0), well_of(5, pump_m=50.0)
    minutes = range(5 * 60, 29 * 60)

    assert any(weak.state(minute * 60).is_dry for minute in minutes)
    assert not any(good.state(minute * 60).is_dry for minute in minutes)


@given(seeds, moments, st.floats(0, DAY_S))
def test_a_meter_never_runs_backwards(seed, at_s, passed_s):
    flow = flow_of(seed)

    assert flow.total_l(at_s + passed_s) >= flow.total_l(at_s)


@given(seeds, moments)
def test_the_flow_is_what_the_meter_gained(seed, at_s):
    flow = flow_of(seed)
    gained = flow.total_l(at_s) - flow.total_l(at_s - 900)

    assert flow.flow_l_per_min(at_s, 900) * 15 == pytest.approx(gained)
    assert 0 <= flow.flow_l_per_min(at_s, 900) <= flow.peak_l_per_min


@given(seeds, st.integers(0, 10_000))
def test_a_day_uses_about_its_mean(seed, day):
    flow = flow_of(seed)
    dawn_s = day * DAY_S + 5 * 3600

    assert 0.69 * 40_000 <= flow.total_l(dawn_s + DAY_S) - flow.total_l(dawn_s) <= 1.31 * 40_000


def test_the_flow_follows_the_day_and_a_leak_shows_at_night():
    sound, leaking = flow_of(2), flow_of(2, leak_l_per_min=10.0)
    night_s, morning_s = 26 * 3600, 31.5 * 3600

    assert sound.flow_l_per_min(morning_s, 600) > 5 * sound.flow_l_per_min(night_s, 600)
    assert leaking.flow_l_per_min(night_s, 600) - sound.flow_l_per_min(
        night_s, 600
    ) == pytest.approx(10.0)


def test_a_meter_shows_its_start_at_its_beginning():
    flow = FlowWater(Chance(1), use_l_per_day=40_000, start_l=777.0, since_s=1e9)

    assert flow.total_l(1e9) == pytest.approx(777.0)


def test_the_air_is_warmest_in_the_afternoon():
    hours = [ambient_c(hour * 3600) for hour in range(24)]

    assert hours.index(max(hours)) == 15


@given(seeds, st.lists(st.integers(-10, 2**60), max_size=3))
def test_chance_is_a_part_of_one_and_repeats_itself(seed, numbers):
    chance = Chance(seed)

    assert 0 <= chance.at(*numbers) < 1
    assert chance.at(*numbers) == Chance(seed).at(*numbers)
    assert 5 <= chance.between(5, 7, *numbers) < 7


def test_noise_has_mean_0_and_deviation_1():
    values = [Chance(1).noise(number) for number in range(1024)]

    assert sum(values) / 1024 == pytest.approx(0, abs=0.1)
    assert sum(value**2 for value in values) / 1024 == pytest.approx(1, abs=0.1)


def test_only_two_days_are_ever_kept_in_mind():
    tank, well, flow = tank_of(1), well_of(1), flow_of(1)

    for day in range(50):
        tank.level_cm(day * DAY_S)
        well.state(day * DAY_S)
        flow.total_l(day * DAY_S)

    assert max(len(water._days) for water in (tank, well, flow)) <= 2
