"""What the monitor knows of its nodes, in memory, and what it has yet to be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.connectivity import Reach
from evara_core.telemetry.translate import Translator, translator_for
from evara_core.telemetry.versions import translator_through

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.episodes import AlertState
    from evara_core.monitor.look import Look
    from evara_core.monitor.ports import Judge, Watched
    from evara_core.telemetry.kinds import KindRegistry
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node, Reading
    from evara_core.telemetry.state import NodeState
    from evara_core.telemetry.versions import MappingVersion
    from evara_core.thingspeak.models import Position

__all__ = ["Fleet", "Tracked"]

_OF_PUMPS = frozenset({"pump_current_a"})


@dataclass(slots=True, kw_only=True)
class Tracked:
    """One node, as it stands after the last batch."""

    node: Node
    mapping: ChannelMapping
    read_key: str | None
    mapping_revision: int | None = None
    versions: tuple[MappingVersion, ...] = ()
    translator: Translator | None
    """None: the mapping makes no sense, so that nothing is read until it does."""

    problem: str | None = None
    """Why its channel cannot be read, in words; None while it can."""

    position: Position | None
    state: NodeState
    alerts: tuple[AlertState, ...]
    reach: Reach = field(default_factory=Reach)
    is_behind: bool = False
    """Its channel is known to hold more than has been taken."""

    @property
    def is_urgent(self) -> bool:
        """Whether it goes first when there is too much to do: it alerts, or drives a pump."""
        return self.state.active_alerts > 0 or any(
            mapped.metric in _OF_PUMPS for mapped in self.mapping.fields
        )

    def has_use_for(self, look: Look) -> bool:
        """Whether *look* goes on where this node stands, and comes from where it reports to."""
        if self.translator is None or look.channel_id not in {None, self.mapping.channel_id}:
            return False
        return look.is_import or self.position == look.after


class Fleet:
    """The nodes of one monitor."""

    def __init__(self, judge: Judge, kinds: KindRegistry) -> None:
        self._judge = judge
        self._kinds = kinds
        self._nodes: dict[str, Tracked] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._nodes.values()))

    def get(self, node_id: str) -> Tracked | None:
        """Return a node, or None when it is not watched any more."""
        return self._nodes.get(node_id)

    def unknown(
        self, watched: Sequence[Watched], anew: Collection[str] | None
    ) -> Iterator[Watched]:
        """Yield those of *watched* that `take_over` will take as the store has them."""
        for found in watched:
            node_id = found.node.node_id
            if anew is None or node_id in anew or node_id not in self._nodes:
                yield found

    def take_over(
        self,
        watched: Sequence[Watched],
        *,
        now: datetime,
        anew: Collection[str] | None,
        recent: Mapping[str, Sequence[Reading]],
    ) -> None:
        """Learn what the store holds; nodes that are not in *watched* are forgotten.

        Args:
            watched: What the store holds.
            now: By our clock.
            anew: The nodes whose position, state and alerts are taken from there, because
                memory may be ahead of it; None: of all. New nodes are always taken.
            recent: The readings that rules look back on, of the nodes that are taken.
        """
        known = self._nodes
        self._nodes = {}
        for found in watched:
            node_id = found.node.node_id
            tracked = known.pop(node_id, None)
            if tracked is None or anew is None or node_id in anew:
                tracked = self._anew(found, tracked, now)
                self._restore(found, recent.get(node_id, ()))
            elif _is_changed(tracked, found):
                self._remap(tracked, found)
            tracked.read_key = found.read_key
            self._nodes[node_id] = tracked
        for node_id in known:
            self._judge.forget(node_id)

    def _anew(self, found: Watched, before: Tracked | None, now: datetime) -> Tracked:
        translator, problem = self._translator(found)
        if problem is None and before is not None:
            problem = before.problem
        return Tracked(
            node=found.node,
            mapping=found.mapping,
            mapping_revision=found.mapping_revision,
            versions=found.versions,
            read_key=found.read_key,
            translator=translator,
            problem=problem,
            position=found.position,
            state=found.state,
            alerts=found.alerts,
            reach=Reach(begun_at=now) if before is None else before.reach,
        )

    def _restore(self, found: Watched, recent: Sequence[Reading]) -> None:
        self._judge.restore(
            found.node,
            found.alerts,
            last_sample_at=found.state.last_reading_at,
            last_received_at=found.state.last_seen_at,
            values=found.state.values,
            recent=recent,
        )

    def _remap(self, tracked: Tracked, found: Watched) -> None:
        if tracked.mapping.channel_id != found.mapping.channel_id:
            # The position was of another channel.
            tracked.position = found.position
        tracked.node, tracked.mapping = found.node, found.mapping
        tracked.mapping_revision, tracked.versions = found.mapping_revision, found.versions
        tracked.translator, tracked.problem = self._translator(found)

    def _translator(self, found: Watched) -> tuple[Translator | None, str | None]:
        try:
            if found.versions:
                return translator_through(found.node, found.versions, kinds=self._kinds), None
            return translator_for(found.node, found.mapping, kinds=self._kinds), None
        except InvalidMappingError as error:
            return None, f"{error.code}: {error}"


def _is_changed(tracked: Tracked, found: Watched) -> bool:
    known = (tracked.node, tracked.mapping, tracked.mapping_revision, tracked.versions)
    return known != (found.node, found.mapping, found.mapping_revision, found.versions)
