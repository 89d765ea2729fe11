"""The whole policy on one page, and the page in the repository is the true one."""

from __future__ import annotations

from pathlib import Path

from evara_core.access.columns import ColumnPolicy, ColumnRule, TableColumns
from evara_core.access.grants import PermissionRegistry, RoleSpec
from evara_core.access.matrix import render_columns, render_permissions
from evara_core.access.permissions import AccessPolicy
from evara_core.access.roles import built_in_policy
from evara_core.access.tenancy import Dimension
from evara_core.query.ast import ALWAYS
from evara_core.storage.reference.columns import reference_columns

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "access-matrix.md"
HEAD = """# Access matrix

Which of the built-in roles may do what, wildcards expanded.
Below: what each reads (r), creates (c) and updates (u) of which column.
Which rows a role may do it with is its [scope](../explanation/tenancy.md).
This page is what `evara access matrix --markdown` prints; a test compares them.

"""


def test_the_page_in_the_repository_is_the_policy() -> None:
    policy = built_in_policy()

    columns = render_columns(reference_columns(policy))

    assert PAGE.read_text() == HEAD + render_permissions(policy) + "\n" + columns


def test_rows_are_permissions_and_columns_roles() -> None:
    policy = AccessPolicy(
        PermissionRegistry({"nodes:read", "nodes:write"}),
        [
            RoleSpec(name="b", grants=("nodes:*",), denies=("nodes:write",)),
            RoleSpec(name="a", grants=("nodes:*",), conditions={"nodes:*": ALWAYS}),
        ],
    )

    assert render_permissions(policy).splitlines() == [
        "| permission | a | b |",
        "| --- | --- | --- |",
        "| `nodes:read` | some rows | yes |",
        "| `nodes:write` | some rows |  |",
    ]


def test_columns_show_what_each_role_may_do_with_them() -> None:
    rule = ColumnRule(
        readable=frozenset({"label", "id"}),
        creatable=frozenset({"label"}),
        updatable=frozenset({"label"}),
        presets={"owner": Dimension.DISTRIBUTOR},
    )
    columns = ColumnPolicy(
        {
            "nodes": TableColumns(
                columns=frozenset({"id", "label", "owner"}),
                fixed=frozenset({"id"}),
                by_role={"r": rule},
            )
        }
    )

    assert render_columns(columns).splitlines() == [
        "### nodes",
        "",
        "| column | r |",
        "| --- | --- |",
        "| `id` | r |",
        "| `label` | rcu |",
        "| `owner` | p |",
    ]
