"""The engine against a slow reference model, step by step, on whatever Hypothesis thinks of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.unit.alerts.reference import Reference

from evara_core.access.tenancy import Tenancy
from evara_core.alerts import closures, generated
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.episodes import Phase, Transition
from evara_core.alerts.expression import expr
from evara_core.alerts.moments import to_us
from evara_core.alerts.rules import AlertRule, Flap, Level, Step
from evara_core.telemetry.models import Measured, Node, Quality, Reading

INTERVAL_S = 60
START = datetime(2026, 1, 1, tzinfo=UTC)
NODE = Node(
    node_id="n1",
    label="Tank 7",
    kind="tank",
    category="OHT",
    tenancy=Tenancy(distributor_id="d1"),
    config={"low": 20.0},
    expected_interval_s=INTERVAL_S,
)

spans = st.sampled_from([0, 1, 30, 60, 90, 200]).map(lambda s: timedelta(seconds=s))
conditions = st.sampled_from(
    [
        "level < 20",
        "level < config.low && flow > 5",
        "level < 20 || flow > 8",
        "!has(level)",
        "quality(level) == 'bad'",
        "silent_for('2m')",
        "silent_for('1m') && !has(flow) || level < 10",
        "true",
    ]
).map(expr)
rules = st.builds(
    AlertRule,
    id=st.just("r"),
    kind=st.just("tank"),
    when=conditions,
    clear_when=st.sampled_from([None, None, "level > 25", "flow < 2"]).map(
        lambda text: text and expr(text)
    ),
    severity=st.sampled_from(["info", "warning"]),
    hold=spans,
    keep=spans,
    on_unknown=st.sampled_from(["hold", "hold", "resolve", "alert", "no_data"]),
    unknown_limit=st.sampled_from([timedelta(seconds=100), timedelta(seconds=600)]),
    fresh_for=st.sampled_from([None, None, timedelta(seconds=45), timedelta(seconds=300)]),
    levels=st.sampled_from(
        [(), (), (Level(severity="critical", when=expr("level < 5 || flow > 9")),)]
    ),
    severity_falls=st.booleans(),
    escalate=st.sampled_from([(), (), (Step(after=timedelta(seconds=70), severity="critical"),)]),
    latching=st.sampled_from([False, False, False, True]),
    auto_clear=st.sampled_from([None, None, timedelta(seconds=120)]),
    flap=st.sampled_from(
        [None, None, Flap(window=timedelta(seconds=400), high=2, low=0), Flap(high=3, low=1)]
    ),
)
values = st.fixed_dictionaries(
    {},
    optional={
        "level": st.one_of(
            st.sampled_from([3.0, 15.0, 22.0, 30.0]).map(Measured),
            st.just(Measured(15.0, Quality.BAD)),
            st.just(Measured(None, Quality.MISSING)),
        ),
        "flow": st.sampled_from([1.0, 7.0, 9.5]).map(Measured),
    },
)


def second(moment: datetime) -> int:
    return to_us(moment) // 1_000_000 - to_us(START) // 1_000_000


def in_order(told: list[tuple]) -> list[tuple]:
    """Return events by their time, but none before the end of the episode that it follows."""
    over, moments = 0, []
    for at, kind, *_ in told:
        moments.append(max(at, over))
        over = moments[-1] if kind == "resolved" else over
    return [told[i] for i in sorted(range(len(told)), key=moments.__getitem__)]


class EngineMachine(RuleBasedStateMachine):
    """Plays the same to the engine and to the model."""

    @initialize(chosen=rules, backend=st.sampled_from([closures, generated]))
    def begin(self, chosen: AlertRule, backend) -> None:
        self.backend = backend
        self.rule = chosen
        self.engine = AlertEngine([chosen], backend=backend)
        self.model = Reference(chosen, INTERVAL_S, dict(NODE.config))
        self.now = 1_000
        self.resume = 0
        self.asleep = False
        self.ticked: int | None = None
        self.first_tick: int | None = None
        self.entries = 0

    def at(self, second: int) -> datetime:
        return START + timedelta(seconds=second)

    def agree(self, told: list[Transition]) -> None:
        heard = [(second(t.at), str(t.kind), str(t.severity), t.reason) for t in told]
        expected = in_order(self.model.told)
        self.model.told = []
        assert heard == expected, (heard, expected)

    @rule(
        gap=st.integers(0, 150),
        samples=st.lists(st.tuples(st.integers(-30, 120), values), min_size=1, max_size=3),
    )
    def observe(self, gap: int, samples: list) -> None:
        self.now += gap
        # Two samples of one moment have a test of their own: the model counts in seconds.
        seen = {None if self.model.sample is None else self.model.sample[0]}
        readings = []
        for lag, each in samples:
            if self.now - lag in seen:
                continue
            seen.add(self.now - lag)
            self.entries += 1
            readings.append(
                Reading(
                    node_id="n1",
                    measured_at=self.at(self.now - lag),
                    entry_id=self.entries,
                    received_at=self.at(self.now),
                    values=each,
                )
            )
        if not readings:
            return
        told = self.engine.observe(NODE, readings, now=self.at(self.now))
        can_hear = not self.asleep and self.resume <= self.now
        self.asleep, self.resume = False, 0
        for reading in sorted(readings, key=lambda r: (r.measured_at, r.entry_id)):
            self.model.take(
                second(reading.measured_at), self.now, reading.values, can_hear=can_hear
            )
            can_hear = True
        self.agree(told)

    @rule(gap=st.integers(0, 250))
    def tick(self, gap: int) -> None:
        self.now += gap
        told = self.engine.tick(now=self.at(self.now))
        self.first_tick = self.now if self.first_tick is None else self.first_tick
        self.ticked = self.now
        if self.asleep:
            self.asleep = False
            self.resume = max(self.resume, self.first_tick + 3 * INTERVAL_S)
        self.model.end_acknowledgement(self.now)
        if self.resume <= self.now:
            self.model.advance(self.now)
        self.agree(told)

    @rule()
    def restart(self) -> None:
        states = self.engine.export("n1")
        self.engine = AlertEngine([self.rule], backend=self.backend)
        sample, heard = self.model.sample, self.model.heard
        self.engine.restore(
            NODE,
            states,
            last_sample_at=None if sample is None else self.at(sample[0]),
            last_received_at=None if heard is None else self.at(heard),
            values={} if sample is None else sample[1],
        )
        self.model.restart()
        self.asleep, self.resume = True, 0
        self.first_tick = self.ticked = None

    @rule(chosen=rules)
    def edit(self, chosen: AlertRule) -> None:
        self.rule = chosen
        told = self.engine.replace_rules([chosen], now=self.at(self.now))
        self.model.edit(chosen, self.now)
        self.agree(told)

    @precondition(lambda self: self.model.episode is not None)
    @rule(lasts=st.sampled_from([None, 50, 500]))
    def acknowledge(self, lasts: int | None) -> None:
        until = None if lasts is None else self.now + lasts
        told = self.engine.acknowledge(
            "n1", "r", by="op", now=self.at(self.now), until=until and self.at(until)
        )
        self.model.acknowledge(self.now, until)
        if not self.asleep and self.resume <= self.now:
            self.model.advance(self.now)
        self.agree(told)

    @rule(gap=st.integers(-200, 0))
    def clock_goes_back(self, gap: int) -> None:
        self.now += gap

    @rule(span=st.integers(0, 300))
    def upstream_is_away(self, span: int) -> None:
        self.engine.wait("n1", until=self.at(self.now + span))
        self.resume = max(self.resume, self.now + span)

    @invariant()
    def states_agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        state = next(iter(self.engine.export("n1")), None)
        model = self.model
        if state is None:
            assert model.phase == "normal"
            return
        assert state.phase is Phase(model.phase)
        assert (state.answer, state.held_s) == (model.answer, model.held)
        assert (state.episode_id is None) == (model.episode is None)
        if model.episode is not None:
            assert state.severity is model.episode.severity


EngineMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
TestEngine = EngineMachine.TestCase
