"""The caller, as the user row says: never as the token says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Principal", "Role"]


class Role(StrEnum):
    """What a user is: `access.tenancy` says what each may see, `access.roles` what it may do."""

    SUPERADMIN = "superadmin"
    """Runs the platform: sees all."""

    DISTRIBUTOR = "distributor"
    """Sees what carries its `distributor_id`."""

    COMMUNITY_MANAGER = "community_manager"
    """Sees what carries its `community_id`."""

    CUSTOMER = "customer"
    """Sees its own nodes: what carries its `customer_id` and its `distributor_id`."""

    AUDITOR = "auditor"
    """Sees what carries its `distributor_id`, and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A known, active user.

    `role` is text because it comes from a row: a role that this version does not know
    is kept as it is, and sees nothing.
    """

    user_id: str
    role: str
    distributor_id: str | None = None
    community_id: str | None = None
    customer_id: str | None = None
