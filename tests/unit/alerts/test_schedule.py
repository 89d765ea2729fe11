"""When a rule is at work, by the wall clock of a place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evara_core.alerts.schedule import ALL_DAYS, DayWindow, Schedule

times = st.integers(0, 95).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
windows = st.builds(
    lambda days, start, end: (days, start, end),
    st.lists(st.sampled_from(ALL_DAYS), min_size=1, unique=True),
    times,
    st.one_of(times, st.just("24:00")),
).filter(lambda w: w[1] != w[2])
zones = st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Rome", "America/New_York"])


@settings(max_examples=150, deadline=None)
@given(zones, st.lists(windows, min_size=1, max_size=3), st.integers(0, 366 * 24 * 4))
def test_the_answer_changes_only_at_edges(zone, several, quarter) -> None:
    schedule = Schedule(
        zone=zone, windows=[DayWindow(days=d, start=s, end=e) for d, s, e in several]
    )
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * quarter)

    edge = schedule.next_edge(start)

    assert edge > start
    moment = start
    while moment < min(edge, start + timedelta(days=2)):
        assert schedule.covers(moment) == schedule.covers(start)
        moment += timedelta(minutes=15)


def test_a_night_that_clocks_change_is_shorter() -> None:
    night = Schedule(zone="Europe/Rome", windows=[DayWindow(start="22:00", end="06:00")])
    begins = datetime(2026, 3, 28, 21, tzinfo=UTC)

    assert night.covers(begins)
    assert night.covers(begins + timedelta(hours=6, minutes=59))
    assert not night.covers(begins + timedelta(hours=7))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DayWindow(start="25:00"),
        lambda: DayWindow(start="24:00"),
        lambda: DayWindow(start="10:00", end="10:00"),
        lambda: DayWindow(days=["monday"]),
        lambda: DayWindow(days=[]),
        lambda: Schedule(zone="../etc", windows=[DayWindow()]),
        lambda: Schedule(zone="UTC", windows=[]),
    ],
)
def test_what_is_no_time_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()
