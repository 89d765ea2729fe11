"""The engine, one promise at a time. The timelines tell the long stories."""

from __future__ import annotations

from datetime import timedelta

from evara_core.alerts.episodes import Phase
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule, Step
from evara_core.telemetry.models import Measured, Quality


def low(**fields) -> AlertRule:
    fields = {"id": "low", "kind": "tank", "when": expr("level < 20"), **fields}
    return AlertRule(**fields)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_fires_at_once_without_a_hold(stage) -> None:
    play = stage(low())

    assert play.send(0, level=50) == []
    assert play.send(1, level=10) == ["1 fired warning"]
    assert play.send(2, level=10) == []
    assert play.send(3, level=50) == ["3 resolved warning"]


def test_fires_at_exactly_the_hold(stage) -> None:
    play = stage(low(hold=minutes(2)))

    play.send(0, level=10)
    play.send(1, level=10)

    assert play.phase() is Phase.PENDING
    assert play.send(2, level=10) == ["2 fired warning"]


def test_a_tick_completes_a_hold_while_the_sample_is_fresh(stage) -> None:
    play = stage(low(hold=minutes(2)))
    play.send(0, level=10)

    assert play.tick(1.9) == []
    assert play.tick(2.5) == ["2 fired warning"]


def test_silence_completes_no_hold(stage) -> None:
    play = stage(low(hold=minutes(10)))
    play.send(0, level=10)

    assert play.tick(60) == []
    assert play.phase() is Phase.PENDING


def test_a_gap_counts_only_as_long_as_the_sample_spoke(stage) -> None:
    play = stage(low(hold=minutes(10)))

    play.send(0, level=10)
    play.send(60, level=10)

    assert play.state().held_s == 180


def test_what_is_firing_goes_on_while_nothing_is_known(stage) -> None:
    play = stage(low())
    play.send(0, level=10)

    play.send(1, level=None)
    play.tick(600)

    assert play.phase() is Phase.FIRING


def test_a_day_without_knowledge_is_said(stage) -> None:
    play = stage(low())
    play.send(0, level=10)

    assert play.tick(24 * 60 + 2) == []
    assert play.tick(24 * 60 + 3) == ["1443 data_lost warning"]
    assert play.send(1500, level=10) == ["1500 data_back warning"]


def test_bad_values_are_unknown(stage) -> None:
    play = stage(low())

    assert play.send(0, level=Measured(-5.0, Quality.BAD)) == []


def test_keeps_before_it_resolves_and_a_relapse_says_nothing(stage) -> None:
    play = stage(low(keep=minutes(2)))

    play.send(0, level=10)
    play.send(1, level=50)
    assert play.phase() is Phase.RECOVERING
    assert play.send(2, level=10) == []
    play.send(3, level=50)
    assert play.send(5, level=50) == ["5 resolved warning"]


def test_clears_only_beyond_the_clear_condition(stage) -> None:
    play = stage(low(clear_when=expr("level > 25")))

    play.send(0, level=10)

    assert play.send(1, level=22) == []
    assert play.send(2, level=26) == ["2 resolved warning"]


def test_a_late_sample_changes_nothing(stage) -> None:
    play = stage(low())
    play.send(5, level=10)

    assert play.send(3, arrives=6, level=50) == []
    assert play.phase() is Phase.FIRING


def test_a_batch_is_judged_in_the_order_of_its_time(stage) -> None:
    play = stage(low(hold=minutes(2)))
    batch = [play.reading(minute, arrives=9, level=10) for minute in (2, 0, 1)]

    assert play.observe(batch, 9) == ["2 fired warning"]


def test_an_episode_within_one_batch_is_history(stage) -> None:
    play = stage(low())
    batch = [play.reading(m, arrives=9, level=v) for m, v in ((0, 10), (1, 50))]

    play.observe(batch, 9)

    assert [t.historical for t in play.told] == [True, True]


def test_a_sample_from_the_future_counts_as_measured_on_arrival(stage) -> None:
    play = stage(low())

    assert play.send(600, arrives=1, level=10) == ["1 fired warning"]


def test_silence_runs_on_the_clock_of_the_receiver(stage) -> None:
    play = stage(low(when=expr("silent_for('30m')")))
    play.send(0, arrives=10, level=50)

    assert play.tick(39) == []
    assert play.tick(41) == ["40 fired warning"]
    assert play.send(5, arrives=50, level=50) == ["50 resolved warning"]


def test_a_late_sample_ends_silence(stage) -> None:
    play = stage(low(when=expr("silent_for('30m')")))
    play.send(0, level=50)
    play.tick(31)

    assert play.send(-60, arrives=40, level=50) == ["40 resolved warning"]


def test_silence_can_be_told_in_intervals_of_the_node(stage) -> None:
    play = stage(low(when=expr("silent_intervals(5)")))
    play.send(0, level=50)

    assert play.tick(6) == ["5 fired warning"]


def test_escalates_by_time(stage) -> None:
    rule = low(
        severity="info",
        escalate=[
            Step(after=minutes(2), severity="warning"),
            Step(after=minutes(4), severity="critical"),
        ],
    )
    play = stage(rule)
    play.send(0, level=10)

    assert play.send(2, level=10) == []
    assert play.tick(2) == ["2 severity_changed warning"]
    assert play.send(5, level=10) == ["4 severity_changed critical"]


def test_a_restart_in_the_middle_of_a_hold_continues_it(stage) -> None:
    rule = low(hold=minutes(3))
    play = stage(rule)
    play.send(0, level=10)
    play.send(1, level=10)

    play.restart([rule])

    assert play.send(2, level=10) == []
    assert play.send(3, level=10) == ["3 fired warning"]


def test_what_fires_goes_on_firing_after_a_restart_as_the_same_episode(stage) -> None:
    play = stage(low())
    play.send(0, level=10)
    before = play.state().episode_id

    play.restart([low()])

    assert play.send(1, level=10) == []
    assert play.state().episode_id == before
    assert play.send(2, level=50) == ["2 resolved warning"]


def test_the_same_samples_make_the_same_episode(stage) -> None:
    first, second = stage(low()), stage(low())
    for play in (first, second):
        play.send(0, level=50)
        play.send(1, level=10)

    assert first.told == second.told


def test_a_rule_that_is_gone_closes_its_episode_with_a_reason(stage) -> None:
    play = stage(low())
    play.send(0, level=10)

    play.restart([low(id="other", when=expr("level > 99"))])

    assert play.tick(1) == ["0 resolved warning"]
    assert play.told[-1].reason == "rule_deleted"


def test_a_restart_reads_before_it_judges_by_absence(stage) -> None:
    rule = low(when=expr("silent_for('30m')"))
    play = stage(rule)
    play.send(0, level=50)

    play.restart([rule], last_received_at=play.at(0))

    assert play.tick(60) == []
    assert play.tick(62) == []
    assert play.tick(63) == ["30 fired warning"]


def test_an_upstream_that_is_away_is_no_silence(stage) -> None:
    play = stage(low(when=expr("silent_for('30m')")))
    play.send(0, level=50)
    play.engine.wait("n1", until=play.at(40))

    assert play.tick(35) == []
    assert play.tick(40) == ["30 fired warning"]


def test_a_forgotten_node_is_not_looked_at(stage) -> None:
    play = stage(low(when=expr("silent_for('30m')")))
    play.send(0, level=50)

    play.engine.forget("n1")

    assert play.engine.next_due() is None
    assert play.tick(100) == []


def test_says_when_there_is_something_to_do(stage) -> None:
    play = stage(low(when=expr("silent_for('30m')"), fresh_for=minutes(60)))
    play.send(0, level=50)

    assert play.engine.next_due() == play.at(30)


def test_thresholds_may_come_from_the_configuration_of_the_node(stage) -> None:
    play = stage(low(when=expr("level < config.low_level")))

    assert play.send(0, level=19) == ["0 fired warning"]


def test_every_transition_says_why(stage) -> None:
    play = stage(low(hold=minutes(1), label="Water low"))
    play.send(0, level=10)
    play.send(1, level=9.5)

    told = play.told[0]

    assert told.sentence == "Tank 7: Water low: level < 20 for 1m (level 9.5)."
    assert told.facts["values"] == {"level": 9.5}
    assert told.facts["quality"] == {"level": "good"}
