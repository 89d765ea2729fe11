"""What mutes what: a gateway that is offline mutes the alerts of the nodes behind it.

Decided from the episodes that are open, and nothing else. A muted episode is judged and
recorded as any other; when the last of what muted it is over and it still goes on, that is
said. Nothing mutes in a circle: a rule that would close one mutes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from evara_core.alerts.episodes import TransitionKind
from evara_core.alerts.rules import Within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evara_core.alerts.episodes import Transition
    from evara_core.alerts.records import Record
    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Node

__all__ = ["INHIBITED", "Inhibitions", "Muted", "links_of"]

INHIBITED = "inhibited"
"""Why nobody is told, in `Transition.muted`."""

_HEARD = frozenset(
    {
        TransitionKind.FIRED,
        TransitionKind.SEVERITY_CHANGED,
        TransitionKind.DATA_LOST,
        TransitionKind.DATA_BACK,
        TransitionKind.FLAPPING,
    }
)


class Link(NamedTuple):
    """One rule mutes another, where the nodes share something."""

    source: str
    target: str
    within: Within


@dataclass(frozen=True, slots=True)
class Muted:
    """An open episode that nobody was told of, because of others."""

    node_id: str
    rule_id: str


class _Place(NamedTuple):
    source: str
    within: Within
    value: str


def links_of(rules: Iterable[AlertRule]) -> tuple[list[Link], dict[str, str]]:
    """Return which rule mutes which; and by rule, why it mutes nothing: it closes a circle.

    The earlier ones of *rules* are right. A rule that names none mutes all that mute nothing.
    """
    rules = [rule for rule in rules if rule.enabled]
    plain = [rule.id for rule in rules if not rule.mutes]
    known = {rule.id for rule in rules}
    after: dict[str, set[str]] = {}
    links: list[Link] = []
    refused: dict[str, str] = {}
    for rule in rules:
        mine = [
            Link(rule.id, target, Within(mute.within))
            for mute in rule.mutes
            for target in (mute.rules or plain)
            if target in known and target != rule.id
        ]
        circle = next((link.target for link in mine if _reaches(after, link.target, rule.id)), None)
        if circle is not None:
            refused[rule.id] = f"it mutes {circle!r}, which mutes it"
            continue
        links += mine
        after[rule.id] = {link.target for link in mine}
    return links, refused


def _reaches(after: dict[str, set[str]], start: str, goal: str) -> bool:
    seen, ahead = set(), [start]
    while ahead:
        at = ahead.pop()
        if at == goal:
            return True
        if at not in seen:
            seen.add(at)
            ahead += after.get(at, ())
    return False


class Inhibitions:
    """The sources that are open, and the episodes that they mute."""

    def __init__(self, rules: Iterable[AlertRule]) -> None:
        links, self.refused = links_of(rules)
        self._sources: dict[str, set[Within]] = {}
        self._targets: dict[str, list[tuple[str, Within]]] = {}
        for source, target, within in links:
            self._sources.setdefault(source, set()).add(within)
            self._targets.setdefault(target, []).append((source, within))
        self._open: dict[_Place, set[str]] = {}
        """By place: the nodes at which the source is open."""

        self._places: dict[tuple[str, str], tuple[_Place, ...]] = {}
        """By node and source: where it counts, as the node stood when it fired."""

        self._muted: set[Muted] = set()
        self.is_freed = False
        """Whether something that muted others is over, and it is to be seen what goes on."""

    def __bool__(self) -> bool:
        return bool(self._targets or self._muted)

    def take(self, told: Sequence[Transition], records: dict[str, Record]) -> list[Transition]:
        """Return *told* with those marked that nobody is to hear; remember which these are."""
        for transition in told:
            record = records.get(transition.node_id)
            if transition.rule_id in self._sources and record is not None:
                if transition.kind is TransitionKind.FIRED:
                    self._begin(transition.rule_id, record.node)
                elif transition.kind is TransitionKind.RESOLVED:
                    self._end(transition.rule_id, transition.node_id)
        return [self._marked(transition, records) for transition in told]

    def learn(self, record: Record) -> None:
        """Learn what is open at a node that was restored, or whose rules changed."""
        for rule_id, cell in record.cells.items():
            if cell.episode is not None:
                if rule_id in self._sources:
                    self._begin(rule_id, record.node)
                if cell.episode.is_inhibited:
                    self._muted.add(Muted(record.node.node_id, rule_id))
                    self.is_freed = True

    def forget(self, node_id: str) -> None:
        """Forget a node: what it muted may be heard."""
        for node, rule_id in [key for key in self._places if key[0] == node_id]:
            self._end(rule_id, node)
        self._muted = {muted for muted in self._muted if muted.node_id != node_id}

    def freed(self, records: dict[str, Record]) -> Iterator[tuple[Record, str]]:
        """Yield each open episode that nothing mutes any more, by its node and rule; once."""
        self.is_freed = False
        for muted in sorted(self._muted, key=lambda each: (each.node_id, each.rule_id)):
            record = records.get(muted.node_id)
            cell = None if record is None else record.cells.get(muted.rule_id)
            if record is None or cell is None or cell.episode is None:
                self._muted.discard(muted)
            elif self._source_of(muted.rule_id, record.node) is None:
                self._muted.discard(muted)
                cell.episode.is_inhibited = False
                yield record, muted.rule_id

    def _begin(self, rule_id: str, node: Node) -> None:
        self._end(rule_id, node.node_id)
        places = tuple(
            _Place(rule_id, within, value)
            for within in self._sources[rule_id]
            if (value := _value_of(node, within)) is not None
        )
        self._places[node.node_id, rule_id] = places
        for place in places:
            self._open.setdefault(place, set()).add(node.node_id)

    def _end(self, rule_id: str, node_id: str) -> None:
        for place in self._places.pop((node_id, rule_id), ()):
            self._open[place].discard(node_id)
            if not self._open[place]:
                del self._open[place]
                self.is_freed = True

    def _source_of(self, rule_id: str, node: Node) -> str | None:
        for source, within in self._targets.get(rule_id, ()):
            value = _value_of(node, within)
            if value is not None and _Place(source, within, value) in self._open:
                return source
        return None

    def _marked(self, transition: Transition, records: dict[str, Record]) -> Transition:
        muted = Muted(transition.node_id, transition.rule_id)
        if transition.kind is TransitionKind.RESOLVED:
            if muted not in self._muted:
                return transition
            # Who was not told that it began is not told that it is over.
            self._muted.discard(muted)
            return replace(transition, muted=transition.muted or INHIBITED)
        if transition.kind not in _HEARD or transition.rule_id not in self._targets:
            return transition
        record = records.get(transition.node_id)
        source = None if record is None else self._source_of(transition.rule_id, record.node)
        if record is None or source is None:
            return transition
        if transition.kind is TransitionKind.FIRED:
            self._muted.add(muted)
            cell = record.cells.get(transition.rule_id)
            if cell is not None and cell.episode is not None:
                cell.episode.is_inhibited = True
        facts = {**transition.facts, "inhibited_by": source}
        return replace(transition, muted=transition.muted or INHIBITED, facts=facts)


def _value_of(node: Node, within: Within) -> str | None:
    match within:
        case Within.NODE:
            return node.node_id
        case Within.GATEWAY:
            return node.gateway_id or node.node_id
        case Within.COMMUNITY:
            return node.tenancy.community_id
        case Within.CUSTOMER:
            return node.tenancy.customer_id
        case Within.DISTRIBUTOR:
            return node.tenancy.distributor_id
