"""Clocks that are made of other clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evara_core.clock import ScaledClock

ORIGIN = datetime(2024, 3, 1, tzinfo=UTC)


def test_a_scaled_clock_begins_at_its_origin(clock):
    assert ScaledClock(ORIGIN, speed=600, base=clock).now() == ORIGIN


def test_a_scaled_clock_runs_as_many_times_faster_as_told(clock):
    scaled = ScaledClock(ORIGIN, speed=600, base=clock)

    clock.advance(6)

    assert scaled.now() == ORIGIN + timedelta(hours=1)
    assert scaled.elapsed_s() == 3600


def test_a_scaled_clock_does_not_notice_that_the_wall_clock_was_set(clock):
    scaled = ScaledClock(ORIGIN, speed=2, base=clock)

    clock.jump(datetime(2030, 1, 1, tzinfo=UTC))

    assert scaled.now() == ORIGIN
