"""Changes to a fleet that must not be forgotten by what is counted over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from evara_core.access.tenancy import Tenancy
from evara_core.errors import NotFoundError
from evara_core.storage.counters import ALERTS, STATUS, Counts, add_counts, health_name
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    alert_history,
    node_operational_state,
    nodes,
    readings,
    rollup_marks,
    rollups,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row

    from evara_core.storage.statements import Statements

__all__ = ["move_node", "remove_node"]


def move_node(node_id: str, to: Tenancy, *, at: datetime, dialect: str) -> Statements[None]:
    """Give a node to other tenants. Its past alerts stay with those whose it was.

    Raises:
        NotFoundError: The node is not known.
        ConflictError: There are no such tenants, or they are not each other's.
    """
    node = yield from _held(node_id)
    counts = Counts()
    for name in (STATUS + node.status, health_name(node.health_score)):
        counts.move(_tenancy(node), name, None)
        counts.move(to, None, name)
    yield Query(
        nodes.update()
        .where(nodes.c.node_key == node.node_key)
        .values(
            distributor_id=to.distributor_id,
            community_id=to.community_id,
            customer_id=to.customer_id,
            revision=nodes.c.revision + 1,
            updated_at=at,
        )
    )
    yield from add_counts(counts, dialect=dialect)


def remove_node(node_id: str, *, dialect: str) -> Statements[None]:
    """Take a node away, with its readings, rollups, alerts and everything else that is its own.

    What was set aside stays: it may be all that is left of what went wrong.

    Raises:
        NotFoundError: The node is not known.
    """
    node = yield from _held(node_id)
    counts = Counts()
    counts.move(_tenancy(node), STATUS + node.status, None)
    counts.move(_tenancy(node), health_name(node.health_score), None)
    history = alert_history.c
    open_ones = yield Query(
        select(
            history.distributor_id,
            history.community_id,
            history.customer_id,
            history.severity,
            func.count().label("number"),
        )
        .where(history.node_key == node.node_key, history.resolved_at.is_(None))
        .group_by(
            history.distributor_id, history.community_id, history.customer_id, history.severity
        )
    )
    for row in open_ones.rows:
        counts[_tenancy(row), ALERTS + row.severity] -= row.number
    # The node is last, and takes along what refers to it by a key.
    for table in (readings, rollups, rollup_marks, nodes):
        yield Query(table.delete().where(table.c.node_key == node.node_key))
    yield from add_counts(counts, dialect=dialect)


def _held(node_id: str) -> Statements[Row[Any]]:
    """End with a node, whose state this transaction then holds: nobody ingests for it meanwhile."""
    state = node_operational_state.c
    answer = yield Query(
        select(
            nodes.c.node_key,
            nodes.c.distributor_id,
            nodes.c.community_id,
            nodes.c.customer_id,
            state.status,
            state.health_score,
        )
        .join_from(nodes, node_operational_state)
        .where(nodes.c.node_id == node_id)
        .with_for_update()
    )
    for row in answer.rows:
        return row
    raise NotFoundError("node")


def _tenancy(row: Row[Any]) -> Tenancy:
    return Tenancy(
        distributor_id=row.distributor_id,
        community_id=row.community_id,
        customer_id=row.customer_id,
    )
