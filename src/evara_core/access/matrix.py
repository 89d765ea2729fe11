"""The whole policy on one page: roles by permissions, and roles by columns.

It is written out from what the policy came to, wildcards expanded, and kept in the
repository: a new permission that a wildcard would swallow shows in review.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evara_core.access.columns import ColumnPolicy, ColumnRule
    from evara_core.access.permissions import AccessPolicy

__all__ = ["render_columns", "render_permissions"]

_LETTERS = (("r", "readable"), ("c", "creatable"), ("u", "updatable"), ("p", "presets"))


def render_permissions(policy: AccessPolicy) -> str:
    """Return a Markdown table: a line for each permission, a column for each role."""
    allowed = {role: policy.permissions_of(role) for role in policy.roles}
    conditional = {role: policy.conditional_permissions_of(role) for role in policy.roles}
    lines = []
    for name in sorted(policy.registry.names):
        marks = (
            "yes" if name in allowed[role] else "some rows" if name in conditional[role] else ""
            for role in policy.roles
        )
        lines.append((f"`{name}`", *marks))
    return _table(("permission", *policy.roles), lines)


def render_columns(columns: ColumnPolicy) -> str:
    """Return a Markdown table for each table: r read, c create, u update, p preset."""
    parts = []
    for table, rules in sorted(columns.tables.items()):
        roles = sorted(rules.by_role)
        lines = [
            (f"`{column}`", *(_letters(rules.by_role[role], column) for role in roles))
            for column in sorted(rules.columns)
        ]
        parts.append(f"### {table}\n\n{_table(('column', *roles), lines)}")
    return "\n".join(parts)


def _letters(rule: ColumnRule, column: str) -> str:
    return "".join(letter for letter, name in _LETTERS if column in getattr(rule, name))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
