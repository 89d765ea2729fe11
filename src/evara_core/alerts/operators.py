"""What people say about alerts: acknowledged, shelved, out of service. Orthogonal to phases.

None of it changes whether a condition is true. It changes who hears of it, whether time
makes it worse, and when a latching alert may end (ISA 18.2).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.actions import ActionKind
from evara_core.alerts.cells import Mark
from evara_core.alerts.episodes import TransitionKind
from evara_core.alerts.machine import close
from evara_core.alerts.moments import to_us
from evara_core.errors import ConflictError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from evara_core.alerts.actions import OperatorAction
    from evara_core.alerts.cells import Episode
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record
    from evara_core.alerts.story import Story

__all__ = [
    "IS_TRUE", "MAX_SHELVING", "acknowledge", "expire_marks", "is_done", "perform", "resolve",
    "shelve", "unacknowledge", "unshelve",
]  # fmt: skip

IS_TRUE = "the condition is true at present: shelve the alert, or change the rule"
"""Why an episode may not be ended by hand: it would only begin again."""

MAX_SHELVING = timedelta(days=30)
"""The longest that an alert may be shelved: what is to be quiet for good is out of service,
which a list shows."""


def perform(
    record: Record, rule: CompiledRule, action: OperatorAction, story: Story, now_us: int
) -> None:
    """Do what *action* says.

    Raises:
        NotFoundError: No episode is open that it could be about.
        ConflictError: An episode is to end that is known to go on.
        InvalidInputError: A shelving ends before it begins, or too late.
    """
    mark = _mark(action, now_us)
    at_us = mark.at_us
    match action.kind:
        case ActionKind.ACKNOWLEDGE:
            acknowledge(record, rule, mark, story)
        case ActionKind.UNACKNOWLEDGE:
            unacknowledge(record, rule, story, at_us)
        case ActionKind.SHELVE:
            shelve(record, rule, mark, story)
        case ActionKind.UNSHELVE:
            unshelve(record, rule, story, at_us)
        case ActionKind.RESOLVE:
            resolve(record, rule, story, at_us)


def is_done(record: Record, rule: CompiledRule, action: OperatorAction, now_us: int) -> bool:
    """Whether it is so already: what is told again after a crash is no news."""
    mark = _mark(action, now_us)
    cell = record.cells.get(rule.id)
    match action.kind:
        case ActionKind.ACKNOWLEDGE:
            return cell is not None and cell.episode is not None and cell.episode.ack == mark
        case ActionKind.SHELVE:
            return record.shelves is not None and record.shelves.get(rule.id) == mark
        case _:
            return False


def _mark(action: OperatorAction, now_us: int) -> Mark:
    until_us = None if action.until is None else to_us(action.until)
    at_us = min(to_us(action.at), now_us)
    return Mark(by=action.by, at_us=at_us, note=action.note, until_us=until_us)


def acknowledge(record: Record, rule: CompiledRule, mark: Mark, story: Story) -> None:
    """Note that somebody has seen the open episode.

    Raises:
        NotFoundError: No episode is open.
    """
    episode = _open_episode(record, rule)
    episode.ack = mark
    story.tell(TransitionKind.ACKNOWLEDGED, "operator", rule, episode, mark.at_us)


def unacknowledge(
    record: Record, rule: CompiledRule, story: Story, at_us: int, *, reason: str = "operator"
) -> None:
    """Take an acknowledgement back. None is no error.

    Raises:
        NotFoundError: No episode is open.
    """
    episode = _open_episode(record, rule)
    if episode.ack is not None:
        story.tell(TransitionKind.UNACKNOWLEDGED, reason, rule, episode, at_us)
        episode.ack, episode.step_from_us = None, at_us


def shelve(record: Record, rule: CompiledRule, mark: Mark, story: Story) -> None:
    """Note that somebody does not want to hear of it: for a while, or until it is returned.

    Raises:
        InvalidInputError: It would end before it begins, or later than a month from now.
    """
    if mark.until_us is not None:
        span = timedelta(microseconds=mark.until_us - mark.at_us)
        if not timedelta() < span <= MAX_SHELVING:
            problem = f"a shelving ends within {MAX_SHELVING.days} days"
            raise InvalidInputError(problem)
    record.shelves = {**(record.shelves or {}), rule.id: mark}
    kind = TransitionKind.SHELVED if mark.until_us is not None else TransitionKind.OUT_OF_SERVICE
    story.tell_of_rule(kind, "operator", rule, mark.at_us)


def unshelve(
    record: Record, rule: CompiledRule, story: Story, at_us: int, *, reason: str = "operator"
) -> None:
    """Let people hear of it again. What is not shelved is no error."""
    shelves = dict(record.shelves or {})
    mark = shelves.pop(rule.id, None)
    if mark is not None:
        record.shelves = shelves or None
        timed = mark.until_us is not None
        kind = TransitionKind.UNSHELVED if timed else TransitionKind.IN_SERVICE
        story.tell_of_rule(kind, reason, rule, at_us)


def resolve(record: Record, rule: CompiledRule, story: Story, at_us: int) -> None:
    """End the open episode, because somebody says that it is over.

    Raises:
        NotFoundError: No episode is open.
        ConflictError: It is known to be true: it would only begin again.
    """
    episode, cell = _open_episode(record, rule), record.cells[rule.id]
    if cell.answer is True:
        raise ConflictError(IS_TRUE)
    at_us = max(at_us, cell.judged_us)
    record.put(rule.id, close(rule, cell, episode, "operator", at_us, story.tell))


def expire_marks(record: Record, story: Story, now_us: int) -> None:
    """End what people said for a time that is over."""
    for rule_id, mark in list((record.shelves or {}).items()):
        rule = record.plan.by_id.get(rule_id)
        if rule is not None and mark.until_us is not None and mark.until_us <= now_us:
            unshelve(record, rule, story, mark.until_us, reason="ran_out")
    for rule_id, cell in record.cells.items():
        ack = None if cell.episode is None else cell.episode.ack
        if ack is not None and ack.until_us is not None and ack.until_us <= now_us:
            rule = record.plan.by_id[rule_id]
            unacknowledge(record, rule, story, ack.until_us, reason="ran_out")


def _open_episode(record: Record, rule: CompiledRule) -> Episode:
    cell = record.cells.get(rule.id)
    if cell is None or cell.episode is None:
        what = "open episode"
        raise NotFoundError(what)
    return cell.episode
