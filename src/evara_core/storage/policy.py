"""To whom the rows of the reference schema belong."""

from __future__ import annotations

from evara_core.access.tenancy import TableRule, TenancyPolicy

__all__ = ["REFERENCE_POLICY"]

_OWNED = TableRule(
    distributor_id="distributor_id", community_id="community_id", customer_id="customer_id"
)

REFERENCE_POLICY = TenancyPolicy(
    {
        "nodes": _OWNED,
        "alert_history": _OWNED,
        "counters": _OWNED,
        "distributors": TableRule(distributor_id="distributor_id"),
        "communities": TableRule(distributor_id="distributor_id", community_id="community_id"),
        "customers": _OWNED,
        "users": _OWNED,
    }
)
"""The names are also those of `NODE_COLUMNS`, `ALERT_COLUMNS` and `COUNTER_COLUMNS`.

What a table that is not named here holds, such as readings, is reached through its node.
"""
