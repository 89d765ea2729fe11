"""The permissions and roles that come with the library. Data only: replace what you like."""

from __future__ import annotations

from typing import Final

from evara_core.access.grants import PermissionRegistry, RoleSpec
from evara_core.access.permissions import AccessPolicy
from evara_core.access.principal import Role

__all__ = ["BUILT_IN_PERMISSIONS", "BUILT_IN_ROLES", "built_in_policy"]

BUILT_IN_PERMISSIONS: Final = frozenset(
    {
        "alerts:read",
        "alerts:write",
        "audit:read",
        "communities:read",
        "communities:write",
        "customers:read",
        "customers:write",
        "dashboard:read",
        "distributors:read",
        "distributors:write",
        "nodes:delete",
        "nodes:read",
        "nodes:write",
        "notifications:read",
        "notifications:write",
        "platform:operate",
        "rules:read",
        "rules:write",
        "stream:read",
        "telemetry:import",
        "telemetry:read",
        "users:read",
        "users:write",
    }
)

_WATCHING: Final = (
    "alerts:read",
    "dashboard:read",
    "nodes:read",
    "stream:read",
    "telemetry:read",
)

BUILT_IN_ROLES: Final = (
    RoleSpec(name=Role.SUPERADMIN, grants=("admin:all",)),
    RoleSpec(
        name=Role.DISTRIBUTOR,
        grants=(
            "alerts:*",
            "audit:read",
            "communities:*",
            "customers:*",
            "dashboard:read",
            "distributors:read",
            "nodes:*",
            "notifications:*",
            "rules:*",
            "stream:read",
            "telemetry:*",
            "users:*",
        ),
    ),
    RoleSpec(
        name=Role.COMMUNITY_MANAGER,
        grants=(
            *_WATCHING,
            "alerts:write",
            "communities:read",
            "customers:read",
            "rules:read",
            "users:read",
        ),
    ),
    RoleSpec(name=Role.CUSTOMER, grants=_WATCHING),
    RoleSpec(name=Role.AUDITOR, grants=("*:read",)),
)


def built_in_policy() -> AccessPolicy:
    """Return the policy of the roles that come with the library."""
    return AccessPolicy(PermissionRegistry(BUILT_IN_PERMISSIONS), BUILT_IN_ROLES)
