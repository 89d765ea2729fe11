"""What others are told: the bodies of messages, encoded once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.alert import Happening
from evara_core.errors import InvalidInputError
from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.ids import IdSource
    from evara_core.telemetry.models import Node
    from evara_core.telemetry.state import NodeState, NodeStatus

__all__ = ["alert_message", "happening_of", "node_message", "reading_message"]


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
            "node_kind": node.kind,
            "category": node.category,
            **node.tenancy.ids,
            "severity": transition.severity,
            "at": transition.at,
            "fired_at": transition.fired_at,
            "historical": transition.historical,
            "muted": transition.muted,
            "reason": transition.reason,
            "facts": transition.facts,
            "sentence": transition.sentence,
        },
    )


def happening_of(message: Message) -> Happening:
    """Return what the body of an alert message tells.

    What an acknowledgement leaves out is known from what came before it.

    Raises:
        InvalidInputError: It is no alert message.
    """
    try:
        found = load_json(message.body)
        fired_at = found.get("fired_at")
        transition = Transition(
            kind=TransitionKind(found["kind"]),
            rule_id=str(found["rule_id"]),
            node_id=str(found["node_id"]),
            episode_id=str(found["episode_id"]),
            severity=Severity(found["severity"]),
            at=_moment(found["at"]),
            fired_at=None if fired_at is None else _moment(fired_at),
            historical=bool(found.get("historical", False)),
            muted=found.get("muted"),
            reason=str(found.get("reason", found["kind"])),
            facts=found.get("facts") or {},
            sentence=str(found.get("sentence") or ""),
        )
        return Happening(
            transition=transition,
            node_label=str(found.get("label") or ""),
            node_kind=str(found.get("node_kind") or ""),
            tenancy=_tenancy(found),
            labels={"category": str(found["category"])} if found.get("category") else {},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"message {message.message_id!r} tells of no alert: {type(error).__name__}"
        raise InvalidInputError(problem) from error


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        problem = "a moment has an offset"
        raise ValueError(problem)
    return moment


def _tenancy(found: Mapping[str, Any]) -> Tenancy:
    return Tenancy(
        # Nobody's: an acknowledgement may leave it out.
        distributor_id=str(found.get("distributor_id") or ""),
        community_id=found.get("community_id"),
        customer_id=found.get("customer_id"),
    )


def _message(ids: IdSource, kind: str, key: str, node: Node, body: dict[str, object]) -> Message:
    return Message(
        message_id=str(ids.new()),
        kind=kind,
        key=key,
        # The last one is nobody's right: listeners narrow to it what they may hear anyway.
        topics=(*node.tenancy.topics, f"node:{quote(node.node_id, safe='')}"),
        body=dump_json(body),
    )
