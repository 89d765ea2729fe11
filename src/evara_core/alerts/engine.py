"""The engine: rules, nodes, and what becomes of them. Pure: no clock, no input, no output.

Its owner hands it readings (`observe`) and the time (`tick`), stores what it exports
with the readings, and restores it after a restart.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.agenda import Agenda
from evara_core.alerts.machine import due_of, expire, judge
from evara_core.alerts.moments import from_us, span_us, to_us
from evara_core.alerts.plan import plan_rules
from evara_core.alerts.records import Record, export_cell, restore_cell
from evara_core.alerts.sample import NOTHING, Sample
from evara_core.alerts.story import Story, close_orphans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.episodes import AlertState, Transition
    from evara_core.alerts.plan import CompiledRule, Plan
    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Measured, Node, Reading

__all__ = ["MAX_SKEW", "AlertEngine"]

MAX_SKEW = timedelta(minutes=5)
"""How far ahead of our clock a sample may be before it counts as measured on arrival:
more than that is a device whose clock is wrong, not a slow network."""


class AlertEngine:
    """Rules over nodes.

    Raises:
        InvalidRuleError: Two rules share an id.
    """

    def __init__(self, rules: Iterable[AlertRule], *, max_skew: timedelta = MAX_SKEW) -> None:
        self._plans = plan_rules(rules)
        self._skew_us = span_us(max_skew)
        self._records: dict[str, Record] = {}
        self._agenda = Agenda()
        self.faults: dict[str, str] = {}
        """By rule: why it could not be evaluated the last time. Its states stay as they were."""

    def observe(
        self, node: Node, readings: Sequence[Reading], *, now: datetime
    ) -> list[Transition]:
        """Judge *readings* of one node, in the order of their time; return what changed.

        A reading that is older than one judged before proves that the node is alive, and
        changes nothing else. A reading from the future, by more than the skew that is
        allowed, counts as measured when it arrived.

        Args:
            node: With its newest configuration.
            readings: In any order.
            now: By our clock; no reading counts as received after it.
        """
        plan = self._plans.get(node.kind)
        if plan is None:
            return []
        record = self._record_of(node, plan)
        story = Story(record, Sample(record.values, config=node.config))
        told = _closed(record)
        now_us = to_us(now)
        for reading in _ordered(readings):
            received_us = min(to_us(reading.received_at), now_us)
            self._take(record, plan, reading, received_us, story)
        self._schedule(record, plan)
        return told + story.transitions()

    def tick(self, *, now: datetime) -> list[Transition]:
        """Return what came due without a reading: holds, silence, keeps, escalations.

        Only nodes for which something is due are looked at.
        """
        now_us = to_us(now)
        told: list[Transition] = []
        for record in self._agenda.due(now_us):
            plan = self._plans.get(record.node.kind)
            told += _closed(record)
            if plan is None:
                continue
            if record.asleep:
                # A restart looks at the channel first: what came meanwhile speaks before silence.
                record.asleep = False
                record.resume_us = max(record.resume_us, now_us + record.fresh_us)
            if record.resume_us <= now_us:
                story = Story(record, Sample(record.values, config=record.node.config))
                for rule in _awake(record, plan):
                    self._pass_time(record, rule, now_us, story)
                told += story.transitions()
            self._schedule(record, plan)
        return told

    def next_due(self) -> datetime | None:
        """Return a moment before which `tick` has nothing to do; None: nothing is due at all."""
        due_us = self._agenda.next_us()
        return None if due_us is None else from_us(due_us)

    def export(self, node_id: str) -> tuple[AlertState, ...]:
        """Return the states of a node that are not normal, for storing."""
        record = self._records.get(node_id)
        if record is None:
            return ()
        plan = self._plans.get(record.node.kind)
        rules = {} if plan is None else plan.by_id
        cells = ((rules[rule_id], cell) for rule_id, cell in sorted(record.cells.items()))
        return (*record.orphans, *(export_cell(record, rule, cell) for rule, cell in cells))

    def restore(
        self,
        node: Node,
        states: Iterable[AlertState],
        *,
        last_sample_at: datetime | None = None,
        last_received_at: datetime | None = None,
        values: Mapping[str, Measured] = NOTHING,
    ) -> None:
        """Forget what is known of *node* and take this instead.

        Nothing comes due for it until a reading arrives or, from the next tick on, its
        samples would be stale: so a restart reads the channel before it judges by absence.

        Args:
            node: With its newest configuration.
            states: As `export` returned them.
            last_sample_at: `measured_at` of the newest reading that was judged; without it, that
                of *states*.
            last_received_at: When a reading last arrived; without it, that of *states*.
            values: What the newest reading said.
        """
        states = tuple(states)
        plan = self._plans.get(node.kind)
        self.forget(node.node_id)
        record = self._records[node.node_id] = Record(node, plan)
        rules = {} if plan is None else plan.by_id
        for state in states:
            rule = rules.get(state.rule_id)
            if rule is None:
                record.orphans += (state,)
            elif (cell := restore_cell(state, rule)) is not None:
                record.cells[rule.id] = cell
        seen_at = [s.last_sample_at for s in states if s.last_sample_at is not None]
        heard_at = [s.last_received_at for s in states if s.last_received_at is not None]
        record.sample_at = last_sample_at or max(seen_at, default=None)
        record.sample_us = None if record.sample_at is None else to_us(record.sample_at)
        received_at = last_received_at or max(heard_at, default=None)
        record.received_us = None if received_at is None else to_us(received_at)
        record.values = values
        record.asleep = True
        if record.orphans:
            self._agenda.put(record, 0)
        elif plan is not None:
            self._schedule(record, plan)

    def forget(self, node_id: str) -> None:
        """Drop a node, without a word. One that is not known is no error."""
        record = self._records.pop(node_id, None)
        if record is not None:
            self._agenda.drop(record)

    def wait(self, node_id: str, *, until: datetime) -> None:
        """Judge nothing by absence before *until*: the channel of the node cannot be read.

        Without this, an outage of the upstream would look like silence of every node.
        """
        record = self._records.get(node_id)
        if record is not None:
            record.resume_us = max(record.resume_us, to_us(until))

    def _record_of(self, node: Node, plan: Plan) -> Record:
        record = self._records.get(node.node_id)
        if record is None:
            record = self._records[node.node_id] = Record(node, plan)
        elif record.node is not node:
            record.move_to(node)
        return record

    def _take(
        self, record: Record, plan: Plan, reading: Reading, received_us: int, story: Story
    ) -> None:
        """Judge one reading."""
        at = reading.measured_at
        at_us = to_us(at)
        if at_us > received_us + self._skew_us:
            at, at_us = from_us(received_us), received_us
        late = record.is_late(at, reading.entry_id)
        for rule in _awake(record, plan):
            if rule.by_arrival or not late:
                until_us = received_us if rule.by_arrival else at_us
                self._pass_time(record, rule, until_us - 1, story)
        if not late:
            record.take(at, at_us, reading)
        record.hear(received_us)
        sample = Sample(
            record.values,
            config=record.node.config,
            history=record.history,
            at_us=record.sample_us or 0,
            silent_s=0.0,
            interval_s=record.node.expected_interval_s,
        )
        for rule in plan.rules:
            if rule.by_arrival:
                self._judge(record, rule, sample, received_us, story)
            elif not late:
                self._judge(record, rule, sample, sample.at_us, story)

    def _pass_time(self, record: Record, rule: CompiledRule, until_us: int, story: Story) -> None:
        """Take, in order, all that comes due for one rule up to and including *until_us*."""
        while True:
            cell = record.cells.get(rule.id)
            timer = None if cell is None else due_of(rule, cell)
            wake = record.next_wake(rule, cell)
            due_us = min((due for due in (timer, wake) if due is not None), default=None)
            if due_us is None or due_us > until_us:
                return
            if cell is not None and timer == due_us:
                story.sample = record.sample(rule, due_us - 1)
                record.put(rule, expire(rule, cell, due_us, story.tell))
            else:
                record.woken[rule.id] = due_us
                self._judge(record, rule, record.sample(rule, due_us), due_us, story)

    def _judge(
        self, record: Record, rule: CompiledRule, sample: Sample, at_us: int, story: Story
    ) -> None:
        story.sample = sample
        try:
            cell = judge(rule, record.cells.get(rule.id), sample, at_us, story.tell)
        except Exception as error:  # noqa: BLE001 - one bad rule must not disturb another
            self.faults[rule.id] = repr(error)
        else:
            record.put(rule, cell)

    def _schedule(self, record: Record, plan: Plan) -> None:
        """See to it that `tick` looks at *record* when something comes due for it."""
        due_us: int | None = None
        for rule in _awake(record, plan):
            cell = record.cells.get(rule.id)
            for due in (
                None if cell is None else due_of(rule, cell),
                record.next_wake(rule, cell),
            ):
                if due is not None and (due_us is None or due < due_us):
                    due_us = due
        if due_us is not None:
            self._agenda.put(record, max(due_us, record.resume_us))


def _ordered(readings: Sequence[Reading]) -> Sequence[Reading]:
    if len(readings) < 2:  # noqa: PLR2004 - nothing to order
        return readings
    return sorted(readings, key=lambda reading: (reading.measured_at, reading.entry_id))


def _awake(record: Record, plan: Plan) -> Iterable[CompiledRule]:
    """Return the rules for which something may come due by the passing of time."""
    if not record.cells:
        return plan.wakers
    return [rule for rule in plan.rules if rule.wakes or rule.id in record.cells]


def _closed(record: Record) -> list[Transition]:
    if not record.orphans:
        return []
    told = close_orphans(record.orphans, record.node.label)
    record.orphans = ()
    return told
