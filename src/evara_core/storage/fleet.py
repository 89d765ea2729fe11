"""Putting in whom the fleet belongs to, who may look at it, and its nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from evara_core.access.principal import Principal
from evara_core.storage.bulk import insert_rows, storable_json
from evara_core.storage.configs import STANDARD_CONFIGS
from evara_core.storage.counters import STATUS, Counts, add_counts
from evara_core.storage.mappings import put_mappings
from evara_core.storage.readings import node_keys
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    communities,
    customers,
    distributors,
    node_operational_state,
    nodes,
    users,
)
from evara_core.telemetry.codec import dump_state, dump_values
from evara_core.telemetry.state import NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.storage.configs import ConfigTables
    from evara_core.storage.statements import Statements
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node

__all__ = [
    "NodeRecord",
    "add_community",
    "add_customer",
    "add_distributor",
    "add_nodes",
    "add_user",
    "principal",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node as it is put in, with what the domain's `Node` does not need to know."""

    node: Node
    created_at: datetime
    mapping: ChannelMapping | None = None
    read_key: str | None = field(default=None, repr=False)
    location_name: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    capacity_l: float | None = None
    capacity_text: str | None = None


def add_distributor(distributor_id: str, name: str, *, created_at: datetime) -> Statements[None]:
    """Put in a distributor."""
    values = {"distributor_id": distributor_id, "name": name, "created_at": created_at}
    yield Query(insert(distributors), values)


def add_community(
    community_id: str, name: str, *, distributor_id: str, created_at: datetime
) -> Statements[None]:
    """Put in a community of a distributor."""
    values = {
        "community_id": community_id,
        "distributor_id": distributor_id,
        "name": name,
        "created_at": created_at,
    }
    yield Query(insert(communities), values)


def add_customer(
    customer_id: str,
    name: str,
    *,
    distributor_id: str,
    community_id: str | None = None,
    created_at: datetime,
) -> Statements[None]:
    """Put in a customer of a distributor, in a community or in none."""
    values = {
        "customer_id": customer_id,
        "distributor_id": distributor_id,
        "community_id": community_id,
        "name": name,
        "created_at": created_at,
    }
    yield Query(insert(customers), values)


def add_user(
    who: Principal, *, name: str, email: str | None = None, created_at: datetime
) -> Statements[None]:
    """Put in a user, active."""
    values = {
        "user_id": who.user_id,
        "name": name,
        "email": email,
        "role": str(who.role),
        "distributor_id": who.distributor_id,
        "community_id": who.community_id,
        "customer_id": who.customer_id,
        "created_at": created_at,
    }
    yield Query(insert(users), values)


def principal(user_id: str) -> Statements[Principal | None]:
    """End with the user as its row says; None: there is none, or it is not active."""
    columns = users.c
    answer = yield Query(
        select(
            columns.user_id,
            columns.role,
            columns.distributor_id,
            columns.community_id,
            columns.customer_id,
        ).where(columns.user_id == user_id, columns.is_active)
    )
    for row in answer.rows:
        return Principal(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    return None


def add_nodes(
    records: Sequence[NodeRecord], *, configs: ConfigTables = STANDARD_CONFIGS, dialect: str
) -> Statements[None]:
    """Put in nodes that have never reported, with their channels.

    Raises:
        ConflictError: One is there already, names a tenant that is not, or has a size that can
            be none, such as a tank 0 cm high.
    """
    if not records:
        return
    yield insert_rows(nodes, _node_rows(records, configs), dialect=dialect)
    ids = [record.node.node_id for record in records]
    keys = yield from node_keys(ids, dialect=dialect)
    found = [record.node for record in records]
    sizes = [(keys[node.node_id], node.kind, node.config) for node in found]
    yield from configs.put(sizes)
    yield insert_rows(node_operational_state, _state_rows(list(keys.values())), dialect=dialect)
    mapped = [
        (keys[record.node.node_id], record.mapping, record.read_key)
        for record in records
        if record.mapping is not None
    ]
    made_at = [record.created_at for record in records if record.mapping is not None]
    yield from put_mappings(mapped, at=made_at, dialect=dialect)
    status = STATUS + NodeState().status
    counts = Counts((record.node.tenancy, status) for record in records)
    yield from add_counts(counts, dialect=dialect)


def _node_rows(records: Sequence[NodeRecord], configs: ConfigTables) -> dict[str, list[Any]]:
    found = [record.node for record in records]
    places = ("location_name", "latitude", "longitude", "capacity_l", "capacity_text")
    return {
        "node_id": [node.node_id for node in found],
        "distributor_id": [node.tenancy.distributor_id for node in found],
        "community_id": [node.tenancy.community_id for node in found],
        "customer_id": [node.tenancy.customer_id for node in found],
        "label": [node.label for node in found],
        "kind": [node.kind for node in found],
        "category": [node.category for node in found],
        "config": [storable_json(configs.rest(node.kind, node.config)) for node in found],
        "expected_interval_s": [node.expected_interval_s for node in found],
        "in_maintenance": [node.in_maintenance for node in found],
        "gateway_id": [node.gateway_id for node in found],
        "created_at": [record.created_at for record in records],
        "updated_at": [record.created_at for record in records],
        **{name: [getattr(record, name) for record in records] for name in places},
    }


def _state_rows(keys: Sequence[int]) -> dict[str, list[Any]]:
    new = NodeState()
    constant = {
        "status": new.status.value,
        "connectivity": new.connectivity.value,
        "values": dump_values(new.values).decode(),
        "health_reasons": storable_json(new.health_reasons),
        "document": dump_state(new).decode(),
    }
    return {"node_key": list(keys)} | {
        name: [value] * len(keys) for name, value in constant.items()
    }
