"""Who sees which rows. Four ways to put the rule, and they agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import (
    PLATFORM_TOPIC,
    All,
    Dimension,
    Nothing,
    Rows,
    ScopeFault,
    TableRule,
    Tenancy,
    TenancyPolicy,
    Through,
    admits,
    cache_key,
    permitted_scope,
    scope_of,
    topics_of,
)
from evara_core.errors import ConfigurationError, DeniedError
from evara_core.query.ast import ALWAYS, NEVER
from evara_core.query.predicate import compile_predicate

NODES = TableRule(
    distributor_id="distributor_id", community_id="community_id", customer_id="customer_id"
)
POLICY = TenancyPolicy(
    {
        "nodes": NODES,
        "communities": TableRule(distributor_id="owner_id", community_id="id"),
        "device_models": TableRule(is_shared=True),
    }
)


def who(role: str, **ids: str) -> Principal:
    return Principal(user_id="u", role=role, **ids)


@pytest.mark.parametrize(
    ("principal", "fault"),
    [
        (who("owner"), ScopeFault.ROLE_UNKNOWN),
        (who(""), ScopeFault.ROLE_UNKNOWN),
        (who("Superadmin"), ScopeFault.ROLE_UNKNOWN),
        (who("superadmin "), ScopeFault.ROLE_UNKNOWN),
        (who(Role.DISTRIBUTOR), ScopeFault.DISTRIBUTOR_MISSING),
        (who(Role.DISTRIBUTOR, distributor_id=""), ScopeFault.DISTRIBUTOR_MISSING),
        (who(Role.DISTRIBUTOR, community_id="c1"), ScopeFault.DISTRIBUTOR_MISSING),
        (who(Role.AUDITOR), ScopeFault.DISTRIBUTOR_MISSING),
        (who(Role.COMMUNITY_MANAGER, distributor_id="d1"), ScopeFault.COMMUNITY_MISSING),
        (who(Role.CUSTOMER, customer_id="u1"), ScopeFault.DISTRIBUTOR_MISSING),
        (who(Role.CUSTOMER, distributor_id="d1"), ScopeFault.CUSTOMER_MISSING),
    ],
)
def test_whatever_is_unknown_sees_nothing(principal: Principal, fault: ScopeFault) -> None:
    scope = scope_of(principal)

    assert scope == Nothing(fault)
    assert POLICY.condition(scope, "nodes") == NEVER
    assert topics_of(principal) == ()
    assert not admits(scope, Tenancy(distributor_id="d1"))
    with pytest.raises(DeniedError) as denied:
        permitted_scope(principal)
    assert denied.value.reason == fault


def test_the_superadmin_sees_all() -> None:
    scope = permitted_scope(who(Role.SUPERADMIN))

    assert scope == All()
    assert POLICY.condition(scope, "nodes") == ALWAYS
    assert topics_of(scope) == (PLATFORM_TOPIC,)


@pytest.mark.parametrize("scope", [All(), Nothing(ScopeFault.ROLE_UNKNOWN)])
def test_a_table_without_a_rule_is_closed_to_everybody(scope: All | Nothing) -> None:
    with pytest.raises(DeniedError) as denied:
        POLICY.condition(scope, "users")

    assert denied.value.reason == ScopeFault.TABLE_WITHOUT_POLICY


def test_a_table_that_cannot_tell_the_customer_shows_him_nothing() -> None:
    customer = scope_of(who(Role.CUSTOMER, distributor_id="d1", customer_id="u1"))

    assert POLICY.condition(customer, "communities") == NEVER


def test_a_shared_table_is_open_to_whoever_sees_anything() -> None:
    customer = scope_of(who(Role.CUSTOMER, distributor_id="d1", customer_id="u1"))

    assert POLICY.condition(customer, "device_models") == ALWAYS
    assert POLICY.condition(scope_of(who("ghost")), "device_models") == NEVER


@pytest.mark.parametrize("columns", [{}, {"distributor_id": "d", "is_shared": True}])
def test_a_table_is_shared_or_owned(columns: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        TableRule(**columns)


def test_a_scope_without_ids_cannot_be_made() -> None:
    with pytest.raises(ConfigurationError):
        Rows(())


ids = st.sampled_from(["1", "2", "a&b", "1&customer_id=2", "%", "ü", "\ud800"])
maybe = st.none() | ids | st.just("")
principals = st.builds(
    Principal,
    user_id=st.just("u"),
    role=st.sampled_from([*Role, "ghost"]),
    distributor_id=maybe,
    community_id=maybe,
    customer_id=maybe,
)
rows = st.builds(
    Tenancy, distributor_id=ids, community_id=st.none() | ids, customer_id=st.none() | ids
)


def in_words(principal: Principal, row: Tenancy) -> bool:
    """The rule as the architecture tells it."""
    match principal.role:
        case Role.SUPERADMIN:
            return True
        case Role.DISTRIBUTOR | Role.AUDITOR:
            return bool(principal.distributor_id) and row.distributor_id == principal.distributor_id
        case Role.COMMUNITY_MANAGER:
            return bool(principal.community_id) and row.community_id == principal.community_id
        case Role.CUSTOMER:
            return (
                bool(principal.customer_id)
                and row.customer_id == principal.customer_id
                and row.distributor_id == principal.distributor_id
            )
        case _:
            return False


@given(principals, rows)
def test_rule_condition_topics_and_question_agree(principal: Principal, row: Tenancy) -> None:
    scope = scope_of(principal)
    record = {str(dimension): row.id_of(dimension) for dimension in Dimension}
    is_selected = compile_predicate(POLICY.condition(scope, "nodes"))

    expected = in_words(principal, row)

    assert (is_selected(record) is True) == expected
    assert admits(scope, row) == admits(scope, record) == expected
    assert (not set(row.topics).isdisjoint(topics_of(principal))) == expected


@given(principals, principals)
def test_cache_keys_are_equal_for_equal_scopes_only(one: Principal, other: Principal) -> None:
    left, right = scope_of(one), scope_of(other)
    are_equal = left == right or (isinstance(left, Nothing) and isinstance(right, Nothing))

    assert (cache_key(one) == cache_key(other)) == are_equal


def test_cache_keys_are_stable() -> None:
    customer = who(Role.CUSTOMER, distributor_id="d 1", customer_id="u1")

    assert cache_key(customer) == "distributor_id=d%201&customer_id=u1"
    assert cache_key(All()) == "all"


def test_a_row_beneath_belongs_to_whom_its_parent_belongs():
    policy = TenancyPolicy(
        {
            "nodes": NODES,
            "readings": Through(column="node_id", parent="nodes"),
            "marks": Through(column="reading_id", parent="readings"),
        }
    )
    scope = Rows(((Dimension.DISTRIBUTOR, "d1"),))

    assert policy.owner("marks") is NODES
    assert policy.condition(scope, "marks") == policy.condition(scope, "nodes")


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"a": Through(column="x", parent="b")}, "has no rule"),
        (
            {"a": Through(column="x", parent="b"), "b": Through(column="x", parent="a")},
            "leads in a circle",
        ),
    ],
)
def test_a_parent_that_leads_nowhere_is_refused_at_start(tables, why):
    with pytest.raises(ConfigurationError, match=why):
        TenancyPolicy(tables)
