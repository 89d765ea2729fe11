"""What the routes ask of the database, each within the caller's scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from evara_core.access.tenancy import Tenancy, permitted_scope
from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json
from evara_core.storage import alerts
from evara_core.storage.nodes import node_record
from evara_core.storage.outbox import put_messages
from evara_core.storage.packing import unpacked
from evara_core.storage.policy import REFERENCE_POLICY
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    field_mappings,
    nodes,
    readings,
    users,
)

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.access.principal import Principal
    from evara_core.query.ast import Condition
    from evara_core.storage.statements import Statements
    from evara_core.telemetry.models import Reading

__all__ = [
    "acknowledge",
    "database_answers",
    "newest_readings",
    "node",
    "scope_in",
    "user_name",
]


def scope_in(table: str, principal: Principal) -> Condition:
    """Return what rows of *table* the caller may see.

    Raises:
        DeniedError: None.
    """
    return REFERENCE_POLICY.condition(permitted_scope(principal), table)


def node(node_id: str, principal: Principal) -> Statements[dict[str, Any]]:
    """End with all that there is to know of a node, and the metrics that it is mapped to.

    Raises:
        NotFoundError: There is none in the caller's scope.
    """
    found = yield from node_record(node_id, scope=scope_in("nodes", principal))
    mapped = yield Query(
        select(field_mappings.c.metric)
        .join(nodes, nodes.c.node_key == field_mappings.c.node_key)
        .where(nodes.c.node_id == node_id)
    )
    return found | {"metrics": [row.metric for row in mapped.rows]}


def newest_readings(node_id: str, *, limit: int) -> Statements[list[Reading]]:
    """End with the newest readings of a node, newest first."""
    answer = yield Query(
        select(readings, nodes.c.node_id)
        .join_from(readings, nodes, nodes.c.node_key == readings.c.node_key)
        .where(nodes.c.node_id == node_id)
        .order_by(readings.c.measured_at.desc(), readings.c.entry_id.desc())
        .limit(limit)
    )
    return [unpacked(row) for row in answer.rows]


def acknowledge(
    episode_id: str, principal: Principal, *, now: datetime, message_id: str, dialect: str
) -> Statements[dict[str, Any]]:
    """Let the caller have seen an alert, and let others hear of it; end with the alert.

    Raises:
        NotFoundError: There is none in the caller's scope.
    """
    scope = scope_in("alert_history", principal)
    before = yield from alerts.alert_record(episode_id, scope=scope)
    alert = yield from alerts.acknowledge(episode_id, scope=scope, by=principal.user_id, at=now)
    if before["acknowledged_at"] is None:
        owner = Tenancy(
            **{name: alert[name] for name in ("distributor_id", "community_id", "customer_id")}
        )
        told = {
            "kind": "acknowledged",
            "episode_id": episode_id,
            "at": alert["acknowledged_at"],
            **{name: alert[name] for name in ("rule_id", "node_id", "severity", "sentence")},
        }
        message = Message(
            message_id=message_id,
            kind="alert",
            key=episode_id,
            topics=owner.topics,
            body=dump_json(told),
        )
        yield from put_messages([message], dialect=dialect)
    return alert


def user_name(user_id: str) -> Statements[str]:
    """End with what a user is called."""
    answer = yield Query(select(users.c.name).where(users.c.user_id == user_id))
    return answer.rows[0].name if answer.rows else ""


def database_answers() -> Statements[None]:
    """End if the database answers, with the tables that it must have."""
    yield Query(select(func.count()).select_from(select(nodes.c.node_key).limit(1).subquery()))
