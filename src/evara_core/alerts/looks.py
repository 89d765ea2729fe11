"""One look at one node: a reading is taken, or time passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.alerts.editing import reconsider
from evara_core.alerts.machine import due_of, expire, judge
from evara_core.alerts.moments import to_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record
    from evara_core.alerts.sample import Sample
    from evara_core.alerts.story import Story
    from evara_core.telemetry.models import Reading

__all__ = ["in_order", "is_quiet", "pass_time", "take"]


def in_order(readings: Sequence[Reading]) -> Sequence[Reading]:
    """Return *readings* in the order of their time."""
    if len(readings) < 2:  # noqa: PLR2004 - nothing to order
        return readings
    return sorted(readings, key=lambda reading: (reading.measured_at, reading.entry_id))


def is_quiet(record: Record, reading: Reading, now: datetime) -> bool:
    """Whether *reading* changes nothing; then it is taken.

    The way of nearly every reading: nothing is pending or firing, nothing came due since
    the last one, and no condition is true.
    """
    plan, at = record.plan, reading.measured_at
    if record.cells or record.woken or record.resume_us or record.sample_at is None:
        return False
    if plan.looks_back:
        return False
    if not record.sample_at < at <= reading.received_at <= now < record.quiet_until:
        return False
    if record.base_at is None or now - record.base_at > record.wake_span:
        return False
    try:
        if plan.screen(reading.values, record.node.config, None):
            return False
    except Exception:  # noqa: BLE001 - the slow way finds out which rule it was
        return False
    record.sample_at, record.bump_us = at, 0
    record.entry_id, record.values = reading.entry_id, reading.values
    if record.received_at is None or reading.received_at > record.received_at:
        record.received_at = reading.received_at
    record.base_at = at
    return True


def take(
    record: Record, reading: Reading, at: datetime, received_at: datetime, story: Story
) -> bool:
    """Judge *reading* as measured and received at these moments; return whether it was in time."""
    late = record.is_late(at, reading.entry_id)
    at_us = to_us(at)
    received_us = at_us if received_at == at else to_us(received_at)
    if record.may_be_due(max(at, received_at)):
        _pass_time_until(record, at_us, received_us, story, late=late)
        record.is_moved = True
    if not late:
        record.take(at, reading)
    record.hear(received_at)
    if record.woken:
        record.forget_wakes(late=late)
    if late or record.bump_us:
        at_us = record.sample_us or at_us
    sample = record.as_sample(record.values, at_us, 0.0, spoken_us=at_us)
    for rule in _concerned(record, sample):
        if rule.by_arrival:
            _judge(record, rule, sample, received_us, story)
        elif not late:
            _judge(record, rule, sample, at_us, story)
    if record.is_moved:
        record.look_ahead()
    return not late


def _pass_time_until(
    record: Record, at_us: int, received_us: int, story: Story, *, late: bool
) -> None:
    """Take what came due before a reading that was measured and received at these moments."""
    can_hear = not record.waits_at(received_us)
    for rule in record.rules_awake():
        if rule.by_arrival:
            if can_hear:
                pass_time(record, rule, received_us - 1, story)
        elif not late:
            pass_time(record, rule, at_us - 1, story)


def pass_time(record: Record, rule: CompiledRule, until_us: int, story: Story) -> None:
    """Take, in order, all that comes due for one rule up to and including *until_us*."""
    while True:
        cell = record.cells.get(rule.id)
        timer_us = None if cell is None else due_of(rule, cell)
        due_us = record.next_wake_us(rule, cell)
        if cell is not None and timer_us is not None and (due_us is None or timer_us <= due_us):
            if timer_us > until_us:
                return
            # At the very moment at which a sample grows stale, it has spoken until then.
            story.sample = record.sample(rule, timer_us - 1)
            record.put(rule.id, expire(rule, cell, story.sample, timer_us, story.tell))
            record.is_moved = True
        elif due_us is not None and due_us <= until_us:
            record.wake(rule, due_us)
            _judge(record, rule, record.sample(rule, due_us), due_us, story)
        else:
            return


def _concerned(record: Record, sample: Sample) -> Iterable[CompiledRule]:
    """Return the rules that stand somewhere, or that the sample may set off."""
    plan = record.plan
    try:
        hits = plan.screen(sample.values, sample.config, sample)
    except Exception:  # noqa: BLE001 - each rule is judged alone, and the bad one found
        return plan.rules
    by_id = plan.by_id
    for rule_id in record.cells:
        hits |= 1 << by_id[rule_id].number
    concerned = []
    while hits:
        lowest = hits & -hits
        concerned.append(plan.rules[lowest.bit_length() - 1])
        hits ^= lowest
    return concerned


def _judge(record: Record, rule: CompiledRule, sample: Sample, at_us: int, story: Story) -> None:
    story.sample = sample
    before = cell = record.cells.get(rule.id)
    stood = None if before is None else (before.phase, before.answer)
    try:
        if rule in record.changed:
            record.changed = tuple(other for other in record.changed if other is not rule)
            cell = reconsider(rule, cell, sample, at_us, story)
            record.is_moved = True
        else:
            cell = judge(rule, cell, sample, at_us, story.tell)
    except Exception as error:  # noqa: BLE001 - one bad rule must not disturb another
        story.faults[rule.id] = repr(error)
        return
    if cell is None:
        if before is not None:
            del record.cells[rule.id]
            record.is_moved = True
    elif cell is not before:
        record.cells[rule.id] = cell
        record.is_moved = True
    elif rule.levels or stood != (cell.phase, cell.answer):
        # Else what was due stays due at the same moment, or later.
        record.is_moved = True
    if story.faults:
        story.faults.pop(rule.id, None)
