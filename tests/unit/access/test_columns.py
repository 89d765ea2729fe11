"""What may be read and written: nothing that is not listed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.access.columns import ColumnPolicy, ColumnRule, TableColumns, Verb, narrowed
from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import Dimension
from evara_core.errors import ConfigurationError, DeniedError, InvalidParameterError
from evara_core.query.ast import SortKey
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, Field, ListSpec

COLUMNS = frozenset({"id", "label", "secret", "distributor_id", "role"})
WRITABLE = frozenset({"label"})
RULE = ColumnRule(
    readable=frozenset({"id", "label"}),
    creatable=WRITABLE,
    updatable=WRITABLE,
    presets={"distributor_id": Dimension.DISTRIBUTOR},
)
POLICY = ColumnPolicy(
    {
        "nodes": TableColumns(
            columns=COLUMNS,
            fixed=frozenset({"id", "distributor_id"}),
            by_role={Role.DISTRIBUTOR: RULE, Role.CUSTOMER: ColumnRule(), Role.SUPERADMIN: RULE},
        )
    }
)
CALLER = Principal(user_id="u", role=Role.DISTRIBUTOR, distributor_id="d1")


def test_a_new_row_gets_the_tenant_of_the_caller() -> None:
    values = POLICY.accepted(CALLER, "nodes", Verb.CREATE, {"label": "OHT-1"})

    assert values == {"label": "OHT-1", "distributor_id": "d1"}


def test_a_change_sets_nothing_by_itself() -> None:
    assert POLICY.accepted(CALLER, "nodes", Verb.UPDATE, {"label": "x"}) == {"label": "x"}


@given(st.dictionaries(st.sampled_from([*sorted(COLUMNS), "__class__", ""]), st.integers()))
def test_only_listed_columns_get_through_and_none_is_left_out_in_silence(
    sent: dict[str, Any],
) -> None:
    for verb in Verb:
        if sent.keys() <= WRITABLE:
            assert sent.items() <= POLICY.accepted(CALLER, "nodes", verb, sent).items()
        else:
            with pytest.raises(InvalidParameterError) as refused:
                POLICY.accepted(CALLER, "nodes", verb, sent)
            assert refused.value.parameter in sent.keys() - WRITABLE
            assert refused.value.allowed == ("label",)


@pytest.mark.parametrize(
    ("role", "table"), [("ghost", "nodes"), (Role.DISTRIBUTOR, "users"), (Role.AUDITOR, "nodes")]
)
def test_what_has_no_rule_is_closed(role: str, table: str) -> None:
    caller = Principal(user_id="u", role=role, distributor_id="d1")

    with pytest.raises(DeniedError):
        POLICY.readable(caller, table)
    with pytest.raises(DeniedError):
        POLICY.accepted(caller, table, Verb.UPDATE, {})


def test_a_role_without_writable_columns_writes_none() -> None:
    customer = Principal(user_id="u", role=Role.CUSTOMER, distributor_id="d1", customer_id="c")

    with pytest.raises(InvalidParameterError):
        POLICY.accepted(customer, "nodes", Verb.UPDATE, {"label": "x"})
    assert POLICY.accepted(customer, "nodes", Verb.CREATE, {}) == {}


@pytest.mark.parametrize(
    "caller",
    [Principal(user_id="u", role=Role.DISTRIBUTOR), Principal(user_id="u", role=Role.SUPERADMIN)],
)
def test_nobody_creates_a_row_whose_tenant_cannot_be_said(caller: Principal) -> None:
    with pytest.raises(DeniedError):
        POLICY.accepted(caller, "nodes", Verb.CREATE, {"label": "x"})


@pytest.mark.parametrize(
    "rule",
    [
        ColumnRule(readable=frozenset({"colour"})),
        ColumnRule(updatable=frozenset({"id"})),
        ColumnRule(creatable=frozenset({"role"}), presets={"role": Dimension.CUSTOMER}),
    ],
    ids=["unknown", "fixed", "sent and preset"],
)
def test_lists_that_make_no_sense_are_refused_at_start(rule: ColumnRule) -> None:
    with pytest.raises(ConfigurationError):
        TableColumns(columns=COLUMNS, fixed=frozenset({"id"}), by_role={"r": rule})


SPEC = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", operators=EQUALITY, sortable=True),
        Field(name="label", operators=EQUALITY, sortable=True, searchable=True),
        Field(name="secret", operators=EQUALITY, sortable=True, searchable=True),
    ),
    default_sort=(SortKey("secret"), SortKey("label")),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("secret", "x"), ("sort", "secret"), ("sort", "-secret"), ("fields", "secret")],
)
def test_a_hidden_column_can_be_neither_shown_nor_filtered_nor_sorted_by(
    name: str, value: str
) -> None:
    spec = narrowed(SPEC, POLICY.readable(CALLER, "nodes"))

    with pytest.raises(InvalidParameterError):
        parse_list_query(spec, [(name, value)])
    assert spec.selectable == ("id", "label")
    assert spec.searchable == ("label",)
    assert spec.default_sort == (SortKey("label"),)


def test_a_hidden_key_still_completes_the_order() -> None:
    spec = narrowed(SPEC, frozenset({"label"}))

    assert spec.selectable == ("label",)
    assert spec.sortable == ("label",)
    assert parse_list_query(spec, []).sort == (SortKey("label"), SortKey("id"))
