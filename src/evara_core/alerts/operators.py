"""What people say about alerts: acknowledged, shelved, out of service. Orthogonal to phases.

None of it changes whether a condition is true. It changes who hears of it, whether time
makes it worse, and when a latching alert may end (ISA 18.2).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import TransitionKind
from evara_core.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from evara_core.alerts.cells import Episode, Mark
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record
    from evara_core.alerts.story import Story

__all__ = ["MAX_SHELVING", "acknowledge", "expire_marks", "shelve", "unacknowledge", "unshelve"]

MAX_SHELVING = timedelta(days=30)
"""The longest that an alert may be shelved: what is to be quiet for good is out of service,
which a list shows."""


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
