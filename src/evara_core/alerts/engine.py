"""The engine: rules, nodes, and what becomes of them. Pure: no clock, no input, no output.

Its owner hands it readings (`observe`) and the time (`tick`), stores what it exports
with the readings, and restores it after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.alerts import generated, operators
from evara_core.alerts.actions import ActionKind
from evara_core.alerts.agenda import Agenda
from evara_core.alerts.desk import Desk
from evara_core.alerts.editing import carry_over, replan
from evara_core.alerts.episodes import TransitionKind
from evara_core.alerts.inhibition import Inhibitions
from evara_core.alerts.looks import in_order, is_quiet, pass_time, take
from evara_core.alerts.moments import from_us, to_us
from evara_core.alerts.plan import Compiler, Plan, plan_rules
from evara_core.alerts.records import Record
from evara_core.alerts.sample import NOTHING
from evara_core.alerts.stored import exported, remember
from evara_core.alerts.story import Story, closed_orphans
from evara_core.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.actions import OperatorAction
    from evara_core.alerts.episodes import AlertState, Transition
    from evara_core.alerts.maintenance import Maintenance
    from evara_core.alerts.plan import Backend, CompiledRule
    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Measured, Node, Reading

__all__ = ["MAX_SKEW", "AlertEngine", "EngineCounts"]

MAX_SKEW = timedelta(minutes=5)
"""How far ahead of our clock a sample may be before it counts as measured on arrival:
more than that is a device whose clock is wrong, not a slow network."""

GRACE = 3
"""Expected intervals after a restart before absence counts: enough to read every channel."""


@dataclass(slots=True, kw_only=True)
class EngineCounts:
    """What the engine did not take as it came."""

    late: int = 0
    """Samples older than one that was judged. They proved that the node is alive."""

    ahead: int = 0
    """Samples from the future. They counted as measured on arrival."""


class AlertEngine(Desk):
    """Rules over nodes.

    Args:
        rules: Those that are not enabled are left out.
        maintenance: When nobody is to be told.
        max_skew: How far ahead of our clock a sample may be.
        backend: `alerts.generated`, or `alerts.closures` where code may not be generated.

    Raises:
        InvalidRuleError: Two rules share an id.
    """

    def __init__(
        self,
        rules: Iterable[AlertRule],
        *,
        maintenance: Sequence[Maintenance] = (),
        max_skew: timedelta = MAX_SKEW,
        backend: Backend = generated,
    ) -> None:
        self._compiler = Compiler(backend)
        self._plans = plan_rules(rules, self._compiler, known={})
        self._no_plan = Plan((), self._compiler)
        self._skew = max_skew
        self._records: dict[str, Record] = {}
        self._agenda = Agenda()
        self._inhibitions = Inhibitions(self._rules())
        self._first_tick_us = self._tick_us = 0
        self.maintenance = maintenance
        self.counts = EngineCounts()
        self.faults: dict[str, str] = {}
        """By rule: why it could not be evaluated the last time. Its states stay as they were."""

    def observe(
        self,
        node: Node,
        readings: Sequence[Reading],
        *,
        now: datetime,
        evidence: Mapping[str, float] | None = None,
    ) -> list[Transition]:
        """Judge *readings* of one node, in the order of their time; return what changed.

        A reading that is older than one judged before proves that the node is alive, and
        changes nothing else. A reading from the future, by more than the skew that is
        allowed, counts as measured when it arrived.

        Args:
            node: With its newest configuration.
            readings: In any order.
            now: By our clock; no reading counts as received after it.
            evidence: What detectors say of the node, for `evidence.name`; None: as before.
        """
        try:
            # The way of nearly every reading, so without a call that it does not need.
            record = self._records[node.node_id]
            (reading,) = readings
            if (
                record.heard_at < reading.measured_at <= now
                and (record.calm_until is None or now < record.calm_until)
                and reading.received_at is now
                and record.node is node
                and evidence is None
                and not record.screen(reading.values, node.config, None)
            ):
                record.newest, record.heard_at = reading, now
                return []
        except Exception:  # noqa: BLE001 - the slow way finds out what it was
            found = self._records.get(node.node_id)
        else:
            found = record
        record = found if found is not None and found.node is node else self._enrol(node, found)
        self._settle(record)
        if evidence is not None:
            record.evidence = evidence
        story: Story | None = None
        for reading in in_order(readings):
            if not is_quiet(record, reading, now):
                story = story or self._story(record)
                self._take(record, reading, now, story)
        if story is None:
            record.calm()
            return []
        self._agenda.plan(record, record.soonest_us())
        if record.orphans:
            return self._inhibited(closed_orphans(record) + story.transitions())
        return self._inhibited(story.transitions())

    def tick(self, *, now: datetime) -> list[Transition]:
        """Return what came due without a reading: holds, silence, keeps, escalations.

        Only nodes for which something is due are looked at.
        """
        self._tick_us = now_us = to_us(now)
        self._first_tick_us = self._first_tick_us or now_us
        told: list[Transition] = []
        for record in self._agenda.due(now_us):
            self._settle(record)
            told += closed_orphans(record)
            story = self._story(record)
            operators.expire_marks(record, story, now_us)
            if not record.waits_at(now_us):
                for rule in record.rules_awake():
                    pass_time(record, rule, now_us, story)
            told += story.transitions()
            self._agenda.plan(record, record.next_due_us())
        return self._inhibited(told) + self._freed(now_us)

    def next_due(self) -> datetime | None:
        """Return a moment before which `tick` has nothing to do; None: nothing is due at all."""
        due_us = self._tick_us if self._inhibitions.is_freed else self._agenda.next_us()
        return None if due_us is None else from_us(due_us)

    def export(self, node_id: str) -> tuple[AlertState, ...]:
        """Return the states of a node that must be remembered, for storing."""
        record = self._records.get(node_id)
        if record is None:
            return ()
        self._settle(record)
        ids = sorted({*record.cells, *(record.shelves or ())})
        rules = [record.plan.by_id[rule_id] for rule_id in ids if rule_id in record.plan.by_id]
        states = [exported(record, rule) for rule in rules]
        return (*record.orphans, *(state for state in states if state is not None))

    def restore(
        self,
        node: Node,
        states: Iterable[AlertState],
        *,
        last_sample_at: datetime | None = None,
        last_received_at: datetime | None = None,
        values: Mapping[str, Measured] = NOTHING,
        recent: Sequence[Reading] = (),
    ) -> None:
        """Forget what is known of *node* and take this instead.

        Nothing comes due for it until a reading arrives, or three expected intervals have
        passed since the next tick: so a restart reads the channel before it judges by absence.

        Args:
            node: With its newest configuration.
            states: As `export` returned them.
            last_sample_at: `measured_at` of the newest reading that was judged; without it, that
                of *states*.
            last_received_at: When a reading last arrived; without it, that of *states*.
            values: What the newest reading said.
            recent: What windows look back on: the readings of the last `looks_back_s` seconds.
        """
        self.forget(node.node_id)
        record = Record(node, self._plan_for(node))
        remember(record, states, sample_at=last_sample_at, received_at=last_received_at)
        self._records[node.node_id] = record
        record.values = values
        if record.history is not None:
            for reading in in_order(recent):
                if record.sample_at is None or reading.measured_at <= record.sample_at:
                    record.history.append(to_us(reading.measured_at), reading.values)
        # A restart reads the channel first: what came meanwhile speaks before silence does.
        record.asleep = self._tick_us == 0
        record.resume_us = max(1, self._tick_us + GRACE * record.interval_us)
        if record.orphans:
            self._agenda.put(record, 0)
        else:
            self._agenda.plan(record, record.next_due_us())
        self._inhibitions.learn(record)

    def looks_back_s(self, kind: str) -> int:
        """Return how far the rules for nodes of *kind* look back, in seconds; 0: not at all."""
        plan = self._plans.get(kind)
        return 0 if plan is None else plan.needs.seconds

    def forget(self, node_id: str) -> None:
        """Drop a node, without a word. One that is not known is no error."""
        record = self._records.pop(node_id, None)
        if record is None:
            return
        self._agenda.drop(record)
        self._inhibitions.forget(node_id)
        for rule_id, cell in record.cells.items():
            if cell.episode is not None:
                record.plan.by_id[rule_id].open -= 1

    def wait(self, node_id: str, *, until: datetime) -> None:
        """Judge nothing by absence before *until*: the channel of the node cannot be read.

        Without this, an outage of the upstream would look like silence of every node.
        """
        record = self._records.get(node_id)
        if record is not None:
            record.wait_until(to_us(until))

    def replace_rules(self, rules: Iterable[AlertRule], *, now: datetime) -> list[Transition]:
        """Work by *rules* from now on; return what that changes.

        A rule that means the same keeps its states. One that means something else looks
        again at the newest values, in one step: what is still true goes on, and the rest
        ends with the reason `rule_changed`. What is gone ends with `rule_deleted` or
        `rule_paused`.

        Raises:
            InvalidRuleError: Two rules share an id. The rules are those from before.
        """
        rules = tuple(rules)
        old = {rule.id: rule for plan in self._plans.values() for rule in plan.rules}
        plans = plan_rules(rules, self._compiler, known=old)
        carry_over(old, plans)
        self._plans = plans
        self._compiler.forget_all_but(plans.values())
        for rule_id in [rule_id for rule_id in self.faults if rule_id not in old]:
            del self.faults[rule_id]
        paused = {rule.id for rule in rules if not rule.enabled}
        told: list[Transition] = []
        for record in self._records.values():
            self._settle(record)
            story = self._story(record)
            replan(record, self._plan_for(record.node), story, to_us(now), paused=paused)
            self._agenda.plan(record, record.next_due_us())
            told += story.transitions()
        told = self._inhibited(told)
        self._inhibitions = Inhibitions(self._rules())
        for record in self._records.values():
            self._inhibitions.learn(record)
        return told + self._freed(to_us(now))

    def knows(self, node_id: str) -> bool:
        """Whether the engine judges a node."""
        return node_id in self._records

    def _story(self, record: Record) -> Story:
        return Story(record, self.maintenance, self.faults)

    def _settle(self, record: Record) -> None:
        """Bring *record* up to date, before anything is decided about it."""
        record.settle()
        if record.asleep and self._first_tick_us:
            record.asleep = False
            waited_us = self._first_tick_us + GRACE * record.interval_us
            record.resume_us = max(record.resume_us, waited_us)

    def _told(self, record: Record, story: Story) -> list[Transition]:
        record.is_moved = record.has_marks = True
        self._agenda.plan(record, record.next_due_us())
        return self._inhibited(story.transitions())

    def _rules(self) -> list[AlertRule]:
        return [rule.rule for plan in self._plans.values() for rule in plan.rules]

    def _inhibited(self, told: list[Transition]) -> list[Transition]:
        return self._inhibitions.take(told, self._records) if told and self._inhibitions else told

    def _freed(self, now_us: int) -> list[Transition]:
        """Say what goes on, after what muted it is over."""
        told: list[Transition] = []
        if self._inhibitions.is_freed:
            for record, rule_id in self._inhibitions.freed(self._records):
                story = self._story(record)
                rule = record.plan.by_id[rule_id]
                story.tell_of_rule(TransitionKind.UNMUTED, "uninhibited", rule, now_us)
                told += story.transitions()
        return told

    @override
    def _perform(
        self, record: Record, rule: CompiledRule, action: OperatorAction, *, now: datetime
    ) -> list[Transition]:
        story, now_us = self._story(record), to_us(now)
        operators.perform(record, rule, action, story, now_us)
        if action.kind is ActionKind.ACKNOWLEDGE and not record.waits_at(now_us):
            # A latching alert that is clear ends by it.
            pass_time(record, rule, now_us, story)
        return self._told(record, story)

    def _plan_for(self, node: Node) -> Plan:
        return self._plans.get(node.kind, self._no_plan)

    @override
    def _found(self, node_id: str, rule_id: str) -> tuple[Record, CompiledRule]:
        record = self._records.get(node_id)
        rule = None if record is None else record.plan.by_id.get(rule_id)
        if record is None or rule is None:
            what = "rule at this node"
            raise NotFoundError(what)
        self._settle(record)
        return record, rule

    def _enrol(self, node: Node, record: Record | None) -> Record:
        if record is not None and record.node.kind == node.kind:
            record.move_to(node)
            return record
        self.forget(node.node_id)
        record = self._records[node.node_id] = Record(node, self._plan_for(node))
        return record

    def _take(self, record: Record, reading: Reading, now: datetime, story: Story) -> None:
        received_at = min(reading.received_at, now)
        at = reading.measured_at
        if at > received_at + self._skew:
            self.counts.ahead += 1
            # Where our own clock was set back, it is not older than what came before it.
            at = min(at, max(received_at, record.sample_at or received_at))
        if not take(record, reading, at, received_at, story):
            self.counts.late += 1
