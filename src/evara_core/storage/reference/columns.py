"""Which columns of the reference schema each role reads and writes, as one policy.

It is made from what the resources themselves enforce (`Resource.spec`, `Writing.batch`) and from
the permissions of roles, so it cannot say anything else than they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.access.columns import ColumnPolicy, ColumnRule, TableColumns
from evara_core.storage.reference.nodes import node_resource
from evara_core.storage.reference.tenants import (
    community_resource,
    customer_resource,
    distributor_resource,
    user_resource,
)
from evara_core.storage.reference.trail import audit_resource

if TYPE_CHECKING:
    from evara_core.access.permissions import AccessPolicy
    from evara_core.storage.resources import Resource

__all__ = ["columns_of", "reference_columns"]


def reference_columns(policy: AccessPolicy) -> ColumnPolicy:
    """Return the column lists of all resources of the reference schema, by role."""
    resources = (
        node_resource(new_id=_nothing),
        distributor_resource(new_id=_nothing),
        community_resource(new_id=_nothing),
        customer_resource(new_id=_nothing),
        user_resource(new_id=_nothing),
        audit_resource(),
    )
    return ColumnPolicy({each.name: columns_of(each, policy) for each in resources})


def columns_of(resource: Resource, policy: AccessPolicy) -> TableColumns:
    """Return what each role may do with the columns of *resource*."""
    listed = {field.name for field in resource.spec.fields if field.selectable}
    readable = frozenset(listed | set(resource.selected.selected_columns.keys()))
    writables = () if resource.writing is None else resource.writing.batch.writables
    sent = frozenset(each.field.name for each in writables)
    fixed = frozenset(each.field.name for each in writables if each.is_fixed)
    by_role = {}
    for role in policy.roles:
        may = policy.permissions_of(role)
        writes = f"{resource.name}:write" in may
        by_role[role] = ColumnRule(
            readable=readable if f"{resource.name}:read" in may else frozenset(),
            creatable=sent if writes else frozenset(),
            updatable=sent - fixed if writes else frozenset(),
        )
    columns = readable | sent
    return TableColumns(columns=columns, fixed=fixed | (columns - sent), by_role=by_role)


def _nothing() -> object:
    return ""
