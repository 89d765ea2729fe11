"""The audit log: entries of a chain, kept one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, or_, select, text

from evara_core.access.audit import AuditEntry, ChainHead, append
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.statements import Query
from evara_core.storage.tables import audit_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.access.audit import AuditFact
    from evara_core.query.ast import Condition
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = ["AUDIT_COLUMNS", "append_facts", "entries", "head", "prune_audit", "start"]

AUDIT_COLUMNS: Columns = dict(audit_log.c.items())
"""The names that a scope and a filter may speak of."""

_LOCK = 0x65766172615F6175
"""The advisory lock of whoever appends: `evara_au` in ASCII."""


def append_facts(
    facts: Sequence[AuditFact], *, dialect: str, key: bytes | None = None
) -> Statements[ChainHead]:
    """Append *facts* to the chain, in order; end with its new head.

    Who appends waits for whoever else does, until that transaction ends: call it last.
    """
    if dialect == "postgresql":
        yield Query(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    last = yield from head()
    numbers = yield from _numbers({fact.distributor_id for fact in facts})
    rows = []
    for fact in facts:
        entry = append(last, fact, key=key)
        last = entry.head
        numbers[fact.distributor_id] += 1
        rows.append(_row(entry, fact, number=numbers[fact.distributor_id]))
    if rows:
        yield Query(insert(audit_log), rows)
    return last


def _numbers(owners: set[str | None]) -> Statements[dict[str | None, int]]:
    """End with the last number of each distributor, and of the platform."""
    columns = audit_log.c
    found = {}
    for owner in sorted(owners, key=str):
        answer = yield Query(
            select(columns.number)
            .where(columns.distributor_id == owner)
            .order_by(columns.number.desc())
            .limit(1)
        )
        found[owner] = answer.rows[0].number if answer.rows else 0
    return found


def head() -> Statements[ChainHead]:
    """End with the head of the chain. Note it elsewhere: a chain that is cut off shows it."""
    columns = audit_log.c
    answer = yield Query(
        select(columns.sequence, columns.digest).order_by(columns.sequence.desc()).limit(1)
    )
    for row in answer.rows:
        return ChainHead(sequence=row.sequence, digest=row.digest)
    return ChainHead()


def entries(
    *, after: int = 0, scope: Condition | None = None, limit: int = 1000
) -> Statements[list[AuditEntry]]:
    """End with entries after the number *after*, in order, for `access.audit.find_break`.

    With a *scope* the numbers have gaps: then it is a list to be read, and no chain.
    """
    columns = audit_log.c
    statement = select(columns.sequence, columns.content, columns.previous, columns.digest).where(
        columns.sequence > after
    )
    if scope is not None:
        statement = statement.where(compile_criteria(scope, AUDIT_COLUMNS))
    answer = yield Query(statement.order_by(columns.sequence).limit(limit))
    return [
        AuditEntry(
            sequence=row.sequence, content=row.content, previous=row.previous, digest=row.digest
        )
        for row in answer.rows
    ]


def start() -> Statements[ChainHead]:
    """End with the head that the oldest entry follows: `start=` of `access.audit.find_break`.

    It is that of an empty chain, until entries were pruned.
    """
    columns = audit_log.c
    answer = yield Query(
        select(columns.sequence, columns.previous).order_by(columns.sequence).limit(1)
    )
    for row in answer.rows:
        return ChainHead(sequence=row.sequence - 1, digest=row.previous)
    return ChainHead()


def prune_audit(before: datetime, *, limit: int = 10_000) -> Statements[int]:
    """Delete the oldest entries that are all older than *before*; end with their number.

    At most *limit* at once, and never the newest entry: the next one follows it. Note `start`
    elsewhere first, where somebody must be able to prove later that only old entries went.
    """
    columns = audit_log.c
    newest = select(func.max(columns.sequence)).scalar_subquery()
    first_kept = (
        select(func.min(columns.sequence)).where(
            or_(columns.at >= before, columns.sequence == newest)
        )
    ).scalar_subquery()
    oldest = (
        select(columns.sequence)
        .where(columns.sequence < first_kept)
        .order_by(columns.sequence)
        .limit(limit)
    )
    answer = yield Query(audit_log.delete().where(columns.sequence.in_(oldest)))
    return answer.rowcount


def _row(entry: AuditEntry, fact: AuditFact, *, number: int) -> dict[str, object]:
    return {
        "sequence": entry.sequence,
        # Of one length, so that the order of texts is that of numbers.
        "entry_id": f"{fact.distributor_id or ''}.{number:012}",
        "number": number,
        "content": entry.content,
        "previous": entry.previous,
        "digest": entry.digest,
        "at": fact.at,
        "actor_id": fact.actor_id,
        "action": fact.action,
        "resource": fact.resource,
        "resource_id": fact.resource_id,
        "is_allowed": fact.allowed,
        "distributor_id": fact.distributor_id,
        "community_id": fact.community_id,
        "customer_id": fact.customer_id,
    }
