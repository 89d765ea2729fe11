"""A store that is tested, and what is put into it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from evara_core.alerts.episodes import AlertState, Phase, Severity, Transition, TransitionKind
from evara_core.monitor.ports import NodeUpdate
from evara_core.realtime.ports import Message
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.models import Measured, Quality, SetAside
from evara_core.telemetry.quality import Trace
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.samples import START, tank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from evara_core.monitor.ports import IngestStore, OutboxStore
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node, Reading
    from evara_core.telemetry.ports import ReadingStore
    from evara_core.thingspeak.models import Position

__all__ = [
    "ONLINE",
    "StoreUnderTest",
    "alert_state",
    "message",
    "set_aside_row",
    "transition",
    "update",
]

ONLINE = NodeState(
    status=NodeStatus.ONLINE,
    connectivity=Connectivity.ONLINE,
    last_reading_at=START + timedelta(minutes=1),
    last_seen_at=START + timedelta(minutes=1, seconds=2),
    last_entry_id=1,
    values={"level_percent": Measured(50.0), "battery_v": Measured(None, Quality.MISSING)},
    health_score=85,
    health_reasons=("battery: -15",),
    traces={
        "level_percent": Trace(
            at=START + timedelta(minutes=1),
            value=50.0,
            changed_at=START,
            candidate=90.0,
            mean=49.5,
            variance=0.25,
        )
    },
    validity=0.98,
    completeness=0.96,
)


class StoreUnderTest(Protocol):
    """A store, with what a test must be able to do and see besides its ports."""

    @property
    def ingest(self) -> IngestStore:
        """The store, as the monitor writes to it."""
        ...

    @property
    def outbox(self) -> OutboxStore:
        """The same store, as the relay reads from it."""
        ...

    @property
    def readings(self) -> ReadingStore:
        """The same store, as a reader of readings sees it."""
        ...

    async def add_node(
        self, node: Node, mapping: ChannelMapping | None, *, read_key: str | None = None
    ) -> None:
        """Put in a node, with the channel that it reports to, or with none."""
        ...

    async def status_counts(self) -> Mapping[NodeStatus, int]:
        """Return the counters over all nodes; a status that none has is left out."""
        ...

    async def set_aside(self) -> Sequence[SetAside]:
        """Return what was set aside, in the order in which it was stored."""
        ...

    async def active_episodes(self) -> frozenset[str]:
        """Return the ids of episodes that fired and were not resolved."""
        ...

    def failing(self) -> AbstractContextManager[None]:
        """Let write transactions fail while it is entered, after they began to write."""
        ...


def update(
    node_id: str = "tank-1",
    *,
    readings: tuple[Reading, ...] = (),
    set_aside: tuple[SetAside, ...] = (),
    position: Position | None = None,
    before: NodeState = NodeState(),
    state: NodeState = NodeState(),
    alerts: tuple[AlertState, ...] = (),
    transitions: tuple[Transition, ...] = (),
    messages: tuple[Message, ...] = (),
) -> NodeUpdate:
    """Return an update of a node, with nothing in it but what is given."""
    return NodeUpdate(
        node=tank(node_id),
        readings=readings,
        set_aside=set_aside,
        position=position,
        before=before,
        state=state,
        alerts=alerts,
        transitions=transitions,
        messages=messages,
    )


def set_aside_row(reason: str) -> SetAside:
    """Return something that was set aside."""
    return SetAside(
        node_id="tank-1", received_at=START, source="channel 1", reason=reason, body='{"x":1}'
    )


def alert_state(phase: Phase, rule_id: str = "low") -> AlertState:
    """Return a state in *phase*, with everything set that a store must keep."""
    is_active = phase in {Phase.FIRING, Phase.RECOVERING}
    return AlertState(
        rule_id=rule_id,
        node_id="tank-1",
        rule_hash="abc123",
        phase=phase,
        episode_id="episode-1" if is_active else None,
        severity=Severity.WARNING if is_active else None,
        since=START,
        held_s=12.5,
        last_sample_at=START + timedelta(minutes=1),
        last_received_at=START + timedelta(minutes=1, seconds=2),
    )


def transition(
    kind: TransitionKind,
    *,
    episode_id: str = "episode-1",
    severity: Severity = Severity.WARNING,
) -> Transition:
    """Return something that happened to an episode."""
    return Transition(
        kind=kind,
        rule_id="low",
        node_id="tank-1",
        episode_id=episode_id,
        severity=severity,
        at=START,
        reason="condition",
        facts={"level_percent": 12.5, "below": 20.0, "since": START},
        sentence="tank-1: level 12.5 % is below 20 %",
    )


def message(message_id: str) -> Message:
    """Return a message for the outbox."""
    return Message(
        message_id=message_id,
        kind="reading",
        key="tank-1",
        topics=("platform", "distributor_id=d-1"),
        body=b'{"level_percent":50.0}',
    )
