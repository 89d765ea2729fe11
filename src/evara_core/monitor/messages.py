"""What others are told: the bodies of messages, encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from evara_core.alerts.episodes import Transition
    from evara_core.ids import IdSource
    from evara_core.telemetry.models import Node
    from evara_core.telemetry.state import NodeState, NodeStatus

__all__ = ["alert_message", "node_message", "reading_message"]


def reading_message(node: Node, state: NodeState, *, ids: IdSource) -> Message:
    """Return the newest values of *node*."""
    return _message(
        ids,
        "reading",
        node.node_id,
        node,
        {
            "node_id": node.node_id,
            "measured_at": state.last_reading_at,
            "status": state.status,
            "health_score": state.health_score,
            "values": {
                name: {"value": measured.value, "quality": measured.quality}
                for name, measured in state.values.items()
            },
        },
    )


def node_message(node: Node, state: NodeState, *, previous: NodeStatus, ids: IdSource) -> Message:
    """Return how *node* stands now, and how it stood before."""
    return _message(
        ids,
        "node",
        node.node_id,
        node,
        {
            "node_id": node.node_id,
            "label": node.label,
            "status": state.status,
            "previous_status": previous,
            "connectivity": state.connectivity,
            "last_seen_at": state.last_seen_at,
            "active_alerts": state.active_alerts,
            "health_score": state.health_score,
            "health_reasons": state.health_reasons,
        },
    )


def alert_message(node: Node, transition: Transition, *, ids: IdSource) -> Message:
    """Return what happened to an episode."""
    return _message(
        ids,
        "alert",
        transition.episode_id,
        node,
        {
            "episode_id": transition.episode_id,
            "kind": transition.kind,
            "rule_id": transition.rule_id,
            "node_id": transition.node_id,
            "label": node.label,
            "severity": transition.severity,
            "at": transition.at,
            "fired_at": transition.fired_at,
            "historical": transition.historical,
            "reason": transition.reason,
            "facts": transition.facts,
            "sentence": transition.sentence,
        },
    )


def _message(ids: IdSource, kind: str, key: str, node: Node, body: dict[str, object]) -> Message:
    return Message(
        message_id=str(ids.new()),
        kind=kind,
        key=key,
        topics=node.tenancy.topics,
        body=dump_json(body),
    )
