"""Rules tried on the past, and how one of them stands."""

from __future__ import annotations

from datetime import timedelta

from evara_core.alerts.backtest import backtest, compare
from evara_core.alerts.episodes import Phase
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.alerts.standing import explain


def rule(text: str, **fields) -> AlertRule:
    return AlertRule(id="low", kind="tank", when=expr(text), **fields)


def series(stage, *levels):
    play = stage()
    return [play.reading(m, arrives=9_999, level=v) for m, v in enumerate(levels)]


def test_shows_when_it_would_have_fired_and_for_how_long(stage, node) -> None:
    report = backtest([rule("level < 20")], node, series(stage, 50, 10, 10, 50, 10))

    summary = report.summaries()[0]
    assert (summary.episodes, summary.open_at_end, summary.messages) == (2, 1, 3)
    assert summary.longest == timedelta(minutes=2)


def test_what_was_imported_later_was_not_silent(stage, node) -> None:
    report = backtest([rule("silent_for('30m')")], node, series(stage, 50, 50, 50))

    assert report.episodes == ()


def test_compares_two_sets_of_rules(stage, node) -> None:
    readings = series(stage, 50, 10, 50, 18, 50)
    before = backtest([rule("level < 20")], node, readings)
    after = backtest([rule("level < 15")], node, readings)

    found = compare(before, after)

    assert (len(found.kept), len(found.lost), len(found.gained)) == (1, 1, 0)
    assert (found.messages_before, found.messages_after) == (4, 2)


def test_says_what_comes_next(stage) -> None:
    held = rule("level < 20", hold=timedelta(minutes=5))
    play = stage(held)
    play.send(0, level=10)
    play.send(2, level=10)

    standing = explain(held, play.state())

    assert standing.sentence == "Pending: true for 2m of 5m."
    assert standing.next_at == play.at(5)
    assert explain(held, None).phase is Phase.NORMAL
