"""A store in memory that keeps every promise of the ports, but to survive the process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.alerts.episodes import AlertState, Transition, TransitionKind
from evara_core.errors import ConflictError, NotFoundError
from evara_core.monitor.ports import (
    IngestReport,
    IngestStore,
    NodeUpdate,
    OutboxStore,
    Watched,
)
from evara_core.telemetry.ports import ReadingStore
from evara_core.telemetry.state import NodeState
from evara_core.telemetry.versions import holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from evara_core.realtime.ports import Message
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node, Reading, SetAside
    from evara_core.telemetry.state import NodeStatus
    from evara_core.telemetry.versions import MappingVersion

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Row:
    watched: Watched
    readings: dict[tuple[datetime, int], Reading] = field(default_factory=dict)
    alerts: dict[str, AlertState] = field(default_factory=dict)


class MemoryStore(IngestStore, OutboxStore, ReadingStore):
    """Nodes, readings, states, episodes and an outbox, in one process and one thread.

    `fail_next` makes a transaction fail, as a database does that goes away.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._outbox: dict[str, Message] = {}
        self._waiting: dict[str, Message] = {}
        self._set_aside: list[SetAside] = []
        self._transitions: list[Transition] = []
        self._failures: list[tuple[Exception, bool]] = []

    def add(
        self,
        node: Node,
        mapping: ChannelMapping,
        *,
        read_key: str | None = None,
        state: NodeState = NodeState(),
    ) -> None:
        """Let the monitor look after *node*, or change what is known of it.

        What was stored of a node that is known stays.
        """
        row = self._rows.get(node.node_id)
        if row is None:
            watched = Watched(node=node, mapping=mapping, read_key=read_key, state=state)
            self._rows[node.node_id] = _Row(watched)
            return
        row.watched = replace(row.watched, node=node, mapping=mapping, read_key=read_key)

    def remap(self, node_id: str, versions: Sequence[MappingVersion]) -> None:
        """Give a node the mappings that it has had, the one that it has now last."""
        row = self._row(node_id)
        mapping = versions[-1].mapping
        is_another = mapping.channel_id != row.watched.mapping.channel_id
        row.watched = replace(
            row.watched,
            mapping=mapping,
            mapping_revision=versions[-1].revision,
            versions=tuple(holding(versions, mapping.channel_id)),
            position=None if is_another else row.watched.position,
        )

    def forget(self, node_id: str) -> None:
        """Delete a node and all of its readings."""
        self._rows.pop(node_id, None)

    def fail_next(self, error: Exception, *, after_commit: bool = False) -> None:
        """Let the next write transaction raise *error*, and do nothing.

        Args:
            error: What it raises.
            after_commit: It does all of its work and then raises, as when the connection
                breaks before the answer comes.
        """
        self._failures.append((error, after_commit))

    @override
    async def watched(self) -> Sequence[Watched]:
        return [
            replace(row.watched, alerts=tuple(row.alerts.values()))
            for _, row in sorted(self._rows.items())
        ]

    @override
    async def ingest(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        for update in updates:
            self._refuse_stale(update)
        error = self._begin()
        stored = offered = 0
        for update in updates:
            offered += len(update.readings)
            stored += self._store(update.readings)
            self._apply(update)
        self._end(error)
        return IngestReport(
            stored=stored,
            duplicates=offered - stored,
            set_aside=sum(len(update.set_aside) for update in updates),
        )

    @override
    async def unpublished(self, *, limit: int) -> Sequence[Message]:
        return list(islice(self._waiting.values(), limit))

    @override
    async def mark_published(self, message_ids: Sequence[str]) -> None:
        error = self._begin()
        for message_id in message_ids:
            self._waiting.pop(message_id, None)
        self._end(error)

    @override
    async def prune(self, *, keep: int) -> int:
        old = [i for i in self._outbox if i not in self._waiting]
        old = old[: max(0, len(old) - keep)]
        for message_id in old:
            del self._outbox[message_id]
        return len(old)

    @override
    async def append(self, readings: Sequence[Reading]) -> int:
        for reading in readings:
            self._row(reading.node_id)
        error = self._begin()
        stored = self._store(readings)
        self._end(error)
        return stored

    @override
    async def latest(self, node_ids: Sequence[str]) -> Mapping[str, Reading]:
        newest = {}
        for node_id in node_ids:
            row = self._rows.get(node_id)
            if row is not None and row.readings:
                newest[node_id] = row.readings[max(row.readings)]
        return newest

    @override
    async def between(
        self, node_id: str, start: datetime, end: datetime, *, limit: int
    ) -> Sequence[Reading]:
        row = self._rows.get(node_id)
        if row is None:
            return []
        keys = sorted(key for key in row.readings if start <= key[0] < end)
        return [row.readings[key] for key in keys[:limit]]

    def readings(self, node_id: str) -> list[Reading]:
        """Return all readings of a node, oldest first."""
        row = self._row(node_id)
        return [row.readings[key] for key in sorted(row.readings)]

    def state(self, node_id: str) -> NodeState:
        """Return how a node stands."""
        return self._row(node_id).watched.state

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What could not be understood."""
        return tuple(self._set_aside)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """The stories of all alerts, in the order in which they were stored."""
        return tuple(self._transitions)

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages that were not pruned, published or not."""
        return tuple(self._outbox.values())

    def status_counts(self) -> Mapping[NodeStatus, int]:
        """Return how many nodes have each status; a status that none has is left out."""
        return dict(Counter(row.watched.state.status for row in self._rows.values()))

    def active_episodes(self) -> frozenset[str]:
        """Return the episodes that fired and were not resolved."""
        active: set[str] = set()
        for transition in self._transitions:
            if transition.kind is TransitionKind.FIRED:
                active.add(transition.episode_id)
            elif transition.kind is TransitionKind.RESOLVED:
                active.discard(transition.episode_id)
        return frozenset(active)

    def _row(self, node_id: str) -> _Row:
        row = self._rows.get(node_id)
        if row is None:
            raise NotFoundError("node")
        return row

    def _refuse_stale(self, update: NodeUpdate) -> None:
        watched = self._row(update.node.node_id).watched
        is_remapped = update.mapping_revision not in {None, watched.mapping_revision}
        held = _newest(watched.state)
        if is_remapped or held not in {_newest(update.before), _newest(update.state)}:
            problem = f"node {update.node.node_id!r} was written by somebody else meanwhile"
            raise ConflictError(problem)

    def _store(self, readings: Iterable[Reading]) -> int:
        stored = 0
        for reading in readings:
            kept = self._rows[reading.node_id].readings
            key = (reading.measured_at, reading.entry_id)
            if key not in kept:
                kept[key] = reading
                stored += 1
        return stored

    def _apply(self, update: NodeUpdate) -> None:
        row = self._rows[update.node.node_id]
        row.watched = replace(
            row.watched,
            state=update.state,
            position=row.watched.position if update.position is None else update.position,
        )
        for alert in update.alerts:
            if alert.is_idle:
                row.alerts.pop(alert.rule_id, None)
            else:
                row.alerts[alert.rule_id] = alert
        self._set_aside.extend(update.set_aside)
        self._transitions.extend(update.transitions)
        for message in update.messages:
            if message.message_id not in self._outbox:
                self._outbox[message.message_id] = self._waiting[message.message_id] = message

    def _begin(self) -> Exception | None:
        if not self._failures:
            return None
        error, is_after_commit = self._failures.pop(0)
        if not is_after_commit:
            raise error
        return error

    @staticmethod
    def _end(error: Exception | None) -> None:
        if error is not None:
            raise error


def _newest(state: NodeState) -> tuple[datetime | None, int | None]:
    return state.last_reading_at, state.last_entry_id
