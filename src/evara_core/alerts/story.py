"""What happened during one look at one node, with the facts that decided it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import AlertState, Severity, Transition, TransitionKind
from evara_core.alerts.explain import facts_of, sentence_of
from evara_core.alerts.moments import from_us
from evara_core.alerts.records import episode_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.alerts.machine import Episode
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record
    from evara_core.alerts.sample import Sample

__all__ = ["Story", "close_orphans"]


class Story:
    """Collects the transitions of one look at one node."""

    __slots__ = ("_record", "_told", "sample")

    def __init__(self, record: Record, sample: Sample) -> None:
        self._record = record
        self._told: list[Transition] = []
        self.sample = sample
        """The sample that is being judged."""

    def tell(
        self, kind: TransitionKind, reason: str, rule: CompiledRule, episode: Episode, at_us: int
    ) -> None:
        """Note a transition. A new episode is given its id here."""
        node = self._record.node
        if kind is TransitionKind.FIRED:
            episode.id = episode_id(rule, node.node_id, episode)
        facts = facts_of(rule, node, self.sample, episode, at_us)
        facts["severity"] = str(episode.severity)
        self._told.append(
            Transition(
                kind=kind,
                rule_id=rule.id,
                node_id=node.node_id,
                episode_id=episode.id,
                severity=episode.severity,
                at=from_us(at_us),
                fired_at=from_us(episode.fired_us),
                reason=reason,
                facts=facts,
                sentence=sentence_of(kind, reason, rule, facts),
            )
        )

    def transitions(self) -> list[Transition]:
        """Return what was told, in order of time, short-lived episodes marked."""
        told = self._told
        if len(told) < 2:  # noqa: PLR2004 - nothing to order or to pair
            return told
        told.sort(key=lambda transition: transition.at)
        fired = {t.episode_id for t in told if t.kind is TransitionKind.FIRED}
        over = {t.episode_id for t in told if t.kind is TransitionKind.RESOLVED} & fired
        if not over:
            return told
        return [replace(t, historical=True) if t.episode_id in over else t for t in told]


def close_orphans(states: Sequence[AlertState], label: str) -> list[Transition]:
    """Return the end of episodes whose rule is gone."""
    return [
        Transition(
            kind=TransitionKind.RESOLVED,
            rule_id=state.rule_id,
            node_id=state.node_id,
            episode_id=state.episode_id,
            severity=state.severity or Severity.INFO,
            at=state.last_sample_at or state.since or from_us(0),
            fired_at=state.fired_at,
            reason="rule_deleted",
            facts={"node": label},
            sentence=f"{label}: {state.rule_id} was closed, because the rule was deleted.",
        )
        for state in states
        if state.episode_id is not None
    ]
