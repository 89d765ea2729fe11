"""Whose turn it is, and when."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.monitor.schedule import Lane, Schedule, next_on_grid, spread

FOREVER = 10**6


def schedule_of(*node_ids: str, interval_s: float = 60.0) -> Schedule:
    schedule = Schedule()
    for node_id in node_ids:
        schedule.add(node_id, interval_s=interval_s, now_s=0.0)
    return schedule


ONE_FAILING = {Lane.FAILING: 1}


def taken(schedule: Schedule, now_s: float, *, free: int = 100, failing: int = 100) -> list[str]:
    return [due.node_id for due in schedule.take(now_s, free=free, shares={Lane.FAILING: failing})]


@given(
    after_s=st.floats(-1e9, 1e9),
    interval_s=st.floats(0.01, 1e6),
    node_id=st.text(max_size=20),
)
def test_the_next_moment_is_later_and_within_an_interval(after_s, interval_s, node_id) -> None:
    moment = next_on_grid(after_s, interval_s=interval_s, offset_s=spread(node_id, interval_s))

    assert moment > after_s
    assert moment - after_s <= interval_s * (1 + 1e-6) + 1e-5


def test_a_thousand_nodes_are_spread_over_the_minute() -> None:
    seconds = [int(spread(f"node-{n}", 60.0)) for n in range(1000)]

    assert max(seconds.count(second) for second in range(60)) < 40
    assert min(seconds.count(second) for second in range(60)) > 3


def test_a_turn_keeps_its_place_on_the_grid_however_long_the_look_takes() -> None:
    schedule = schedule_of("a")
    first_s = schedule.next_due_s(shares=ONE_FAILING)
    assert taken(schedule, first_s) == ["a"]

    schedule.done("a", first_s + 150.0, is_failed=False)

    assert schedule.next_due_s(shares=ONE_FAILING) == pytest.approx(first_s + 180.0)


def test_turns_that_passed_meanwhile_are_skipped() -> None:
    schedule = schedule_of("a")
    taken(schedule, 60.0)
    schedule.done("a", 3600.0, is_failed=False)

    assert taken(schedule, 3660.0) == ["a"]
    assert taken(schedule, 3660.0) == []


def test_who_is_away_has_no_turn() -> None:
    schedule = schedule_of("a")
    taken(schedule, 60.0)

    assert taken(schedule, FOREVER) == []
    assert schedule.next_due_s(shares=ONE_FAILING) == math.inf


def test_who_waited_longest_comes_first() -> None:
    schedule = schedule_of(*(f"n{n}" for n in range(20)))
    order = sorted((spread(f"n{n}", 60.0), f"n{n}") for n in range(20))

    assert taken(schedule, 60.0, free=5) == [node_id for _, node_id in order[:5]]


def test_says_how_long_each_has_waited() -> None:
    schedule = schedule_of("a")
    due_s = schedule.next_due_s(shares=ONE_FAILING)

    (due,) = schedule.take(due_s + 12.5, free=1, shares=ONE_FAILING)

    assert due.lag_s == pytest.approx(12.5)


def test_says_how_many_wait_and_how_long() -> None:
    schedule = schedule_of("a", "b")

    count, longest_s = schedule.waiting(600.0)

    assert count == 2
    assert longest_s == pytest.approx(600.0 - schedule.next_due_s(shares=ONE_FAILING))


def test_says_which_nodes_wait_longest() -> None:
    schedule = schedule_of(*(f"n-{n}" for n in range(50)))
    due = {one.node_id: 600.0 - one.lag_s for one in schedule.take(600.0, free=1, shares={})}

    lags = schedule.lags(600.0, limit=3)

    assert len(lags) == 3
    assert list(lags.values()) == sorted(lags.values(), reverse=True)
    assert not due.keys() & lags.keys()
    assert schedule.lags(0.0, limit=3) == {}


def test_each_failure_doubles_the_pause_up_to_a_limit() -> None:
    schedule = Schedule(max_backoff_intervals=8)
    schedule.add("a", interval_s=60.0, now_s=0.0)
    now_s, pauses = schedule.next_due_s(shares=ONE_FAILING), []
    for _ in range(6):
        taken(schedule, now_s)
        schedule.done("a", now_s, is_failed=True)
        due_s = schedule.next_due_s(shares=ONE_FAILING)
        pauses.append(round((due_s - now_s) / 60.0))
        now_s = due_s

    assert pauses == [1, 2, 4, 8, 8, 8]
    assert schedule.failures("a") == 6


def test_a_success_ends_the_pauses() -> None:
    schedule = schedule_of("a")
    for now_s, is_failed in ((60.0, True), (200.0, True), (FOREVER, False)):
        taken(schedule, now_s)
        schedule.done("a", now_s, is_failed=is_failed)

    assert schedule.next_due_s(shares=ONE_FAILING) <= FOREVER + 60.0
    assert schedule.failures("a") == 0


def test_failing_nodes_get_a_part_of_the_room_only() -> None:
    schedule = schedule_of("a", "b", "c", "ok")
    for node_id in taken(schedule, 60.0):
        schedule.done(node_id, 60.0, is_failed=node_id != "ok")

    first = taken(schedule, 200.0, failing=2)
    second = taken(schedule, 200.0, failing=2)
    schedule.done(next(n for n in first if n != "ok"), 200.0, is_failed=False)
    third = taken(schedule, 200.0, failing=2)

    assert len(first) == 3
    assert "ok" in first
    assert second == []
    assert len(third) == 1


def test_when_no_failing_node_may_go_only_a_return_can_tell() -> None:
    schedule = schedule_of("a", "b")
    for node_id in taken(schedule, 60.0):
        schedule.done(node_id, 60.0, is_failed=True)
    taken(schedule, 500.0, failing=1)

    assert schedule.next_due_s(shares=ONE_FAILING) == math.inf


def test_who_has_more_to_come_goes_on_at_once() -> None:
    schedule = schedule_of("a")
    taken(schedule, 60.0)

    schedule.done("a", 60.0, is_failed=False, at_once=True)

    assert taken(schedule, 60.0) == ["a"]


def test_a_node_that_was_removed_has_no_turn_and_may_come_back() -> None:
    schedule = schedule_of("a", "b")
    taken(schedule, 60.0)
    schedule.remove("a")
    schedule.done("a", 61.0, is_failed=False)
    schedule.remove("a")

    assert schedule.node_ids == {"b"}
    schedule.add("a", interval_s=60.0, now_s=100.0)
    assert taken(schedule, 160.0) == ["a"]


def test_removing_a_failing_node_frees_its_room() -> None:
    schedule = schedule_of("a", "b")
    for node_id in taken(schedule, 60.0):
        schedule.done(node_id, 60.0, is_failed=True)
    (away,) = taken(schedule, 500.0, failing=1)

    schedule.remove(away)

    assert len(taken(schedule, 500.0, failing=1)) == 1


def test_another_interval_takes_effect_at_once() -> None:
    schedule = schedule_of("a", interval_s=3600.0)

    schedule.add("a", interval_s=10.0, now_s=0.0)

    assert schedule.next_due_s(shares=ONE_FAILING) <= 10.0
    assert taken(schedule, 10.0) == ["a"]
    assert taken(schedule, 3600.0) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "take", "done", "fail"]),
            st.sampled_from("abcdef"),
            st.floats(0, 100),
        ),
        max_size=60,
    )
)
def test_no_node_is_ever_away_twice_or_lost(steps) -> None:
    schedule, now_s = Schedule(), 0.0
    known: set[str] = set()
    away: set[str] = set()
    for action, node_id, passed_s in steps:
        now_s += passed_s
        match action:
            case "add":
                schedule.add(node_id, interval_s=30.0, now_s=now_s)
                known.add(node_id)
            case "remove":
                schedule.remove(node_id)
                known.discard(node_id)
                away.discard(node_id)
            case "take":
                came = taken(schedule, now_s, free=2, failing=1)
                assert not away & set(came)
                away.update(came)
            case _:
                schedule.done(node_id, now_s, is_failed=action == "fail")
                away.discard(node_id)

    waiting = known - away
    assert set(taken(schedule, now_s + FOREVER)) == waiting


def test_an_urgent_node_goes_before_those_that_have_waited_a_little_longer() -> None:
    schedule = Schedule()
    for n in range(20):
        schedule.add(f"n{n}", interval_s=60.0, now_s=0.0)
    schedule.add("pump", interval_s=60.0, now_s=0.0, is_urgent=True)

    assert taken(schedule, 100.0, free=1) == ["pump"]
    assert len(taken(schedule, 100.0)) == 20


def test_urgent_nodes_do_not_starve_the_others() -> None:
    schedule = Schedule()
    schedule.add("patient", interval_s=60.0, now_s=0.0)
    for n in range(50):
        schedule.add(f"n{n}", interval_s=60.0, now_s=0.0, is_urgent=True)

    # Room for one look in five seconds, where fifty-one a minute are wanted.
    turns = []
    for second in range(60, 600, 5):
        for node_id in taken(schedule, float(second), free=1):
            turns.append(node_id)
            schedule.done(node_id, float(second), is_failed=False)

    assert "patient" in turns


def test_who_becomes_urgent_keeps_its_moments() -> None:
    schedule = Schedule()
    schedule.add("a", interval_s=60.0, now_s=0.0)
    before_s = schedule.next_due_s(shares={})

    schedule.add("a", interval_s=60.0, now_s=0.0, is_urgent=True)

    assert schedule.next_due_s(shares={}) == before_s
    assert taken(schedule, 60.0) == ["a"]


def test_nodes_that_catch_up_leave_room_for_what_is_new() -> None:
    schedule = Schedule()
    for n in range(10):
        schedule.add(f"n{n}", interval_s=60.0, now_s=0.0)
    for node_id in taken(schedule, 60.0):
        schedule.done(node_id, 60.0, is_failed=False, at_once=True)

    away = schedule.take(61.0, free=10, shares={Lane.BEHIND: 4})

    assert len(away) == 4
    assert schedule.next_due_s(shares={Lane.BEHIND: 4}) == math.inf
    schedule.done(away[0].node_id, 61.0, is_failed=False)
    assert schedule.next_due_s(shares={Lane.BEHIND: 4}) == 60.0
