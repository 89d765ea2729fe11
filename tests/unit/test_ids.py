"""Identifiers grow, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from evara_core.ids import TimeOrderedIds
from evara_core.testing.clock import ManualClock


@given(st.lists(st.floats(min_value=-5, max_value=5), min_size=2, max_size=50))
def test_they_grow_also_when_the_clock_goes_back(jumps_s: list[float]) -> None:
    clock = ManualClock()
    ids = TimeOrderedIds(clock=clock)

    made = []
    for jump_s in jumps_s:
        clock.jump(clock.now() + timedelta(seconds=jump_s))
        made.append(ids.new())

    assert made == sorted(set(made))
    assert {(i.version, i.variant) for i in made} == {(7, "specified in RFC 4122")}


def test_they_tell_the_time_of_their_making() -> None:
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    ids = TimeOrderedIds(clock=ManualClock(moment))

    made = ids.new()

    assert datetime.fromtimestamp((made.int >> 80) / 1000, UTC) == moment
