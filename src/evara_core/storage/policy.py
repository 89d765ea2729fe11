"""To whom the rows of the reference schema belong."""

from __future__ import annotations

from evara_core.access.tenancy import TableRule, TenancyPolicy, Through
from evara_core.storage.guard.policies import GuardPolicy
from evara_core.storage.rls.roles import WallRoles
from evara_core.storage.rls.walls import Walls
from evara_core.storage.tables import metadata

__all__ = ["REFERENCE_POLICY", "reference_guard_policy", "reference_walls"]

_OWNED = TableRule(
    distributor_id="distributor_id", community_id="community_id", customer_id="customer_id"
)
_LOOKED_AT = TableRule(
    distributor_id="distributor_id",
    community_id="community_id",
    customer_id="customer_id",
    is_read_only=True,
)
_OF_A_NODE = Through(column="node_key", parent="nodes")
_OF_A_DISTRIBUTOR = TableRule(distributor_id="distributor_id")

REFERENCE_POLICY = TenancyPolicy(
    {
        "nodes": _OWNED,
        "alert_history": _OWNED,
        "alert_rules": _OF_A_DISTRIBUTOR,
        "alert_states": _OF_A_NODE,
        "audit_log": _LOOKED_AT,
        "communities": TableRule(distributor_id="distributor_id", community_id="community_id"),
        "counters": _LOOKED_AT,
        "customers": _OWNED,
        "deep_configs": _OF_A_NODE,
        "distributors": TableRule(distributor_id="distributor_id", is_read_only=True),
        "field_mappings": _OF_A_NODE,
        "flow_configs": _OF_A_NODE,
        "mapping_history": _OF_A_NODE,
        "node_operational_state": _OF_A_NODE,
        "notification_receivers": _OF_A_DISTRIBUTOR,
        "notification_routes": _OF_A_DISTRIBUTOR,
        "readings": _OF_A_NODE,
        "rollup_marks": _OF_A_NODE,
        "rollups": _OF_A_NODE,
        "set_aside": _OF_A_NODE,
        "tank_configs": _OF_A_NODE,
        "thingspeak_mappings": _OF_A_NODE,
        "users": _LOOKED_AT,
    }
)
"""The names are also those of `NODE_COLUMNS`, `ALERT_COLUMNS` and `COUNTER_COLUMNS`.

Tables that are not named, such as the outbox, are of the platform: only who sees all uses them.
"""


def reference_guard_policy() -> GuardPolicy:
    """Return the policy over the tables of the reference schema, for `storage.guard`."""
    return GuardPolicy(metadata, REFERENCE_POLICY)


def reference_walls(*, roles: WallRoles = WallRoles()) -> Walls:
    """Return the row-level security of the reference schema."""
    return Walls(reference_guard_policy(), roles=roles)
