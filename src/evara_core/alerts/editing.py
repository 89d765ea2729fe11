"""What becomes of a node's alerts when the rules are edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.alerts.episodes import TransitionKind
from evara_core.alerts.history import History
from evara_core.alerts.ladder import worst_level
from evara_core.alerts.machine import close, judge

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from evara_core.alerts.cells import Cell
    from evara_core.alerts.plan import CompiledRule, Plan
    from evara_core.alerts.records import Record
    from evara_core.alerts.sample import Sample
    from evara_core.alerts.story import Story

__all__ = ["carry_over", "reconsider", "replan"]


def carry_over(old: Mapping[str, CompiledRule], plans: Mapping[str, Plan]) -> None:
    """Give rules that were compiled anew what the engine counts by rule."""
    for plan in plans.values():
        for rule in plan.rules:
            before = old.get(rule.id)
            if before is not None and before is not rule and before.rule.kind == rule.rule.kind:
                rule.open, rule.is_full = before.open, before.is_full


def replan(
    record: Record, plan: Plan, story: Story, now_us: int, *, paused: Collection[str]
) -> None:
    """Let *record* follow another plan.

    Episodes of rules that are gone end, with the reason. A rule that means something else
    looks again at the newest values, in one step. A rule that only says it in other words
    changes nothing.
    """
    old = record.plan.by_id
    for rule_id in [rule_id for rule_id in record.cells if rule_id not in plan.by_id]:
        gone = record.cells.pop(rule_id)
        if gone.episode is not None:
            rule = old[rule_id]
            story.sample = record.sample(rule, now_us)
            reason = "rule_paused" if rule_id in paused else "rule_deleted"
            close(rule, gone, gone.episode, reason, now_us, story.tell)
    record.work_by(plan)
    record.history = _adapted(record.history, plan)
    if record.sample_at is None:
        return
    for rule in plan.rules:
        before = old.get(rule.id)
        if before is rule:
            continue
        cell = record.cells.get(rule.id)
        story.sample = sample = record.sample(rule, now_us)
        if before is None or before.rule.hash != rule.rule.hash:
            record.put(rule.id, reconsider(rule, cell, sample, now_us, story))
        elif cell is not None:
            _regrade(rule, cell, sample, now_us, story)


def reconsider(
    rule: CompiledRule, cell: Cell | None, sample: Sample, at_us: int, story: Story
) -> Cell | None:
    """Judge by a rule that means something else than it did: at once, without its keep."""
    if cell is None or cell.episode is None:
        return judge(rule, cell, sample, at_us, story.tell)
    if rule.when(sample) is False:
        return close(rule, cell, cell.episode, "rule_changed", at_us, story.tell)
    _regrade(rule, cell, sample, at_us, story)
    return judge(rule, cell, sample, at_us, story.tell)


def _regrade(rule: CompiledRule, cell: Cell, sample: Sample, at_us: int, story: Story) -> None:
    """Give an open episode the severity that the rule has now."""
    episode = cell.episode
    if episode is None:
        return
    episode.step = min(episode.step, len(rule.steps))
    taken = [severity for _, severity in rule.steps[: episode.step]]
    episode.floor = max([rule.severity, *taken], key=lambda severity: severity.rank)
    wanted = worst_level(rule, sample, episode.floor)
    if wanted is not episode.severity:
        episode.severity, episode.lower_us = wanted, None
        story.tell(TransitionKind.SEVERITY_CHANGED, "rule_changed", rule, episode, at_us)


def _adapted(history: History | None, plan: Plan) -> History | None:
    """Return a history for what *plan* looks back on, with what is known already."""
    if not plan.needs:
        return None
    adapted = History(plan.needs)
    if history is not None:
        adapted.take_over(history)
    return adapted
