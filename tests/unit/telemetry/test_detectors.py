from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.serialization import dump_json, load_json
from evara_core.telemetry.detectors.flow import Burst, ContinuousFlow, NightMinimum
from evara_core.telemetry.detectors.ports import detect, evidence_of
from evara_core.telemetry.detectors.pump import DryRun, PumpWithoutFlow
from evara_core.telemetry.detectors.sensor import StuckSensor
from evara_core.telemetry.detectors.standard import standard_detectors
from evara_core.telemetry.detectors.tank import Overflow, TimeToLimit
from evara_core.telemetry.models import Measured, Quality
from evara_core.testing.samples import reading

FLOW = "flow_l_per_min"
AMPS = "pump_current_a"
QUARTER_H = 0.25
EVERYTHING = [d for several in standard_detectors().values() for d in several]


def at(hours: float, **values: float | Measured):
    measured = {n: v if isinstance(v, Measured) else Measured(v) for n, v in values.items()}
    return reading(entry_id=1, at_s=hours * 3600, values=measured)


def said(detector, readings) -> list[dict[str, float]]:
    """Feed *readings*; return the evidence after each, with the memory stored in between."""
    memory, told = (), []
    for one in readings:
        memory, findings = detector.step(memory, one)
        assert len(findings) == len({finding.name for finding in findings})
        assert all(finding.sentence and 0 <= finding.confidence <= 1 for finding in findings)
        memory = tuple(load_json(dump_json(memory)))
        told.append(evidence_of(findings))
    return told


def test_water_that_never_stops_for_a_day_is_a_leak() -> None:
    drips = [at(n * QUARTER_H, flow_l_per_min=0.3) for n in range(100)]

    told = said(ContinuousFlow(), drips)

    assert told[94] == {}
    assert told[95] == told[99] == {"continuous_flow": 1.0}


def test_a_house_that_sleeps_has_no_leak() -> None:
    day = [at(n * QUARTER_H, flow_l_per_min=2.0 * (n % 96 > 24)) for n in range(3 * 96)]

    told = said(ContinuousFlow(), day)

    assert max(one["continuous_flow"] for one in told if one) < 0.75


def test_a_silence_begins_the_day_anew() -> None:
    drips = [at(n * QUARTER_H, flow_l_per_min=1.0) for n in range(96)]

    told = said(ContinuousFlow(), [*drips, at(30, flow_l_per_min=1.0)])

    assert (told[-2], told[-1]) == ({"continuous_flow": 1.0}, {})


def nights(leak_from: int, days: int, leak: float, seed: int = 1):
    chance = random.Random(seed)
    for n in range(days * 96):
        hour = n * QUARTER_H % 24
        use = chance.expovariate(0.5) if 6 <= hour < 23 else 0.05 * chance.random()
        yield at(n * QUARTER_H, flow_l_per_min=use + leak * (n / 96 >= leak_from))


def test_nights_that_flow_more_than_all_before_are_counted() -> None:
    told = said(NightMinimum(), nights(leak_from=20, days=25, leak=1.0))

    by_noon = [told[day * 96 + 48].get("night_leak_nights") for day in range(25)]
    assert by_noon[:6] == [None] * 6
    assert set(by_noon[8:20]) == {0.0}
    assert by_noon[20:] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_nights_without_a_leak_are_quiet_for_months() -> None:
    told = said(NightMinimum(), nights(leak_from=99, days=90, leak=0.0))

    assert max(one.get("night_leak_nights", 0.0) for one in told) <= 1


def test_a_burst_is_far_above_the_usual_peak_and_lasts() -> None:
    usual = [at(n / 12, flow_l_per_min=10 + 5 * math.sin(n / 40)) for n in range(24 * 12 + 1)]
    burst = [at(24 + n / 12, flow_l_per_min=60) for n in range(1, 5)]

    told = said(Burst(), [*usual, *burst])

    assert told[0] == {}
    assert told[len(usual) - 1] == {"burst_s": 0}
    assert [one["burst_s"] for one in told[-4:]] == [0, 300, 600, 900]


def test_a_pump_that_draws_half_runs_dry() -> None:
    wet = [at(n / 60, pump_current_a=8.0 + 0.2 * (n % 2)) for n in range(60)]
    dry = [at(1 + n / 60, pump_current_a=4.2) for n in range(4)]

    told = said(DryRun(), [*wet, *dry, at(1.1, pump_current_a=0.0)])

    assert told[0] == {}
    assert {one.get("dry_run_s", 0) for one in told[:60]} == {0}
    assert [one["dry_run_s"] for one in told[60:]] == pytest.approx([0, 60, 120, 180, 0])


def test_a_pump_that_moves_nothing_is_told() -> None:
    told = said(
        PumpWithoutFlow(),
        [
            at(0, pump_current_a=8.0, flow_l_per_min=0.0),
            at(1 / 60, pump_current_a=8.0, flow_l_per_min=0.1),
            at(2 / 60, pump_current_a=8.0),
            at(3 / 60, pump_current_a=8.0, flow_l_per_min=30.0),
            at(4 / 60, pump_current_a=0.0, flow_l_per_min=0.0),
        ],
    )

    assert [one.get("pump_without_flow_s") for one in told] == pytest.approx([0, 60, None, 0, 0])


def test_a_tank_at_its_brim_runs_over() -> None:
    levels = [98, 99.5, 100, 101, 98.9]

    told = said(Overflow(), [at(n / 60, level_percent=p) for n, p in enumerate(levels)])

    assert [one["overflow_s"] for one in told] == pytest.approx([0, 0, 60, 120, 0])


@pytest.mark.parametrize(
    ("per_min", "name"), [(-0.5, "minutes_to_empty"), (0.5, "minutes_to_full")]
)
def test_a_steady_change_leads_to_its_end(per_min, name) -> None:
    chance = random.Random(2)
    moved = [at(n / 60, level_percent=50 + per_min * n + chance.gauss(0, 0.2)) for n in range(40)]

    told = said(TimeToLimit(), moved)

    assert told[0] == {}
    assert told[39] == {name: pytest.approx((50 - 0.5 * 39) / 0.5, rel=0.1)}


def test_a_level_that_stands_or_jumps_about_leads_nowhere() -> None:
    chance = random.Random(3)
    still = [at(n / 60, level_percent=50.0) for n in range(60)]
    noise = [at(n / 60, level_percent=50 + chance.gauss(0, 3)) for n in range(60)]

    assert not any(said(TimeToLimit(), still))
    assert not any(said(TimeToLimit(), noise)[10:])


def test_after_a_turn_the_line_follows() -> None:
    falling = [at(n / 60, level_percent=80 - n) for n in range(30)]
    rising = [at(0.5 + n / 60, level_percent=50 + n) for n in range(40)]

    told = said(TimeToLimit(memory_min=10), [*falling, *rising])

    assert list(told[29]) == ["minutes_to_empty"]
    assert told[-1] == {"minutes_to_full": pytest.approx(11, rel=0.3)}


def test_a_sensor_is_stuck_only_while_it_should_move() -> None:
    sensor = StuckSensor(metric="dynamic_level_m", moves_with=AMPS)

    told = said(
        sensor,
        [
            at(0, dynamic_level_m=30, pump_current_a=8),
            at(1 / 60, dynamic_level_m=30, pump_current_a=8),
            at(2 / 60, dynamic_level_m=30, pump_current_a=0),
            at(3 / 60, dynamic_level_m=30, pump_current_a=8),
            at(4 / 60, dynamic_level_m=30.1, pump_current_a=8),
        ],
    )

    assert [one["stuck_s"] for one in told] == pytest.approx([0, 60, 60, 120, 0])


def test_what_came_before_says_nothing_new() -> None:
    detectors = [Overflow()]
    memories, _ = detect(detectors, {}, at(1, level_percent=100))

    again, found = detect(detectors, memories, at(0.5, level_percent=100))

    assert again == memories
    assert found == ()


@pytest.mark.parametrize("detector", EVERYTHING, ids=lambda one: one.name)
def test_bad_and_missing_values_are_not_believed(detector) -> None:
    bad = {
        name: Measured(99.0, Quality.BAD, "range")
        for name in ("level_percent", FLOW, AMPS, "dynamic_level_m", "total_volume_l")
    }

    assert detector.step((), at(1, **bad)) == ((), ())
    assert detector.step((), at(1)) == ((), ())


@pytest.mark.parametrize("detector", EVERYTHING, ids=lambda one: one.name)
@given(
    steps=st.lists(
        st.tuples(st.floats(0.001, 40), *[st.floats(-1e15, 1e15)] * 5), min_size=1, max_size=30
    )
)
def test_whatever_comes_memory_stays_small_and_findings_are_numbers(detector, steps) -> None:
    hours, memory = 0.0, ()
    for after, level, flow, amps, depth, total in steps:
        hours += after
        memory, findings = detector.step(
            memory,
            at(
                hours,
                level_percent=level,
                flow_l_per_min=flow,
                pump_current_a=amps,
                dynamic_level_m=depth,
                total_volume_l=total,
            ),
        )
        assert len(memory) <= 10
        assert all(math.isfinite(number) for number in memory)
        assert all(math.isfinite(finding.value) for finding in findings)
        assert memory[0] == pytest.approx((at(hours)).measured_at.timestamp())


def test_silence_is_not_time_in_which_it_went_on() -> None:
    told = said(Overflow(), [at(0, level_percent=100), at(5, level_percent=100)])

    assert told[-1] == {"overflow_s": 0}
