"""The reference schema, as SQLAlchemy Core tables."""

from __future__ import annotations

from evara_core.storage.tables.alerts import alert_history, alert_states
from evara_core.storage.tables.base import metadata
from evara_core.storage.tables.configs import deep_configs, flow_configs, tank_configs
from evara_core.storage.tables.delivery import counters, outbox
from evara_core.storage.tables.fleet import (
    field_mappings,
    mapping_history,
    node_operational_state,
    nodes,
    thingspeak_mappings,
)
from evara_core.storage.tables.leases import leases
from evara_core.storage.tables.notify import (
    deliveries,
    notification_groups,
    notification_leases,
    notification_receivers,
    notification_routes,
    receiver_states,
)
from evara_core.storage.tables.operations import (
    alert_rule_changes,
    alert_rule_version,
    operator_actions,
)
from evara_core.storage.tables.records import alert_rules, audit_log, upkeep_runs
from evara_core.storage.tables.repeats import idempotency_keys
from evara_core.storage.tables.telemetry import (
    METRIC_COLUMNS,
    readings,
    rollup_marks,
    rollups,
    set_aside,
)
from evara_core.storage.tables.tenants import (
    communities,
    customers,
    distributors,
    ended_sessions,
    users,
)

__all__ = [
    "METRIC_COLUMNS",
    "alert_history",
    "alert_rule_changes",
    "alert_rule_version",
    "alert_rules",
    "alert_states",
    "audit_log",
    "communities",
    "counters",
    "customers",
    "deep_configs",
    "deliveries",
    "distributors",
    "ended_sessions",
    "field_mappings",
    "flow_configs",
    "idempotency_keys",
    "leases",
    "mapping_history",
    "metadata",
    "node_operational_state",
    "nodes",
    "notification_groups",
    "notification_leases",
    "notification_receivers",
    "notification_routes",
    "operator_actions",
    "outbox",
    "readings",
    "receiver_states",
    "rollup_marks",
    "rollups",
    "set_aside",
    "tank_configs",
    "thingspeak_mappings",
    "upkeep_runs",
    "users",
]
