"""What rules would have said: the live engine, over readings that are stored or imported.

Nothing is simulated but time. Between two readings, what came due in between is taken in
order, so the story is the one that a live engine would have told with its ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.episodes import Severity, Transition, TransitionKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Node, Reading

__all__ = ["Backtest", "BacktestEpisode", "Comparison", "RuleSummary", "backtest", "compare"]

_NEWS = frozenset(
    {
        TransitionKind.FIRED,
        TransitionKind.SEVERITY_CHANGED,
        TransitionKind.RESOLVED,
        TransitionKind.DATA_LOST,
        TransitionKind.DATA_BACK,
        TransitionKind.FLAPPING,
        TransitionKind.UNMUTED,
    }
)
_ZERO = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestEpisode:
    """An episode that would have been."""

    rule_id: str
    episode_id: str
    severity: Severity
    """The worst that it had."""

    fired_at: datetime
    ended_at: datetime | None
    """None: it was open at the end."""

    reason: str
    """Why it ended; empty while it is open."""

    fired: Transition

    def lasted(self, until: datetime) -> timedelta:
        """Return its length, up to *until* if it was open then."""
        return (self.ended_at or until) - self.fired_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSummary:
    """What one rule would have cost, and shown."""

    rule_id: str
    episodes: int
    open_at_end: int
    firing: timedelta
    """In all."""

    longest: timedelta
    messages: int
    """That somebody would have got, one for each transition that is news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What rules would have said of one node."""

    node_id: str
    readings: int
    started_at: datetime | None
    ended_at: datetime | None
    transitions: tuple[Transition, ...]
    episodes: tuple[BacktestEpisode, ...]
    """In order of their beginning."""

    rule_ids: tuple[str, ...]

    def summaries(self) -> list[RuleSummary]:
        """Return one line for each rule, also for those that said nothing."""
        return [self._summary(rule_id) for rule_id in self.rule_ids]

    def _summary(self, rule_id: str) -> RuleSummary:
        episodes = [each for each in self.episodes if each.rule_id == rule_id]
        until = self.ended_at or datetime.max  # noqa: DTZ901 - without an end there is no episode
        lengths = [episode.lasted(until) for episode in episodes]
        return RuleSummary(
            rule_id=rule_id,
            episodes=len(episodes),
            open_at_end=sum(episode.ended_at is None for episode in episodes),
            firing=sum(lengths, _ZERO),
            longest=max(lengths, default=_ZERO),
            messages=sum(_is_news(t) for t in self.transitions if t.rule_id == rule_id),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What another set of rules would have changed."""

    kept: tuple[tuple[BacktestEpisode, BacktestEpisode], ...]
    """Episodes of one rule that overlap: before, after."""

    lost: tuple[BacktestEpisode, ...]
    """Those of before that overlap with none of after."""

    gained: tuple[BacktestEpisode, ...]
    messages_before: int
    messages_after: int


def backtest(
    rules: Sequence[AlertRule],
    node: Node,
    readings: Iterable[Reading],
    *,
    until: datetime | None = None,
) -> Backtest:
    """Return what *rules* would have said of *node*.

    Each reading counts as received when it was measured: what was imported yesterday was
    not silence until then.

    Args:
        rules: Those that watch the kind of the node, and are enabled, speak.
        node: With the configuration to judge by.
        readings: Oldest first. Those that are not are late, as they would be live.
        until: When to stop; None: with the last reading.

    Raises:
        InvalidRuleError: Two rules share an id.
    """
    engine = AlertEngine(rules)
    told: list[Transition] = []
    count, first, last = 0, None, None
    for reading in readings:
        at = reading.measured_at
        if reading.received_at != at:
            reading = replace(reading, received_at=at)  # noqa: PLW2901 - the same, as if live
        told += engine.observe(node, (reading,), now=at)
        count += 1
        first = first or at
        last = at if last is None or at > last else last
    ended_at = until or last
    if ended_at is not None:
        told += engine.tick(now=ended_at)
        told = [transition for transition in told if transition.at <= ended_at]
    return Backtest(
        node_id=node.node_id,
        readings=count,
        started_at=first,
        ended_at=ended_at,
        transitions=tuple(told),
        episodes=_episodes(told),
        rule_ids=tuple(rule.id for rule in rules if rule.enabled and rule.kind == node.kind),
    )


def compare(before: Backtest, after: Backtest) -> Comparison:
    """Return what *after* says otherwise than *before*, of the same node and readings."""
    kept, lost = [], []
    matched: set[str] = set()
    for old in before.episodes:
        new = next((new for new in after.episodes if _overlap(old, new)), None)
        if new is None:
            lost.append(old)
        else:
            kept.append((old, new))
            matched |= {each.episode_id for each in after.episodes if _overlap(old, each)}
    return Comparison(
        kept=tuple(kept),
        lost=tuple(lost),
        gained=tuple(each for each in after.episodes if each.episode_id not in matched),
        messages_before=sum(map(_is_news, before.transitions)),
        messages_after=sum(map(_is_news, after.transitions)),
    )


def _is_news(transition: Transition) -> bool:
    return transition.kind in _NEWS and transition.muted is None


def _overlap(one: BacktestEpisode, other: BacktestEpisode) -> bool:
    if one.rule_id != other.rule_id:
        return False
    starts_before_end = other.ended_at is None or one.fired_at <= other.ended_at
    return starts_before_end and (one.ended_at is None or other.fired_at <= one.ended_at)


def _episodes(told: Iterable[Transition]) -> tuple[BacktestEpisode, ...]:
    episodes: dict[str, BacktestEpisode] = {}
    for transition in told:
        found = episodes.get(transition.episode_id)
        if transition.kind is TransitionKind.FIRED:
            episodes[transition.episode_id] = BacktestEpisode(
                rule_id=transition.rule_id,
                episode_id=transition.episode_id,
                severity=transition.severity,
                fired_at=transition.at,
                ended_at=None,
                reason="",
                fired=transition,
            )
        elif found is not None:
            worst = max(found.severity, transition.severity, key=lambda each: each.rank)
            over = transition.kind is TransitionKind.RESOLVED
            episodes[transition.episode_id] = replace(
                found,
                severity=worst,
                ended_at=transition.at if over else None,
                reason=transition.reason if over else "",
            )
    return tuple(episodes.values())
