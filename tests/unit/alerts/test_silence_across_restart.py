"""A silence that was told stays one story when the process starts anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.telemetry.models import Measured, Node, Reading

START = datetime(2026, 1, 1, tzinfo=UTC)
NODE = Node(
    node_id="n1",
    label="Tank 7",
    kind="tank",
    category="OHT",
    tenancy=Tenancy(distributor_id="d1"),
    expected_interval_s=60,
)
# Its one hour is longer than the three intervals after which a sample is stale.
SILENT = AlertRule(id="silent", kind="tank", severity="warning", when=expr("silent_for('1h')"))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def reading(minutes: float) -> Reading:
    return Reading(
        node_id="n1",
        measured_at=at(minutes),
        entry_id=int(minutes) + 1,
        received_at=at(minutes),
        values={"level_percent": Measured(50.0)},
    )


def heard_once() -> AlertEngine:
    engine = AlertEngine([SILENT])
    engine.tick(now=at(-10))
    engine.observe(NODE, [reading(0)], now=at(0))
    return engine


def started_anew(engine: AlertEngine) -> AlertEngine:
    new = AlertEngine([SILENT])
    new.restore(NODE, engine.export("n1"), last_sample_at=at(0), last_received_at=at(0), values={})
    return new


@pytest.mark.parametrize("restarts", [1, 2])
def test_an_open_silence_is_neither_ended_nor_told_again_by_a_restart(restarts: int) -> None:
    engine = heard_once()
    (fired,) = engine.tick(now=at(61))

    told = []
    for number in range(restarts):
        engine = started_anew(engine)
        for minutes in range(10):
            told += engine.tick(now=at(70 + 20 * number + minutes))

    assert fired.kind == "fired"
    assert told == []


def test_what_speaks_again_after_the_restart_ends_that_very_silence() -> None:
    engine = heard_once()
    (fired,) = engine.tick(now=at(61))
    engine = started_anew(engine)
    engine.tick(now=at(70))

    ended = engine.observe(NODE, [reading(80)], now=at(80))

    assert [(each.kind, each.episode_id) for each in ended] == [("resolved", fired.episode_id)]
