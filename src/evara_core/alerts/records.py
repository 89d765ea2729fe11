"""What the engine remembers of a node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.history import History
from evara_core.alerts.machine import due_of
from evara_core.alerts.moments import from_us, to_us
from evara_core.alerts.sample import NOTHING, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.alerts.cells import Cell, Mark
    from evara_core.alerts.episodes import AlertState
    from evara_core.alerts.plan import CompiledRule, Plan
    from evara_core.telemetry.models import Measured, Node, Reading

__all__ = ["Record"]

_ALWAYS = datetime.max.replace(tzinfo=UTC)

_US = 1_000_000
_INTERVALS = 3
"""A sample speaks for so many expected intervals: one late report is nothing unusual."""

_NO_CELLS: dict[str, Cell] = {}


class Record:
    """One node: its newest sample, and where its rules stand."""

    __slots__ = (
        "asleep",
        "base_at",
        "bump_us",
        "calm_until",
        "cells",
        "changed",
        "entry_id",
        "evidence",
        "has_marks",
        "heard_at",
        "history",
        "interval_us",
        "is_moved",
        "newest",
        "node",
        "orphans",
        "plan",
        "quiet_until",
        "received_at",
        "resume_us",
        "sample_at",
        "scheduled_us",
        "screen",
        "shelves",
        "timers_us",
        "values",
        "wake_span",
        "woken",
    )

    def __init__(self, node: Node, plan: Plan) -> None:
        self.node = node
        self.plan = plan
        self.interval_us = round(node.expected_interval_s * _US)
        self.sample_at: datetime | None = None
        self.bump_us = 0
        """What the newest sample came after others of the same moment."""

        self.entry_id = -1
        self.received_at: datetime | None = None
        self.values: Mapping[str, Measured] = NOTHING
        self.evidence: Mapping[str, float] | None = None
        self.history = History(plan.needs) if plan.needs else None
        self.cells: dict[str, Cell] = {}
        self.shelves: dict[str, Mark] | None = None
        """By rule: who does not want to hear of it."""

        self.woken: dict[str, int] | None = None
        """By rule: up to when the passing of time since the last sample was judged."""

        self.orphans: tuple[AlertState, ...] = ()
        """Restored states whose rule is gone; resolved at the next occasion."""

        self.changed: tuple[CompiledRule, ...] = ()
        """Rules that mean something else than when their states were stored."""

        self.scheduled_us: int | None = None
        self.timers_us: int | None = None
        """When something comes due whatever arrives until then."""

        self.quiet_until = _ALWAYS
        """The same, to be compared with the moments of readings."""

        self.is_moved = True
        """Whether `timers_us` must be worked out anew."""

        self.base_at: datetime | None = None
        self.wake_span = self._least_span()
        """So long after `base_at`, at the earliest, absence may come to say something."""

        self.has_marks = False
        """Whether people said something that may run out."""

        self.newest: Reading | None = None
        """The newest sample, where it changed nothing and nothing else was done about it."""

        self.heard_at = _ALWAYS
        """While it is calm: no sample was measured, and none arrived, after this."""

        self.calm_until: datetime | None = None
        """Until then a reading after `heard_at` that sets off no rule changes nothing.
        None: however long."""

        self.screen = plan.screen

        self.resume_us = 0
        """Nothing is judged by absence before this; 0: somebody listens."""

        self.asleep = False
        """Just restored: `resume_us` follows from the first tick."""

    @property
    def sample_us(self) -> int | None:
        """When the newest sample was measured."""
        return None if self.sample_at is None else to_us(self.sample_at) + self.bump_us

    @property
    def received_us(self) -> int | None:
        """When something last arrived."""
        return None if self.received_at is None else to_us(self.received_at)

    def settle(self) -> None:
        """Take the newest sample that changed nothing, before anything is decided otherwise."""
        newest = self.newest
        if newest is None:
            return
        self.newest, self.bump_us = None, 0
        self.sample_at = self.base_at = newest.measured_at
        self.entry_id, self.values = newest.entry_id, newest.values
        if self.received_at is None or newest.received_at > self.received_at:
            self.received_at = newest.received_at

    def calm(self) -> None:
        """Work out until when readings may be taken that change nothing, without a closer look."""
        if (
            self.cells
            or self.woken
            or self.resume_us
            or self.plan.looks_back
            or self.sample_at is None
            or self.received_at is None
        ):
            self.heard_at = _ALWAYS
            return
        self.heard_at = max(self.sample_at, self.received_at)
        self.calm_until = None
        if self.plan.wakers and self.base_at is not None:
            # Here absence may come to say something.
            self.calm_until = min(self.quiet_until, self.base_at + self.wake_span)

    def wait_until(self, at_us: int) -> None:
        """Judge nothing by absence before a moment."""
        self.settle()
        self.resume_us = max(self.resume_us, at_us)
        self.heard_at = _ALWAYS

    def move_to(self, node: Node) -> None:
        """Take the newest configuration of the node."""
        if node.expected_interval_s != self.node.expected_interval_s:
            self.interval_us = round(node.expected_interval_s * _US)
            self.wake_span = self._least_span()
        self.node = node

    def work_by(self, plan: Plan) -> None:
        """Take other rules."""
        self.plan, self.screen = plan, plan.screen
        self.wake_span = self._least_span()
        self.is_moved = True

    def _least_span(self) -> timedelta:
        usual_us = self.interval_us * _INTERVALS
        spans_us = []
        for rule in self.plan.rules:
            spans_us += [rule.fresh_us or usual_us, *rule.silences_us]
            spans_us += [count * self.interval_us for count in rule.silences]
        return timedelta(microseconds=min(spans_us, default=usual_us))

    def is_late(self, at: datetime, entry_id: int) -> bool:
        """Whether a sample is not newer than the newest that was judged."""
        if self.sample_at is None or at > self.sample_at:
            return False
        return at < self.sample_at or entry_id <= self.entry_id

    def take(self, at: datetime, reading: Reading) -> None:
        """Make *reading* the newest sample."""
        # Two entries of one second: the later one comes a moment after.
        self.bump_us = self.bump_us + 1 if at == self.sample_at else 0
        self.sample_at, self.entry_id, self.values = at, reading.entry_id, reading.values
        if self.history is not None:
            self.history.append(to_us(at) + self.bump_us, reading.values)

    def hear(self, received_at: datetime) -> None:
        """Note that something arrived."""
        if self.received_at is None or received_at > self.received_at:
            self.received_at = received_at
        if self.sample_at is not None and self.sample_at < self.received_at:
            self.base_at = self.sample_at
        else:
            self.base_at = self.received_at
        self.asleep, self.resume_us = False, 0

    def forget_wakes(self, *, late: bool) -> None:
        """Begin to count absence anew: something arrived, and it was news unless it is *late*."""
        by_id = self.plan.by_id
        woken = {
            rule_id: at_us
            for rule_id, at_us in (self.woken or {}).items()
            if rule_id in by_id and late and not by_id[rule_id].by_arrival
        }
        self.woken = woken or None
        self.is_moved = True

    def put(self, rule_id: str, cell: Cell | None) -> None:
        """Set where a rule stands."""
        if cell is not None:
            self.cells[rule_id] = cell
        elif self.cells:
            self.cells.pop(rule_id, None)

    def fresh_until_us(self, rule: CompiledRule) -> int | None:
        """Return when the newest sample stops to speak, or None if there is none."""
        base_us = self.received_us if rule.by_arrival else self.sample_us
        if base_us is None:
            return None
        return base_us + (rule.fresh_us or self.interval_us * _INTERVALS)

    def next_wake_us(self, rule: CompiledRule, cell: Cell | None) -> int | None:
        """Return when *rule* must be judged again though nothing came, or None."""
        if cell is None and not rule.wakes:
            return None
        return self._wake_us(rule, self.sample_us, self.received_us)

    def _wake_us(
        self, rule: CompiledRule, sample_us: int | None, received_us: int | None
    ) -> int | None:
        base_us = received_us if rule.by_arrival else sample_us
        if base_us is None:
            return None
        stale_us = base_us + (rule.fresh_us or self.interval_us * _INTERVALS)
        if self.woken is None and not rule.by_arrival and not rule.is_scheduled:
            return stale_us
        woken_us = -1 if self.woken is None else self.woken.get(rule.id, -1)
        wakes = [stale_us]
        if rule.by_arrival:
            wakes += [base_us + silence_us for silence_us in rule.silences_us]
            wakes += [base_us + count * self.interval_us for count in rule.silences]
        if rule.is_scheduled:
            edge_us = rule.next_edge_us(max(woken_us, base_us))
            if edge_us is not None:
                wakes.append(edge_us)
        return min((wake_us for wake_us in wakes if wake_us > woken_us), default=None)

    def wake(self, rule: CompiledRule, at_us: int) -> None:
        """Note that the time up to *at_us* was judged."""
        if self.woken is None:
            self.woken = {}
        self.woken[rule.id] = at_us
        self.is_moved = True

    def look_ahead(self) -> None:
        """Work out when something comes due whatever arrives until then."""
        by_id = self.plan.by_id
        dues = [due_of(by_id[rule_id], cell) for rule_id, cell in self.cells.items()]
        for rule in self.plan.scheduled:
            woken_us = 0 if self.woken is None else self.woken.get(rule.id, 0)
            base_us = (self.received_us if rule.by_arrival else self.sample_us) or 0
            dues.append(rule.next_edge_us(max(woken_us, base_us)))
        self.timers_us = min((due_us for due_us in dues if due_us is not None), default=None)
        self.quiet_until = _ALWAYS if self.timers_us is None else from_us(self.timers_us)
        self.is_moved = False

    def may_be_due(self, at: datetime) -> bool:
        """Whether something may have come due before a moment."""
        if self.is_moved or self.base_at is None or at >= self.quiet_until:
            return True
        return at - self.base_at > self.wake_span

    def soonest_us(self) -> int | None:
        """Return a moment before which nothing comes due without a reading, quickly."""
        if self.base_at is None or not (self.cells or self.plan.wakers):
            return self.timers_us
        wake_us = to_us(self.base_at + self.wake_span)
        return wake_us if self.timers_us is None else min(wake_us, self.timers_us)

    def next_due_us(self) -> int | None:
        """Return when something comes due without a reading; None: nothing does."""
        sample_us, received_us = self.sample_us, self.received_us
        wakes = [self._wake_us(rule, sample_us, received_us) for rule in self.rules_awake()]
        by_id = self.plan.by_id
        timers = [due_of(by_id[rule_id], cell) for rule_id, cell in self.cells.items()]
        return min((us for us in (*wakes, *timers) if us is not None), default=None)

    def next_mark_end_us(self) -> int | None:
        """Return when something that a person said runs out, or None."""
        episodes = [cell.episode for cell in self.cells.values() if cell.episode is not None]
        ends = [episode.ack.until_us for episode in episodes if episode.ack is not None]
        if self.shelves is not None:
            ends += [mark.until_us for mark in self.shelves.values()]
        self.has_marks = bool(ends)
        return min((end_us for end_us in ends if end_us is not None), default=None)

    def waits_at(self, at_us: int) -> bool:
        """Whether absence says nothing at a moment, because nobody could listen."""
        return self.asleep or self.resume_us > at_us

    def rules_awake(self) -> Sequence[CompiledRule]:
        """Return the rules for which something may come due by the passing of time."""
        wakers = self.plan.wakers
        if not self.cells:
            return wakers
        by_id = self.plan.by_id
        others = [by_id[rule_id] for rule_id in self.cells if not by_id[rule_id].wakes]
        return [*wakers, *others]

    def sample(self, rule: CompiledRule, at_us: int) -> Sample:
        """Return what the node says at a moment that is not before its newest sample."""
        fresh_until_us = self.fresh_until_us(rule)
        is_stale = fresh_until_us is None or at_us >= fresh_until_us
        heard_us = self.received_us
        silent_s = None if heard_us is None else max(0, at_us - heard_us) / _US
        spoken_us = None if is_stale or rule.by_arrival else self.sample_us
        values = NOTHING if is_stale else self.values
        return self.as_sample(values, at_us, silent_s, spoken_us=spoken_us)

    def as_sample(
        self,
        values: Mapping[str, Measured],
        at_us: int,
        silent_s: float | None,
        *,
        spoken_us: int | None = None,
    ) -> Sample:
        """Return *values* with all else that a condition may ask for."""
        return Sample(
            values,
            config=self.node.config,
            evidence=self.evidence or {},
            history=self.history,
            at_us=at_us,
            silent_s=silent_s,
            interval_s=self.node.expected_interval_s,
            spoken_us=spoken_us,
        )
