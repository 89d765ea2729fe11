"""The lists that clients may ask for, and what each allows."""

from __future__ import annotations

from evara_core.alerts.episodes import Severity
from evara_core.query.ast import SortKey
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec, Operator
from evara_core.storage.alerts import alert_list
from evara_core.storage.nodes import node_list
from evara_core.telemetry.state import NodeStatus

__all__ = ["ALERTS", "ALERT_LIST", "NODES", "NODE_LIST"]

_MOMENT = ORDERING | {Operator.IS_NULL}

NODES = ListSpec(
    name="nodes",
    fields=(
        Field(name="id"),
        Field(name="label", sortable=True, searchable=True),
        Field(name="kind", operators=EQUALITY),
        Field(name="category", operators=EQUALITY),
        Field(name="status", operators=EQUALITY, choices=tuple(NodeStatus), sortable=True),
        Field(name="location_name", searchable=True),
        Field(name="lat", type=FieldType.NUMBER),
        Field(name="lng", type=FieldType.NUMBER),
        Field(name="capacity_l", type=FieldType.NUMBER),
        Field(name="distributor_id", operators=EQUALITY),
        Field(name="community_id", operators=EQUALITY | {Operator.IS_NULL}),
        Field(name="customer_id", operators=EQUALITY | {Operator.IS_NULL}),
        Field(name="created_at", type=FieldType.MOMENT, operators=ORDERING, sortable=True),
        Field(name="last_reading_at", type=FieldType.MOMENT, operators=_MOMENT),
        Field(name="last_seen_at", type=FieldType.MOMENT, operators=_MOMENT),
        Field(name="active_alerts", type=FieldType.INTEGER, operators=ORDERING),
        Field(name="health_score", type=FieldType.INTEGER, operators=_MOMENT),
        Field(name="values"),
    ),
    default_sort=(SortKey("created_at", descending=True),),
)

NODE_LIST = node_list()

ALERTS = ListSpec(
    name="alerts",
    fields=(
        Field(name="id"),
        Field(name="rule_id", operators=EQUALITY),
        Field(name="node_id", operators=EQUALITY),
        Field(name="node_label"),
        Field(name="severity", operators=EQUALITY, choices=tuple(Severity)),
        Field(name="fired_at", type=FieldType.MOMENT, operators=ORDERING, sortable=True),
        Field(name="resolved_at", type=FieldType.MOMENT),
        Field(name="acknowledged_at", type=FieldType.MOMENT),
        Field(name="acknowledged_by"),
        Field(name="sentence"),
        Field(name="facts"),
    ),
    default_sort=(SortKey("fired_at", descending=True),),
)

ALERT_LIST = alert_list()
