"""Who changed what: kept in the audit log by the transaction that changes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evara_core.access.audit import audit_fact, changed_fields
from evara_core.access.tenancy import Tenancy
from evara_core.storage.trail import append_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.access.permissions import AccessPolicy, Decision
    from evara_core.access.principal import Principal
    from evara_core.storage.batch import Change
    from evara_core.storage.statements import Statements

__all__ = ["Act", "record_changes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Somebody does something, by some right, at some moment."""

    principal: Principal
    decision: Decision
    """The yes that it is done by, of `access.permissions`."""

    policy: AccessPolicy
    at: datetime
    request_id: str = ""
    dialect: str
    """Of the database: `engine.dialect.name`."""

    audit_key: bytes | None = field(default=None, repr=False)
    """Signs the chain of entries, if there is one."""


def record_changes(
    act: Act, resource: str, changes: Sequence[Change], *, declared: Sequence[str]
) -> Statements[None]:
    """Append *changes* to the audit log, in the transaction that makes them.

    Whoever else appends waits until it ends, so call it last.

    Args:
        act: Who, and by what right.
        resource: The kind of record, such as `nodes`.
        changes: What became of which record.
        declared: The members that the log may show. All others stay out of it.
    """
    facts = []
    for change in changes:
        before, after = changed_fields(change.before or {}, change.after or {}, declared)
        facts.append(
            audit_fact(
                act.principal,
                act.decision,
                at=act.at,
                resource=resource,
                resource_id=str(change.key),
                tenancy=_tenancy(change.after or change.before or {}),
                before=before,
                after=after,
                request_id=act.request_id,
            )
        )
    yield from append_facts(facts, dialect=act.dialect, key=act.audit_key)


def _tenancy(record: Mapping[str, Any]) -> Tenancy | None:
    """Return whose record it is; None: the platform's."""
    ids = {name: record.get(name) for name in ("distributor_id", "community_id", "customer_id")}
    distributor_id = ids.pop("distributor_id")
    return None if distributor_id is None else Tenancy(distributor_id=distributor_id, **ids)
