"""The short way of readings that change nothing tells the same story as the long one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.alerts.test_engine_model import NODE, rules, values

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.telemetry.models import Measured, Quality, Reading

START = datetime(2026, 1, 1, tzinfo=UTC)

steps = st.lists(
    st.tuples(
        st.sampled_from(["reading", "reading", "reading", "tick", "wait", "restart"]),
        st.integers(-100, 200),
        st.integers(-30, 120),
        values,
    ),
    max_size=25,
)


def played(chosen, story, *, short: bool) -> list[object]:
    """Return all that is told; the short way is taken where two moments are one object."""
    engine = AlertEngine(chosen)
    now, told = START + timedelta(seconds=1_000), []
    for number, (what, gap, lag, each) in enumerate(story):
        now += timedelta(seconds=gap)
        if what == "reading":
            reading = Reading(
                node_id="n1",
                measured_at=now - timedelta(seconds=lag),
                entry_id=number,
                received_at=now if short else now + timedelta(),
                values=each,
            )
            told += engine.observe(NODE, [reading], now=now)
        elif what == "tick":
            told += engine.tick(now=now)
        elif what == "wait":
            engine.wait("n1", until=now)
        else:
            states = engine.export("n1")
            told.append(states)
            engine = AlertEngine(chosen)
            engine.restore(NODE, states)
    return [*told, engine.export("n1"), engine.counts]


@given(chosen=st.lists(rules, min_size=1, max_size=2), story=steps)
def test_what_is_told_does_not_depend_on_the_way(chosen, story) -> None:
    named = [AlertRule(**{**fields(each), "id": f"r{n}"}) for n, each in enumerate(chosen)]

    assert played(named, story, short=True) == played(named, story, short=False)


def fields(rule: AlertRule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in rule.__dataclass_fields__ if name != "hash"}


def test_a_value_that_is_bad_or_none_sets_off_nothing_and_hides_nothing() -> None:
    watched = [
        AlertRule(id="low", kind="tank", when=expr("level < 20")),
        AlertRule(id="fast", kind="tank", when=expr("flow > 5")),
    ]
    engine = AlertEngine(watched)
    told = []

    for minute, level in enumerate(
        [Measured(50.0), Measured(10.0, Quality.BAD), Measured(None, Quality.MISSING), None]
    ):
        now = START + timedelta(minutes=minute)
        said = {"flow": Measured(9.0 if minute == 3 else 1.0)}
        said |= {} if level is None else {"level": level}
        reading = Reading(
            node_id="n1", measured_at=now, entry_id=minute, received_at=now, values=said
        )
        told += engine.observe(NODE, [reading], now=now)

    assert [(each.rule_id, each.kind) for each in told] == [("fast", "fired")]
