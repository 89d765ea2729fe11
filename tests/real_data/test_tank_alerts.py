"""What the alert engine says of a year in the life of a genuine tank.

The tank runs low in the first days of November 2023, and its sensor is restless there:
single low samples between samples of about 370 mm. The longest time below 200 mm without
an interruption is 2 h 30 min, so "below 200 mm for 6 h" is true only of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.episodes import Transition
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Node, Reading
from evara_core.telemetry.translate import translator_for
from evara_core.thingspeak.export import read_export
from evara_core.thingspeak.models import Entry

TANK = Node(
    node_id="tank-1",
    label="Tank",
    kind="tank",
    category="OHT",
    tenancy=Tenancy(distributor_id="d1"),
    expected_interval_s=75 * 60,
)
MAPPING = ChannelMapping(
    channel_id=1, fields=(FieldMapping(field=1, metric="level_cm", unit="mm"),)
)


@pytest.fixture
def readings(exports: Path) -> list[Reading]:
    translator = translator_for(TANK, MAPPING)
    return [
        translator.reading(row, received_at=row.created_at)
        for row in read_export(exports / "water-tank-level.MOCmaniac.csv")
        if isinstance(row, Entry)
    ]


def below_200_mm(**fields) -> AlertRule:
    return AlertRule(**{"id": "low", "kind": "tank", "when": expr("level_cm < 20"), **fields})


def play(rule: AlertRule, readings: Sequence[Reading]) -> list[Transition]:
    engine = AlertEngine([rule])
    told: list[Transition] = []
    for reading in readings:
        told += engine.tick(now=reading.received_at)
        told += engine.observe(TANK, [reading], now=reading.received_at)
    return told


def brief(told: Sequence[Transition]) -> list[tuple[str, datetime]]:
    return [(str(transition.kind), transition.at) for transition in told]


def at(day: int, hour: int, minute: int, second: int) -> datetime:
    return datetime(2023, 11, day, hour, minute, second, tzinfo=UTC)


def test_every_row_of_the_tank_is_a_reading(readings: list[Reading]) -> None:
    assert len(readings) == 2_132


def test_below_200_mm_for_6_h_on_average(readings: list[Reading]) -> None:
    rule = below_200_mm(when=expr("mean_over(level_cm, '6h') < 20"))

    told = play(rule, readings)

    assert brief(told) == [
        ("fired", at(6, 3, 50, 54)),
        ("resolved", at(6, 10, 49, 49)),
    ]


def test_it_was_never_below_200_mm_for_6_h_on_end(readings: list[Reading]) -> None:
    told = play(below_200_mm(hold=timedelta(hours=6)), readings)

    assert told == []


def test_below_200_mm_for_an_hour_on_end(readings: list[Reading]) -> None:
    told = play(below_200_mm(hold=timedelta(hours=1)), readings)

    assert brief(told) == [
        ("fired", at(5, 1, 25, 59)),
        ("resolved", at(5, 1, 55, 43)),
        ("fired", at(6, 3, 6, 15)),
        ("resolved", at(6, 4, 35, 48)),
        ("fired", at(6, 5, 50, 46)),
        ("resolved", at(6, 6, 5, 36)),
    ]


def test_a_year_in_one_batch_tells_the_same_story(readings: list[Reading]) -> None:
    rule = below_200_mm(hold=timedelta(hours=1))
    one_by_one = play(rule, readings)

    at_once = AlertEngine([rule]).observe(TANK, readings[::-1], now=readings[-1].received_at)

    assert brief(at_once) == brief(one_by_one)
