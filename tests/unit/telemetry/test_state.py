"""How nodes stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.telemetry.codec import (
    dump_mapping,
    dump_state,
    dump_values,
    load_mapping,
    load_state,
    load_values,
)
from evara_core.telemetry.connectivity import Connectivity, Reach
from evara_core.telemetry.health import health_of
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.quality import Trace
from evara_core.telemetry.state import NodeState, NodeStatus, fold, sweep, with_alerts
from evara_core.testing.samples import START, mapping_for, reading, tank

BREAK_S = 200.0


def at(seconds: float):
    return START + timedelta(seconds=seconds)


def online(seconds: float = 60.0, **values: float) -> NodeState:
    values = values or {"level_percent": 50.0}
    measured = {name: Measured(value) for name, value in values.items()}
    first = reading(entry_id=1, at_s=seconds, values=measured)
    return fold(NodeState(), tank(), [first], now=at(seconds + 2))


def swept(state: NodeState, now_s: float, *, since_s: float = 0, looked_s: float | None = None):
    reach = Reach(
        since=at(since_s), looked_at=at(now_s if looked_s is None else looked_s), begun_at=START
    )
    return sweep(state, tank(), now=at(now_s), reach=reach, break_s=BREAK_S)


def test_a_first_reading_brings_a_node_online() -> None:
    state = online()

    assert state.status is NodeStatus.ONLINE
    assert state.last_reading_at == at(60)
    assert state.last_seen_at == at(60)
    assert state.last_entry_id == 1
    assert state.values == {"level_percent": Measured(50.0)}
    assert state.health_score == 100


def test_a_late_reading_does_not_move_it_back() -> None:
    before = online(600)

    after = fold(before, tank(), [reading(entry_id=2, at_s=300, level_percent=1.0)], now=at(605))

    assert after.values == before.values
    assert after.last_reading_at == before.last_reading_at
    assert after.last_entry_id == 1


def test_a_late_reading_shows_that_the_node_is_alive() -> None:
    after = fold(
        online(600),
        tank(),
        [reading(entry_id=2, at_s=300)],
        now=at(700),
        looked_at=at(650),
    )

    assert after.last_seen_at == at(650)


def test_old_rows_of_a_channel_that_is_read_first_do_not_make_it_alive() -> None:
    state = fold(NodeState(), tank(), [reading(entry_id=1, at_s=0)], now=at(1e6))

    assert state.status is NodeStatus.OFFLINE
    assert state.last_seen_at == at(0)


def test_a_device_with_a_slow_clock_is_seen_by_ours() -> None:
    state = online(60)

    state = fold(state, tank(), [reading(entry_id=2, at_s=61)], now=at(7300), looked_at=at(7290))

    assert state.connectivity is Connectivity.ONLINE
    assert state.last_seen_at == at(7290)


def test_a_reading_from_the_future_does_not_shut_out_the_ones_after_it() -> None:
    ahead = replace(reading(entry_id=1, at_s=9_000), received_at=at(60))
    state = fold(NodeState(), tank(), [ahead], now=at(60))

    state = fold(state, tank(), [reading(entry_id=2, at_s=120, level_percent=7.0)], now=at(122))

    assert state.last_reading_at == at(120)
    assert state.values["level_percent"].value == 7.0


def test_readings_in_any_order_fold_to_the_newest() -> None:
    many = [reading(entry_id=n, level_percent=float(n)) for n in (3, 1, 4, 2)]

    state = fold(NodeState(), tank(), many, now=at(300))

    assert state.values["level_percent"].value == 4.0


def test_no_readings_change_nothing() -> None:
    state = online()

    assert fold(state, tank(), [], now=at(9_000)) is state


def test_fields_that_arrive_in_rows_of_their_own_keep_each_other() -> None:
    trace = Trace(at=at(60), value=50.0, changed_at=at(60))
    missing = Measured(None, Quality.MISSING)
    state = replace(online(60), traces={"level_percent": trace})
    soon = reading(entry_id=2, at_s=90, values={"level_percent": missing, "ph": Measured(7.0)})
    much_later = reading(entry_id=3, at_s=600, values={"level_percent": missing})

    state = fold(state, tank(), [soon], now=at(92))
    assert state.values == {"level_percent": Measured(50.0), "ph": Measured(7.0)}
    state = fold(state, tank(), [much_later], now=at(602))
    assert state.values["level_percent"] == missing


def test_silence_is_stale_first_and_offline_later() -> None:
    state = online(0)

    assert swept(state, 179).connectivity is Connectivity.ONLINE
    assert swept(state, 180).connectivity is Connectivity.STALE
    assert swept(state, 180).status is NodeStatus.ONLINE
    assert swept(state, 599).status is NodeStatus.ONLINE
    assert swept(state, 600).status is NodeStatus.OFFLINE


def test_a_source_that_is_away_says_nothing_about_its_nodes() -> None:
    state = swept(online(0), 90_000, looked_s=100)

    assert state.connectivity is Connectivity.UNREACHABLE
    assert state.status is NodeStatus.ONLINE


def test_silence_counts_from_when_somebody_listened_again() -> None:
    state = online(0)

    assert swept(state, 9_000, since_s=8_500).status is NodeStatus.ONLINE
    assert swept(state, 9_000, since_s=8_500).connectivity is Connectivity.STALE
    assert swept(state, 9_100, since_s=8_500).status is NodeStatus.OFFLINE


def test_only_a_reading_brings_a_node_back() -> None:
    offline = swept(online(0), 600)

    still = swept(offline, 700, since_s=690)
    away = swept(still, 90_000, looked_s=700)
    back = swept(away, 90_100, since_s=90_000)
    heard = fold(back, tank(), [reading(entry_id=2, at_s=90_100)], now=at(90_102))

    assert still.status is NodeStatus.OFFLINE
    assert (away.status, away.connectivity) == (NodeStatus.OFFLINE, Connectivity.UNREACHABLE)
    assert (back.status, back.connectivity) == (NodeStatus.OFFLINE, Connectivity.OFFLINE)
    assert heard.status is NodeStatus.ONLINE


def test_before_the_first_answer_nothing_is_said() -> None:
    state = online(0)
    reach = Reach(begun_at=at(9_000))

    early = sweep(state, tank(), now=at(9_100), reach=reach, break_s=BREAK_S)
    late = sweep(state, tank(), now=at(9_300), reach=reach, break_s=BREAK_S)

    assert early == state
    assert late.connectivity is Connectivity.UNREACHABLE


def test_a_node_that_never_reported_is_provisioning_whatever_happens() -> None:
    state = swept(NodeState(), 90_000)

    assert (state.status, state.connectivity) == (NodeStatus.PROVISIONING, Connectivity.NEVER)
    assert swept(NodeState(), 90_000, looked_s=1).status is NodeStatus.PROVISIONING


def test_alerts_show_in_the_status_and_offline_goes_before_them() -> None:
    alerted = with_alerts(online(0), tank(), 2)

    assert (alerted.status, alerted.active_alerts) == (NodeStatus.ALERT, 2)
    assert with_alerts(alerted, tank(), 2) is alerted
    assert with_alerts(alerted, tank(), 0).status is NodeStatus.ONLINE
    assert swept(alerted, 600).status is NodeStatus.OFFLINE


def test_maintenance_goes_before_everything() -> None:
    node = tank(in_maintenance=True)
    state = fold(NodeState(), node, [reading(at_s=0)], now=at(2))
    reach = Reach(since=START, looked_at=at(9_000))

    later = sweep(state, node, now=at(9_000), reach=reach, break_s=BREAK_S)
    after = sweep(later, tank(), now=at(9_000), reach=reach, break_s=BREAK_S)

    assert (state.status, later.status) == (NodeStatus.MAINTENANCE, NodeStatus.MAINTENANCE)
    assert after.status is NodeStatus.OFFLINE


def test_sweeping_twice_is_sweeping_once() -> None:
    state = swept(online(0), 300)

    assert swept(state, 300) == state


def test_lost_reports_lower_completeness_and_bad_values_validity() -> None:
    bad = {"level_percent": Measured(None, Quality.BAD, "junk", "x")}
    whole = fold(NodeState(), tank(), [reading(entry_id=n) for n in range(1, 60)], now=at(3600))
    gappy = fold(NodeState(), tank(), [reading(entry_id=n) for n in range(1, 60, 3)], now=at(3600))
    faulty = fold(
        NodeState(), tank(), [reading(entry_id=n, values=bad) for n in range(1, 60)], now=at(3600)
    )

    assert (whole.completeness, whole.validity, whole.health_score) == (1.0, 1.0, 100)
    assert 0.3 < gappy.completeness < 0.7
    assert faulty.validity < 0.4
    assert faulty.health_reasons[:2] == ("invalid: -30", "bad values: -10")


def score(**changes: object) -> tuple[int | None, tuple[str, ...]]:
    fine = {
        "is_offline": False,
        "connectivity": Connectivity.ONLINE,
        "values": {"level_percent": Measured(50.0)},
        "validity": 1.0,
        "completeness": 1.0,
        "active_alerts": 0,
        "config": {},
    }
    return health_of(**{**fine, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (100, ())),
        ({"values": {}}, (None, ())),
        ({"is_offline": True}, (40, ("offline: at most 40",))),
        ({"connectivity": Connectivity.STALE}, (80, ("stale: -20",))),
        ({"active_alerts": 1}, (85, ("alerts: -15",))),
        ({"active_alerts": 9}, (55, ("alerts: -45",))),
        ({"values": {"battery_v": Measured(3.1)}}, (85, ("battery: -15",))),
        ({"values": {"battery_v": Measured(11.1)}, "config": {"low_battery_v": 11.5}},
         (85, ("battery: -15",))),
        ({"values": {"rssi_dbm": Measured(-120.0)}}, (90, ("radio: -10",))),
        ({"values": {"battery_v": Measured(1.0, Quality.BAD, "range")}},
         (90, ("bad values: -10",))),
        ({"completeness": 0.0, "validity": 0.0, "active_alerts": 9, "is_offline": True},
         (5, ("offline: at most 40", "alerts: -45", "invalid: -30", "incomplete: -20"))),
    ],
)  # fmt: skip
def test_health_is_a_list_of_penalties(changes, expected) -> None:
    assert score(**changes) == expected


MEASURED = st.builds(
    Measured,
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from(Quality),
    st.one_of(st.none(), st.sampled_from(["range", "junk"])),
    st.one_of(st.none(), st.text()),
)
MOMENTS = st.integers(0, 10**9).map(lambda s: START + timedelta(microseconds=s * 997))
STATES = st.builds(
    NodeState,
    status=st.sampled_from(NodeStatus),
    connectivity=st.sampled_from(Connectivity),
    last_reading_at=st.none() | MOMENTS,
    last_seen_at=st.none() | MOMENTS,
    last_entry_id=st.none() | st.integers(0, 2**40),
    values=st.dictionaries(st.text(max_size=5), MEASURED, max_size=4),
    active_alerts=st.integers(0, 50),
    health_score=st.none() | st.integers(0, 100),
    health_reasons=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    traces=st.dictionaries(
        st.text(max_size=5),
        st.builds(Trace, at=MOMENTS, value=st.floats(-1e9, 1e9), changed_at=MOMENTS,
                  candidate=st.none() | st.floats(-1e9, 1e9)),
        max_size=3,
    ),
)  # fmt: skip


@given(STATES)
def test_a_state_survives_its_journey_as_json(state) -> None:
    assert load_state(dump_state(state)) == state


@given(st.dictionaries(st.text(max_size=5), MEASURED, max_size=5))
def test_values_survive_their_journey_as_json(values) -> None:
    assert load_values(dump_values(values)) == values


def test_good_values_are_plain_numbers_in_json() -> None:
    assert dump_values({"ph": Measured(7.0)}) == b'{"ph":7.0}'


def test_a_mapping_survives_its_journey_as_json() -> None:
    assert load_mapping(dump_mapping(mapping_for(7))) == mapping_for(7)
