"""The whole policy on one page: roles by permissions, and roles by columns.

It is written out from what the policy came to, wildcards expanded, and kept in the
repository: a new permission that a wildcard would swallow shows in review.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.access.columns import ColumnPolicy, ColumnRule
    from evara_core.access.permissions import AccessPolicy

__all__ = [
    "column_marks",
    "permission_marks",
    "render_columns",
    "render_permissions",
    "render_text",
]

_LETTERS = (("r", "readable"), ("c", "creatable"), ("u", "updatable"), ("p", "presets"))


def permission_marks(policy: AccessPolicy) -> dict[str, dict[str, str]]:
    """Return by permission and role: `yes`, `some rows`, or nothing."""
    allowed = {role: policy.permissions_of(role) for role in policy.roles}
    conditional = {role: policy.conditional_permissions_of(role) for role in policy.roles}
    return {
        name: {
            role: "yes"
            if name in allowed[role]
            else "some rows"
            if name in conditional[role]
            else ""
            for role in policy.roles
        }
        for name in sorted(policy.registry.names)
    }


def column_marks(columns: ColumnPolicy) -> dict[str, dict[str, dict[str, str]]]:
    """Return by table, column and role: r read, c create, u update, p preset."""
    return {
        table: {
            column: {role: _letters(rules.by_role[role], column) for role in sorted(rules.by_role)}
            for column in sorted(rules.columns)
        }
        for table, rules in sorted(columns.tables.items())
    }


def render_permissions(policy: AccessPolicy) -> str:
    """Return a Markdown table: a line for each permission, a column for each role."""
    return _table("permission", permission_marks(policy), markdown=True)


def render_columns(columns: ColumnPolicy) -> str:
    """Return a Markdown table for each table: r read, c create, u update, p preset."""
    parts = (
        f"### {table}\n\n{_table('column', marks, markdown=True)}"
        for table, marks in column_marks(columns).items()
    )
    return "\n".join(parts)


def render_text(policy: AccessPolicy, columns: ColumnPolicy) -> str:
    """Return all of it as it reads in a terminal."""
    parts = [_table("permission", permission_marks(policy), markdown=False)]
    for table, marks in column_marks(columns).items():
        parts.append(_table(table, marks, markdown=False))
    return "\n".join(parts)


def _letters(rule: ColumnRule, column: str) -> str:
    return "".join(letter for letter, name in _LETTERS if column in getattr(rule, name))


def _table(first: str, marks: Mapping[str, Mapping[str, str]], *, markdown: bool) -> str:
    roles = list(next(iter(marks.values()), {}))
    head = [first, *roles]
    rows = [[name, *by_role.values()] for name, by_role in marks.items()]
    if markdown:
        lines = [head, ["---"] * len(head), *([f"`{row[0]}`", *row[1:]] for row in rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in (head, *rows)
    )
