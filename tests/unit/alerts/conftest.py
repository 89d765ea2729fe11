"""One node, one minute per step: the stage on which rules are tried."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.episodes import AlertState, Phase, Transition
from evara_core.alerts.rules import AlertRule
from evara_core.telemetry.models import Measured, Node, Quality, Reading

START = datetime(2026, 1, 1, tzinfo=UTC)


def measured(value: object) -> Measured:
    match value:
        case None:
            return Measured(None, Quality.MISSING)
        case Measured():
            return value
        case _:
            return Measured(value)


class Stage:
    """Plays readings and time to an engine; minutes count from the start."""

    def __init__(self, rules: Sequence[AlertRule], node: Node) -> None:
        self.engine = AlertEngine(rules)
        self.node = node
        self.entries = 0
        self.told: list[Transition] = []

    def at(self, minute: float) -> datetime:
        return START + timedelta(minutes=minute)

    def reading(self, minute: float, *, arrives: float | None = None, **values: object) -> Reading:
        self.entries += 1
        return Reading(
            node_id=self.node.node_id,
            measured_at=self.at(minute),
            entry_id=self.entries,
            received_at=self.at(minute if arrives is None else arrives),
            values={name: measured(value) for name, value in values.items()},
        )

    def send(self, minute: float, *, arrives: float | None = None, **values: object) -> list[str]:
        return self.observe(
            [self.reading(minute, arrives=arrives, **values)],
            minute if arrives is None else arrives,
        )

    def observe(self, readings: Sequence[Reading], minute: float) -> list[str]:
        return self._note(self.engine.observe(self.node, readings, now=self.at(minute)))

    def tick(self, minute: float) -> list[str]:
        return self._note(self.engine.tick(now=self.at(minute)))

    def restart(self, rules: Sequence[AlertRule], **seen: object) -> None:
        states = self.engine.export(self.node.node_id)
        self.engine = AlertEngine(rules)
        self.engine.restore(self.node, states, **seen)

    def state(self, rule_id: str = "low") -> AlertState | None:
        states = self.engine.export(self.node.node_id)
        return next((s for s in states if s.rule_id == rule_id), None)

    def phase(self, rule_id: str = "low") -> Phase:
        state = self.state(rule_id)
        return Phase.NORMAL if state is None else state.phase

    def minute(self, moment: datetime) -> float:
        return (moment - START) / timedelta(minutes=1)

    def _note(self, told: list[Transition]) -> list[str]:
        self.told += told
        return [f"{self.minute(t.at):g} {t.kind} {t.severity}" for t in told]


@pytest.fixture
def node() -> Node:
    return Node(
        node_id="n1",
        label="Tank 7",
        kind="tank",
        category="OHT",
        tenancy=Tenancy(distributor_id="d1"),
        config={"low_level": 20.0},
        expected_interval_s=60.0,
    )


@pytest.fixture
def stage(node: Node):
    def make(*rules: AlertRule) -> Stage:
        return Stage(rules, node)

    return make
