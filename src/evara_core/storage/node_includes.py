"""What belongs to the nodes of a page: whom they belong to, and their open alerts.

Each is one more statement, whatever the number of nodes. The newest values and the state need
none: they are columns of the list itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from evara_core.query.ast import SortKey
from evara_core.storage.includes import Related
from evara_core.storage.tables import alert_history, communities, customers, distributors, nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

__all__ = ["NODE_INCLUDES"]


_alerts = alert_history.c


def _owner(table: Table, key: str) -> Related:
    # Who sees a node sees whose it is: the name says no more than the id, which is shown.
    return Related(
        statement=select(table),
        columns={"id": table.c[key], "name": table.c.name},
        parent=key,
        child="id",
        shown=("id", "name"),
        is_public=True,
    )


NODE_INCLUDES: Final[Mapping[str, Related]] = {
    "distributor": _owner(distributors, "distributor_id"),
    "community": _owner(communities, "community_id"),
    "customer": _owner(customers, "customer_id"),
    "alerts": Related(
        statement=select(alert_history)
        .join_from(alert_history, nodes)
        .where(_alerts.resolved_at.is_(None)),
        columns={
            "id": _alerts.episode_id,
            "node_id": nodes.c.node_id,
            "distributor_id": _alerts.distributor_id,
            "community_id": _alerts.community_id,
            "customer_id": _alerts.customer_id,
            "rule_id": _alerts.rule_id,
            "severity": _alerts.severity,
            "fired_at": _alerts.fired_at,
            "sentence": _alerts.fired_sentence,
            "acknowledged_at": _alerts.acknowledged_at,
        },
        parent="id",
        child="node_id",
        shown=("id", "rule_id", "severity", "fired_at", "sentence", "acknowledged_at"),
        is_many=True,
        sort=(SortKey("fired_at", descending=True),),
    ),
}
"""For `ListSource(…, includes=)` over `NODE_COLUMNS`. Alerts need a scope over their tenancy:
one that fired before the node changed hands is not its new owner's."""
