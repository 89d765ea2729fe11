"""Nodes as clients see them: lists, details, and the columns that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from evara_core.errors import NotFoundError
from evara_core.storage.configs import STANDARD_CONFIGS
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.lists import ListSource
from evara_core.storage.node_includes import NODE_INCLUDES
from evara_core.storage.search import SearchIndex
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    node_operational_state,
    nodes,
    thingspeak_mappings,
)

if TYPE_CHECKING:
    from sqlalchemy import Select

    from evara_core.query.ast import Condition
    from evara_core.storage.configs import ConfigTables
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = ["NODE_COLUMNS", "node_list", "node_record", "node_selected"]

_state = node_operational_state.c

NODE_COLUMNS: Columns = {
    "id": nodes.c.node_id,
    "label": nodes.c.label,
    "kind": nodes.c.kind,
    "category": nodes.c.category,
    "status": _state.status,
    "connectivity": _state.connectivity,
    "location_name": nodes.c.location_name,
    "lat": nodes.c.latitude,
    "lng": nodes.c.longitude,
    "capacity_l": nodes.c.capacity_l,
    "capacity_text": nodes.c.capacity_text,
    "distributor_id": nodes.c.distributor_id,
    "community_id": nodes.c.community_id,
    "customer_id": nodes.c.customer_id,
    "created_at": nodes.c.created_at,
    "updated_at": nodes.c.updated_at,
    "revision": nodes.c.revision,
    "last_reading_at": _state.last_reading_at,
    "last_seen_at": _state.last_seen_at,
    "active_alerts": _state.active_alerts,
    "health_score": _state.health_score,
    "health_reasons": _state.health_reasons,
    "values": _state["values"],
    "expected_interval_s": nodes.c.expected_interval_s,
    "in_maintenance": nodes.c.in_maintenance,
    "config": STANDARD_CONFIGS.whole,
    "channel_id": thingspeak_mappings.c.channel_id,
}
"""Public names of a node's columns. `values` is what `telemetry.codec.dump_values` writes."""


def node_list(*, is_indexed: bool = True, configs: ConfigTables = STANDARD_CONFIGS) -> ListSource:
    """Return the list of nodes, over `NODE_COLUMNS`: one statement for each page.

    And one for each of `NODE_INCLUDES` that is asked for.

    Everything is a plain column, so that nothing can be loaded behind anyone's back.

    Args:
        is_indexed: Search by the index that the migration made on SQLite. False where it could
            not, for want of FTS5. PostgreSQL finds out by itself.
        configs: Which kinds have a table for their configuration.
    """
    columns: Columns = {**NODE_COLUMNS, "config": configs.whole}
    search = SearchIndex(key=nodes.c.node_key, name="nodes_search") if is_indexed else None
    return ListSource(node_selected(configs), columns, includes=NODE_INCLUDES, search=search)


def node_record(
    node_id: str, *, scope: Condition, configs: ConfigTables = STANDARD_CONFIGS
) -> Statements[dict[str, Any]]:
    """End with one node by the names of `NODE_COLUMNS`.

    Raises:
        NotFoundError: There is none in *scope*, which is a condition over the same names.
    """
    criteria = compile_criteria(scope, NODE_COLUMNS)
    answer = yield Query(node_selected(configs).where(nodes.c.node_id == node_id, criteria))
    for row in answer.rows:
        return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    raise NotFoundError("node")


def node_selected(configs: ConfigTables = STANDARD_CONFIGS) -> Select[Any]:
    """Return the statement that has `NODE_COLUMNS`, one row for each node."""
    named: Columns = {**NODE_COLUMNS, "config": configs.whole}
    columns = [column.label(name) for name, column in named.items()]
    mapped = thingspeak_mappings.c.node_key == nodes.c.node_key
    return (
        select(nodes)
        .with_only_columns(*columns)
        .join_from(nodes, node_operational_state)
        .join_from(nodes, thingspeak_mappings, mapped, isouter=True)
    )
