"""The audit log as clients read it, each within its scope. Nobody writes it by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from evara_core.access.tenancy import TableRule, TenancyPolicy
from evara_core.query.ast import SortKey
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec
from evara_core.serialization import load_json
from evara_core.storage.lists import ListSource
from evara_core.storage.resources import Resource, selected_as
from evara_core.storage.tables import audit_log

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUDIT", "audit_resource", "audit_shape"]

AUDIT = ListSpec(
    name="audit",
    fields=(
        Field(name="id", is_nullable=False, about="Numbered for each distributor by itself."),
        Field(
            name="at",
            type=FieldType.MOMENT,
            operators=ORDERING,
            sortable=True,
            is_nullable=False,
        ),
        Field(name="actor_id", operators=EQUALITY, is_nullable=False),
        Field(name="action", operators=EQUALITY, is_nullable=False, about="The permission used."),
        Field(name="resource", operators=EQUALITY, is_nullable=False),
        Field(name="resource_id", operators=EQUALITY, is_nullable=False),
        Field(name="is_allowed", type=FieldType.BOOLEAN, operators=EQUALITY, is_nullable=False),
        Field(name="distributor_id"),
        Field(name="community_id"),
        Field(name="customer_id"),
        Field(
            name="content",
            type=FieldType.DOCUMENT,
            is_nullable=False,
            about="All of the entry: what was, what is, and by what right.",
            schema={"type": "object"},
        ),
    ),
    default_sort=(SortKey("at", descending=True),),
)

_POLICY = TenancyPolicy(
    {
        "audit": TableRule(
            distributor_id="distributor_id",
            community_id="community_id",
            customer_id="customer_id",
        )
    }
)


def audit_resource() -> Resource:
    """Return the audit log.

    Neither the numbers of the chain nor its digests are shown: they count, and are made of, what
    others do. `evara audit verify` is for who runs the platform.
    """
    columns = {"id": audit_log.c.entry_id, **dict(audit_log.c.items())}
    public = {field.name: columns[field.name] for field in AUDIT.fields}
    return Resource(
        name="audit",
        what="audit entry",
        spec=AUDIT,
        source=ListSource(select(audit_log), columns),
        columns=columns,
        selected=selected_as(select(audit_log), public),
        policy=_POLICY,
    )


def audit_shape(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as clients see it."""
    shape = dict(record)
    if "content" in shape:
        shape["content"] = load_json(shape["content"])
    return shape
