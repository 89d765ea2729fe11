"""May this caller do this, and why."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.access.grants import PermissionRegistry, RoleSpec
from evara_core.access.permissions import AccessPolicy, DecisionReason
from evara_core.access.principal import Principal, Role
from evara_core.access.roles import BUILT_IN_PERMISSIONS, built_in_policy
from evara_core.access.tenancy import Tenancy
from evara_core.errors import ConfigurationError, DeniedError
from evara_core.query.ast import ALWAYS, Compare, Comparison

NAMES = ("nodes:read", "nodes:write", "nodes:delete", "alerts:read", "alerts:write")
REGISTRY = PermissionRegistry(NAMES)


def who(role: str, **ids: str) -> Principal:
    return Principal(user_id="u", role=role, **ids)


def policy(*roles: RoleSpec) -> AccessPolicy:
    return AccessPolicy(REGISTRY, roles)


def test_what_is_granted_is_allowed_and_says_by_what() -> None:
    keeper = policy(RoleSpec(name="keeper", grants=("nodes:*",)))

    decision = keeper.decide(who("keeper"), "nodes:write")

    assert decision.allowed
    assert decision.grant == "keeper: nodes:*"
    assert decision.explain() == (
        f"role 'keeper' may nodes:write: granted by 'keeper: nodes:*' (policy {keeper.version})"
    )


def test_what_nothing_grants_is_denied() -> None:
    decision = policy(RoleSpec(name="keeper", grants=("nodes:*",))).decide(
        who("keeper"), "alerts:read"
    )

    assert not decision.allowed
    assert decision.reason is DecisionReason.NOT_GRANTED
    assert "nothing grants it" in decision.explain()


def test_deny_wins_over_grants_of_the_same_role_and_of_those_below() -> None:
    careful = policy(
        RoleSpec(name="careful", grants=("nodes:*",), denies=("nodes:delete",)),
        RoleSpec(name="bold", grants=("admin:all",), parents=("careful",)),
    )

    for role in ("careful", "bold"):
        decision = careful.decide(who(role), "nodes:delete")
        assert decision.reason is DecisionReason.DENIED_BY_ROLE
        assert decision.grant == "careful: nodes:delete"
    assert careful.decide(who("bold"), "alerts:write").allowed


def test_an_unknown_role_may_nothing() -> None:
    decision = policy().decide(who("nobody"), "nodes:read")

    assert decision.reason is DecisionReason.ROLE_UNKNOWN
    assert "unknown" in decision.explain()


@pytest.mark.parametrize("role", ["keeper", "nobody"])
def test_an_unknown_permission_is_an_error_for_every_role(role: str) -> None:
    keeper = policy(RoleSpec(name="keeper", grants=("admin:all",)))

    with pytest.raises(ConfigurationError, match="nodes:raed"):
        keeper.decide(who(role), "nodes:raed")


@pytest.mark.parametrize(
    "name", ["nodes", "nodes:*", "*:*", "Nodes:read", "a:b:c", "admin:all", ""]
)
def test_a_permission_has_the_form_resource_action(name: str) -> None:
    with pytest.raises(ConfigurationError):
        PermissionRegistry([name])


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("nodes:read", {"nodes:read"}),
        ("nodes:*", {"nodes:read", "nodes:write", "nodes:delete"}),
        ("*:read", {"nodes:read", "alerts:read"}),
        ("admin:all", set(NAMES)),
    ],
)
def test_a_star_stands_for_a_whole_half(pattern: str, covered: set[str]) -> None:
    assert REGISTRY.expand(pattern) == covered


@pytest.mark.parametrize(
    "pattern",
    ["nodes:rea*", "n*:read", "*", "*:*", "nodes", "nodes:", ":read", "nodes:[r]ead", "x:*"],
)
def test_a_pattern_that_covers_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        REGISTRY.expand(pattern)


@pytest.mark.parametrize(
    "roles",
    [
        (RoleSpec(name="a"), RoleSpec(name="a")),
        (RoleSpec(name="a", parents=("ghost",)),),
        (RoleSpec(name="a", parents=("b",)), RoleSpec(name="b", parents=("a",))),
        (RoleSpec(name="a", grants=("nodes:*", "nodes:read")),),
        (RoleSpec(name="a", grants=("nodes:read",), denies=("nodes:*",)),),
        (RoleSpec(name="a", denies=("nodes:fly",)),),
        (RoleSpec(name="a", grants=("nodes:read",), conditions={"nodes:write": ALWAYS}),),
    ],
    ids=[
        "twice",
        "unknown parent",
        "circle",
        "shadowed",
        "denied whole",
        "unknown denial",
        "condition without grant",
    ],
)
def test_roles_that_make_no_sense_are_refused_at_start(roles: tuple[RoleSpec, ...]) -> None:
    with pytest.raises(ConfigurationError):
        policy(*roles)


def test_require_raises_what_decide_says() -> None:
    keeper = policy(RoleSpec(name="keeper", grants=("nodes:read",)))

    assert keeper.require(who("keeper"), "nodes:read").allowed
    with pytest.raises(DeniedError) as denied:
        keeper.require(who("keeper"), "nodes:write")
    assert (denied.value.permission, denied.value.reason) == ("nodes:write", "not_granted")


def test_a_permission_ends_at_the_border_of_the_tenant() -> None:
    roles = built_in_policy()
    caller = who(Role.DISTRIBUTOR, distributor_id="d1")

    assert roles.decide(caller, "nodes:write", Tenancy(distributor_id="d1")).allowed
    assert roles.decide(caller, "nodes:write", {"distributor_id": "d1"}).allowed
    decision = roles.decide(caller, "nodes:write", Tenancy(distributor_id="d2"))
    assert decision.reason is DecisionReason.OUT_OF_SCOPE
    assert "another tenant" in decision.explain()


def test_whoever_has_no_tenant_may_nothing_with_a_row() -> None:
    decision = built_in_policy().decide(
        who(Role.DISTRIBUTOR), "nodes:read", Tenancy(distributor_id="d1")
    )

    assert decision.reason is DecisionReason.NO_SCOPE
    assert "names no tenant" in decision.explain()


def test_all_permissions_do_not_lift_the_scope() -> None:
    mighty = policy(RoleSpec(name="distributor", grants=("admin:all",)))
    caller = who("distributor", distributor_id="d1")

    decision = mighty.decide(caller, "nodes:delete", Tenancy(distributor_id="d2"))

    assert decision.reason is DecisionReason.OUT_OF_SCOPE


class TestConditions:
    """Grants that hold for certain rows only."""

    TANKS = Compare("kind", Comparison.EQ, "tank")

    @pytest.fixture
    def roles(self) -> AccessPolicy:
        return policy(
            RoleSpec(name="base", grants=("alerts:*",), conditions={"alerts:*": self.TANKS}),
            RoleSpec(
                name="distributor",
                parents=("base",),
                grants=("nodes:*", "*:read"),
                denies=("nodes:delete",),
                conditions={"nodes:*": self.TANKS},
            ),
        )

    caller = who("distributor", distributor_id="d1")
    tank: ClassVar = {"kind": "tank", "distributor_id": "d1"}

    def test_a_row_that_meets_the_condition_is_granted(self, roles: AccessPolicy) -> None:
        decision = roles.decide(self.caller, "nodes:write", self.tank)

        assert decision.allowed
        assert decision.grant == "distributor: nodes:*"
        assert roles.decide(self.caller, "alerts:write", self.tank).grant == "base: alerts:*"

    @pytest.mark.parametrize("kind", ["deep", None])
    def test_one_that_does_not_or_might_not_is_denied(
        self, roles: AccessPolicy, kind: str | None
    ) -> None:
        decision = roles.decide(self.caller, "nodes:write", self.tank | {"kind": kind})

        assert decision.reason is DecisionReason.CONDITION_NOT_MET
        assert "certain rows only" in decision.explain()

    def test_without_a_row_it_does_not_hold(self, roles: AccessPolicy) -> None:
        assert not roles.decide(self.caller, "nodes:write").allowed
        assert "nodes:write" not in roles.permissions_of("distributor")

    def test_a_grant_without_a_condition_needs_none(self, roles: AccessPolicy) -> None:
        assert roles.decide(self.caller, "nodes:read").grant == "distributor: *:read"

    def test_a_condition_that_cannot_be_decided_is_a_no(self, roles: AccessPolicy) -> None:
        decision = roles.decide(self.caller, "nodes:write", Tenancy(distributor_id="d1"))

        assert decision.reason is DecisionReason.CONDITION_FAILED
        assert "could not be decided" in decision.explain()

    def test_the_scope_and_denials_outrank_it(self, roles: AccessPolicy) -> None:
        foreign = self.tank | {"distributor_id": "d2"}

        assert roles.decide(self.caller, "nodes:write", foreign).reason == "out_of_scope"
        assert roles.decide(self.caller, "nodes:delete", self.tank).reason == "denied_by_role"


def test_nobody_grants_what_he_does_not_hold() -> None:
    roles = built_in_policy()

    assert roles.may_grant(who(Role.DISTRIBUTOR), Role.CUSTOMER)
    assert not roles.may_grant(who(Role.DISTRIBUTOR), Role.SUPERADMIN)
    assert not roles.may_grant(who(Role.CUSTOMER), Role.COMMUNITY_MANAGER)
    assert not roles.may_grant(who(Role.SUPERADMIN), "ghost")
    assert not roles.may_grant(who("ghost"), Role.CUSTOMER)


def test_the_auditor_only_reads() -> None:
    may = built_in_policy().permissions_of(Role.AUDITOR)

    assert may == {name for name in BUILT_IN_PERMISSIONS if name.endswith(":read")}


def test_the_version_names_the_content() -> None:
    one, same, other = (
        policy(RoleSpec(name="a", grants=(grant,)))
        for grant in ("nodes:read", "nodes:read", "nodes:write")
    )

    assert one.version == same.version != other.version


names = st.sampled_from(NAMES)
patterns = names | st.sampled_from(["nodes:*", "alerts:*", "*:read", "*:write", "admin:all"])


@given(st.sets(patterns, max_size=3), st.sets(names, max_size=2), names)
def test_a_decision_is_allow_minus_deny(grants: set[str], denies: set[str], asked: str) -> None:
    granted = {name for pattern in grants for name in REGISTRY.expand(pattern)}
    denied = {name for pattern in denies for name in REGISTRY.expand(pattern)}
    try:
        loaded = policy(RoleSpec(name="r", grants=tuple(grants), denies=tuple(denies)))
    except ConfigurationError:
        return

    assert loaded.decide(who("r"), asked).allowed == (asked in granted - denied)
