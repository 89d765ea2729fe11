"""Who did what to which row, in a chain that shows when somebody has touched it.

Each entry carries the digest of the one before it, so that none can be changed, left out or
put in between without breaking every digest after it. With a key, whoever can write to the
table but has not the key cannot mend the chain. Entries that are cut off at the end show
only against a head that was noted elsewhere.

Pure: where entries are kept is the storage's business.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from evara_core.serialization import dump_json_sorted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from evara_core.access.permissions import Decision
    from evara_core.access.principal import Principal
    from evara_core.access.tenancy import Tenancy

__all__ = [
    "GENESIS",
    "AuditEntry",
    "AuditFact",
    "ChainFault",
    "ChainHead",
    "append",
    "audit_fact",
    "changed_fields",
    "find_break",
]

GENESIS: Final = "0" * 64
"""What the first entry has for the digest before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFact:
    """What happened."""

    at: datetime
    actor_id: str
    actor_role: str
    action: str
    """The permission that was used, such as `nodes:write`."""

    resource: str
    """The kind of row, such as `nodes`."""

    resource_id: str
    distributor_id: str | None = None
    """Whose row it was: entries are read within the scope like everything else."""

    community_id: str | None = None
    customer_id: str | None = None
    before: Mapping[str, object] = field(default_factory=dict)
    """The declared fields that changed, as they were."""

    after: Mapping[str, object] = field(default_factory=dict)
    allowed: bool = True
    reason: str = ""
    """Why: the reason code of the decision."""

    grant: str | None = None
    policy_version: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The end of a chain. Noted elsewhere, it shows later whether the end was cut off."""

    sequence: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A fact in its place in the chain."""

    sequence: int
    """Counted from 1 without a gap."""

    content: str
    """The fact as JSON, exactly the text that the digest is over: no database rounds it."""

    previous: str
    digest: str

    @property
    def head(self) -> ChainHead:
        """The end of the chain when this entry is the last one."""
        return ChainHead(sequence=self.sequence, digest=self.digest)


class ChainFault(StrEnum):
    """What is wrong with a chain."""

    GAP = "gap"
    """An entry is missing, or there are two in one place."""

    UNLINKED = "unlinked"
    """An entry does not follow the one before it: one was exchanged, or the order was."""

    ALTERED = "altered"
    """What an entry says is not what its digest is of, or the key is another one."""

    CUT_OFF = "cut off"
    """The chain ends before the head that was noted, or ends in another entry."""


def append(head: ChainHead, fact: AuditFact, *, key: bytes | None = None) -> AuditEntry:
    """Return *fact* as the entry that follows *head*."""
    content = dump_json_sorted(fact).decode()
    sequence = head.sequence + 1
    return AuditEntry(
        sequence=sequence,
        content=content,
        previous=head.digest,
        digest=_digest(sequence, head.digest, content, key),
    )


def find_break(
    entries: Iterable[AuditEntry],
    *,
    key: bytes | None = None,
    start: ChainHead | None = None,
    end: ChainHead | None = None,
) -> tuple[int, ChainFault] | None:
    """Return the sequence number and kind of the first fault, or None if the chain is whole.

    Entries come in the order of their numbers, from after *start* on (from the very first
    one without it). *end* is a head that was noted elsewhere, of the last entry or of one
    before it.
    """
    head = start or ChainHead()
    is_end_met = end is None or end == head
    for entry in entries:
        if entry.sequence != head.sequence + 1:
            return head.sequence + 1, ChainFault.GAP
        if entry.previous != head.digest:
            return entry.sequence, ChainFault.UNLINKED
        expected = _digest(entry.sequence, entry.previous, entry.content, key)
        if not hmac.compare_digest(entry.digest, expected):
            return entry.sequence, ChainFault.ALTERED
        head = entry.head
        is_end_met = is_end_met or head == end
    return None if is_end_met else (head.sequence + 1, ChainFault.CUT_OFF)


def changed_fields(
    before: Mapping[str, object], after: Mapping[str, object], declared: Iterable[str]
) -> tuple[dict[str, object], dict[str, object]]:
    """Return what changed among the *declared* fields: as it was, and as it is.

    A field that is not declared, such as a secret, never gets into the log.
    """
    changed = [
        name
        for name in sorted(declared)
        if (name in before) != (name in after) or before.get(name) != after.get(name)
    ]
    return (
        {name: before[name] for name in changed if name in before},
        {name: after[name] for name in changed if name in after},
    )


def audit_fact(
    principal: Principal,
    decision: Decision,
    *,
    at: datetime,
    resource: str,
    resource_id: str,
    tenancy: Tenancy | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    request_id: str = "",
) -> AuditFact:
    """Return what *principal* did, or was refused, to one row."""
    return AuditFact(
        at=at,
        actor_id=principal.user_id,
        actor_role=principal.role,
        action=decision.permission,
        resource=resource,
        resource_id=resource_id,
        distributor_id=None if tenancy is None else tenancy.distributor_id,
        community_id=None if tenancy is None else tenancy.community_id,
        customer_id=None if tenancy is None else tenancy.customer_id,
        before=before or {},
        after=after or {},
        allowed=decision.allowed,
        reason=decision.reason,
        grant=decision.grant,
        policy_version=decision.policy_version,
        request_id=request_id,
    )


def _digest(sequence: int, previous: str, content: str, key: bytes | None) -> str:
    message = f"{sequence}\n{previous}\n{content}".encode("utf-8", "surrogatepass")
    if key is None:
        return sha256(message).hexdigest()
    return hmac.digest(key, message, "sha256").hex()
