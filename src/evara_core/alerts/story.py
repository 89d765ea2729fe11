"""What happened during one look at one node, with the facts that decided it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evara_core.alerts.cells import Episode
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.explain import facts_of, sentence_of
from evara_core.alerts.moments import from_us
from evara_core.alerts.stored import episode_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.alerts.maintenance import Maintenance
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record
    from evara_core.alerts.sample import Sample

__all__ = ["Story", "closed_orphans"]

_BY_PEOPLE = frozenset(
    {
        TransitionKind.ACKNOWLEDGED,
        TransitionKind.UNACKNOWLEDGED,
        TransitionKind.SHELVED,
        TransitionKind.UNSHELVED,
        TransitionKind.OUT_OF_SERVICE,
        TransitionKind.IN_SERVICE,
    }
)


class Story:
    """Collects the transitions of one look at one node."""

    __slots__ = ("_maintenance", "_record", "_told", "faults", "sample")

    def __init__(
        self, record: Record, maintenance: Sequence[Maintenance], faults: dict[str, str]
    ) -> None:
        self._record = record
        self._maintenance = maintenance
        self.faults = faults
        """By rule: why it could not be evaluated."""

        self._told: list[Transition] = []
        self.sample: Sample | None = None
        """The sample that is being judged."""

    def tell(
        self, kind: TransitionKind, reason: str, rule: CompiledRule, episode: Episode, at_us: int
    ) -> None:
        """Note a transition. A new episode is given its id here."""
        node = self._record.node
        if kind is TransitionKind.FIRED:
            episode.id = episode_id(rule, node.node_id, episode)
        sample = self.sample or self._record.sample(rule, at_us)
        facts = facts_of(rule, node, sample, episode, at_us)
        self._told.append(
            Transition(
                kind=kind,
                rule_id=rule.id,
                node_id=node.node_id,
                episode_id=episode.id,
                severity=episode.severity,
                at=from_us(at_us),
                fired_at=from_us(episode.fired_us) if episode.id else None,
                muted=None if kind in _BY_PEOPLE else self._muted(rule, at_us),
                reason=reason,
                facts=facts,
                sentence=sentence_of(kind, reason, rule, facts),
            )
        )

    def tell_of_rule(
        self, kind: TransitionKind, reason: str, rule: CompiledRule, at_us: int
    ) -> None:
        """Note something that belongs to no episode, or to the one that is open."""
        cell = self._record.cells.get(rule.id)
        none = Episode(severity=rule.severity, true_since_us=at_us, fired_us=at_us)
        self.tell(kind, reason, rule, (cell and cell.episode) or none, at_us)

    def _muted(self, rule: CompiledRule, at_us: int) -> str | None:
        shelves = self._record.shelves
        if shelves is not None and rule.id in shelves:
            timed = shelves[rule.id].until_us is not None
            return "shelved" if timed else "out_of_service"
        node = self._record.node
        if node.in_maintenance:
            return "maintenance"
        if self._maintenance:
            at = from_us(at_us)
            if any(window.covers(node, at) for window in self._maintenance):
                return "maintenance"
        return None

    def transitions(self) -> list[Transition]:
        """Return what was told, in order of time, short-lived episodes marked."""
        told = self._told
        if len(told) < 2:  # noqa: PLR2004 - nothing to order or to pair
            return told
        over_at: dict[str, datetime] = {}
        moments = []
        for transition in told:
            # What follows the end of an episode stays behind it, also where an edit of the rule
            # ended it at a moment after that of rows which came only then.
            moments.append(max(transition.at, over_at.get(transition.rule_id, transition.at)))
            if transition.kind is TransitionKind.RESOLVED:
                over_at[transition.rule_id] = moments[-1]
        told = [told[i] for i in sorted(range(len(told)), key=moments.__getitem__)]
        fired = {t.episode_id for t in told if t.kind is TransitionKind.FIRED}
        over = {t.episode_id for t in told if t.kind is TransitionKind.RESOLVED} & fired
        if not over:
            return told
        return [replace(t, historical=True) if t.episode_id in over else t for t in told]


def closed_orphans(record: Record) -> list[Transition]:
    """Return the end of episodes whose rule is gone, and forget them."""
    states, record.orphans = record.orphans, ()
    label = record.node.label
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
            muted="inhibited" if state.is_inhibited else None,
            facts={"node": label},
            sentence=f"{label}: {state.rule_id} was closed, because the rule was deleted.",
        )
        for state in states
        if state.episode_id is not None
    ]
