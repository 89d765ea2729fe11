"""The nodes that the monitor looks after, and where each of them stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, true

from evara_core.access.tenancy import Tenancy
from evara_core.monitor.ports import Watched
from evara_core.serialization import dump_json, load_json
from evara_core.storage.configs import STANDARD_CONFIGS
from evara_core.storage.episodes import load_alert_state
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    alert_states,
    mapping_history,
    node_operational_state,
    nodes,
    thingspeak_mappings,
)
from evara_core.telemetry.codec import load_mapping, load_state, load_values
from evara_core.telemetry.models import Node
from evara_core.telemetry.versions import MappingVersion, holding
from evara_core.thingspeak.models import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Row

    from evara_core.alerts.episodes import AlertState
    from evara_core.storage.configs import ConfigTables
    from evara_core.storage.statements import Statements

__all__ = ["mapping_version", "node_from", "watched"]


def watched(
    within: ColumnElement[bool] | None = None, *, configs: ConfigTables = STANDARD_CONFIGS
) -> Statements[list[Watched]]:
    """End with every node that has a channel, in the order of their making.

    Three statements, whatever the number of nodes. *within* is a condition on `nodes`.
    """
    some = true() if within is None else within
    answer = yield Query(
        select(
            nodes,
            configs.sizes,
            node_operational_state,
            thingspeak_mappings,
            thingspeak_mappings.c.revision.label("mapping_revision"),
        )
        .join_from(nodes, node_operational_state)
        .join_from(nodes, thingspeak_mappings, thingspeak_mappings.c.node_key == nodes.c.node_key)
        .where(some)
        .order_by(nodes.c.node_key)
    )
    states = alert_states.c
    found = select(states.node_key, states.document)
    if within is not None:
        found = found.join_from(alert_states, nodes).where(within)
    stored = yield Query(found.order_by(states.node_key, states.rule_id))
    alerts: dict[int, list[AlertState]] = {}
    for row in stored.rows:
        alerts.setdefault(row.node_key, []).append(load_alert_state(row.document))
    versions = yield from _versions()
    return [
        _watched(row, alerts.get(row.node_key, ()), versions.get(row.node_key, ()))
        for row in answer.rows
    ]


def node_from(row: Row[Any]) -> Node:
    """Return the node of a row that has the columns of `nodes`, and `ConfigTables.sizes`."""
    return Node(
        node_id=row.node_id,
        label=row.label,
        kind=row.kind,
        category=row.category,
        tenancy=Tenancy(
            distributor_id=row.distributor_id,
            community_id=row.community_id,
            customer_id=row.customer_id,
        ),
        config={**row.config, **row.sizes},
        expected_interval_s=row.expected_interval_s,
        in_maintenance=row.in_maintenance,
        gateway_id=row.gateway_id,
    )


def mapping_version(row: Row[Any]) -> MappingVersion:
    """Return the mapping of a row that has the columns of `mapping_history`."""
    return MappingVersion(
        revision=row.revision,
        mapping=load_mapping(row.mapping),
        since=row.since_at,
        saved_at=row.saved_at,
        saved_by=row.saved_by,
        withdrawn_at=row.withdrawn_at,
    )


def _versions() -> Statements[dict[int, list[MappingVersion]]]:
    """End with the mappings of the nodes that have had more than one."""
    several = thingspeak_mappings.c.revision > 1
    answer = yield Query(
        select(mapping_history)
        .where(
            mapping_history.c.node_key.in_(select(thingspeak_mappings.c.node_key).where(several)),
            mapping_history.c.withdrawn_at.is_(None),
        )
        .order_by(mapping_history.c.node_key, mapping_history.c.revision)
    )
    found: dict[int, list[MappingVersion]] = {}
    for row in answer.rows:
        found.setdefault(row.node_key, []).append(mapping_version(row))
    return found


def _watched(
    row: Row[Any], alerts: Sequence[AlertState], versions: Sequence[MappingVersion]
) -> Watched:
    return Watched(
        node=node_from(row),
        mapping=load_mapping(row.mapping),
        mapping_revision=row.mapping_revision,
        versions=tuple(holding(versions, row.channel_id)),
        read_key=row.read_key,
        position=_position(row),
        state=replace(load_state(row.document), values=load_values(dump_json(row.values))),
        alerts=tuple(alerts),
    )


def _position(row: Row[Any]) -> Position | None:
    if row.position_at is None or row.position_channel_id != row.channel_id:
        return None
    return Position(
        entry_id=row.position_entry_id,
        created_at=row.position_at,
        held=tuple((number, text) for number, text in load_json(row.position_held)),
    )
