"""Whom the demonstration's fleet belongs to, and who may sign in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import Tenancy
from evara_core.storage.fleet import add_community, add_customer, add_distributor, add_user
from evara_core.testing.tokens import TokenIssuer
from fastapi_app.parts import DemoUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.access.tokens import TokenVerifier
    from evara_core.clock import Clock
    from evara_core.storage.statements import Statements

__all__ = ["DemoTokens", "add_people", "tenancy_of"]

_LIFETIME = timedelta(hours=12)

_DISTRIBUTORS = {"d-north": "Northern Water Works", "d-south": "Southern Water Works"}
_COMMUNITIES = {
    "c-lakeview": ("Lake View", "d-north"),
    "c-oldtown": ("Old Town", "d-north"),
    "c-harbour": ("Harbour", "d-south"),
}
_CUSTOMERS = {
    "k-asha": ("Asha Rao", "c-lakeview"),
    "k-ravi": ("Ravi Kumar", "c-oldtown"),
    "k-meena": ("Meena Iyer", "c-harbour"),
}
_OWNERS = (
    ("c-lakeview", "k-asha"),
    ("c-lakeview", None),
    ("c-oldtown", "k-ravi"),
    ("c-harbour", "k-meena"),
    ("c-harbour", None),
)
_USERS = (
    ("Platform operator", Principal(user_id="u-operator", role=Role.SUPERADMIN)),
    (
        "Northern Water Works",
        Principal(user_id="u-north", role=Role.DISTRIBUTOR, distributor_id="d-north"),
    ),
    (
        "Lake View",
        Principal(
            user_id="u-lakeview",
            role=Role.COMMUNITY_MANAGER,
            distributor_id="d-north",
            community_id="c-lakeview",
        ),
    ),
    (
        "Asha Rao",
        Principal(
            user_id="u-asha",
            role=Role.CUSTOMER,
            distributor_id="d-north",
            community_id="c-lakeview",
            customer_id="k-asha",
        ),
    ),
)


def tenancy_of(number: int) -> Tenancy:
    """Return whom the node of this number belongs to: by turns, and not in step with kinds."""
    community_id, customer_id = _OWNERS[(number + number // len(_OWNERS)) % len(_OWNERS)]
    return Tenancy(
        distributor_id=_COMMUNITIES[community_id][1],
        community_id=community_id,
        customer_id=customer_id,
    )


def add_people(*, created_at: datetime) -> Statements[None]:
    """Put in everybody."""
    for distributor_id, name in _DISTRIBUTORS.items():
        yield from add_distributor(distributor_id, name, created_at=created_at)
    for community_id, (name, distributor_id) in _COMMUNITIES.items():
        yield from add_community(
            community_id, name, distributor_id=distributor_id, created_at=created_at
        )
    for customer_id, (name, community_id) in _CUSTOMERS.items():
        yield from add_customer(
            customer_id,
            name,
            distributor_id=_COMMUNITIES[community_id][1],
            community_id=community_id,
            created_at=created_at,
        )
    for name, who in _USERS:
        yield from add_user(who, name=name, created_at=created_at)


class DemoTokens:
    """Real tokens of an issuer that lives as long as this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._issuer = TokenIssuer(
            clock=clock, issuer="http://localhost/demo", audience="evara-demo", kid="demo"
        )
        self._users: tuple[DemoUser, ...] = ()
        self._renew_at = clock.now()

    def verifier(self) -> TokenVerifier:
        """Return a verifier that believes these tokens and no others."""
        return self._issuer.verifier()

    def users(self) -> Sequence[DemoUser]:
        """Return everybody with a token that is good for hours: the same one for a while."""
        now = self._clock.now()
        if now >= self._renew_at:
            self._renew_at = now + _LIFETIME / 2
            self._users = tuple(
                DemoUser(
                    name=name,
                    role=str(who.role),
                    token=self._issuer.mint(who.user_id, lifetime=_LIFETIME),
                    expires_at=now + _LIFETIME,
                )
                for name, who in _USERS
            )
        return self._users
