"""How severe an episode is: by level, and by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.alerts.episodes import TransitionKind

if TYPE_CHECKING:
    from evara_core.alerts.cells import Episode
    from evara_core.alerts.episodes import Severity
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.sample import Sample
    from evara_core.alerts.tell import Tell

__all__ = ["climb", "escalate", "fall", "fall_due_us", "step_due_us", "worst_level"]


def worst_level(rule: CompiledRule, sample: Sample, floor: Severity) -> Severity:
    """Return the severity that *sample* asks for, and at least *floor*."""
    for severity, ask in rule.levels:
        if severity.rank <= floor.rank:
            break
        if ask(sample):
            return severity
    return floor


def climb(rule: CompiledRule, episode: Episode, sample: Sample, at_us: int, tell: Tell) -> None:
    """Let the severity rise at once, or begin to fall."""
    wanted = worst_level(rule, sample, episode.floor)
    if wanted.rank > episode.severity.rank:
        episode.severity, episode.lower_us = wanted, None
        tell(TransitionKind.SEVERITY_CHANGED, "level", rule, episode, at_us)
        if episode.ack is not None:
            episode.ack, episode.step_from_us = None, at_us
            tell(TransitionKind.UNACKNOWLEDGED, "severity_rose", rule, episode, at_us)
    elif wanted is episode.severity or not rule.rule.severity_falls:
        episode.lower_us = None
    else:
        if episode.lower_us is None or episode.lower is None:
            episode.lower_us, episode.lower = at_us, wanted
        elif wanted.rank > episode.lower.rank:
            episode.lower = wanted
        if at_us - episode.lower_us >= rule.keep_us:
            fall(rule, episode, at_us, tell)


def fall_due_us(rule: CompiledRule, episode: Episode) -> int | None:
    """Return when the severity falls if nothing comes; None: it does not."""
    return None if episode.lower_us is None else episode.lower_us + rule.keep_us


def fall(rule: CompiledRule, episode: Episode, at_us: int, tell: Tell) -> None:
    """Let the severity fall to the worst that was asked for meanwhile."""
    if episode.lower is not None and episode.lower_us is not None:
        episode.severity, episode.lower_us = episode.lower, None
        tell(TransitionKind.SEVERITY_CHANGED, "level", rule, episode, at_us)


def step_due_us(rule: CompiledRule, episode: Episode) -> int | None:
    """Return when the next step is due; None: there is none, or somebody is at it already."""
    if episode.step >= len(rule.steps) or episode.ack is not None:
        return None
    return max(episode.step_from_us, episode.fired_us + rule.steps[episode.step][0])


def escalate(rule: CompiledRule, episode: Episode, at_us: int, tell: Tell) -> None:
    """Take the next step."""
    _, severity = rule.steps[episode.step]
    episode.step += 1
    if severity.rank > episode.floor.rank:
        episode.floor = severity
    if severity.rank > episode.severity.rank:
        episode.severity, episode.lower_us = severity, None
        tell(TransitionKind.SEVERITY_CHANGED, "escalated", rule, episode, at_us)
