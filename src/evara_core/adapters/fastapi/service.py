"""What the ready-made routes of this package work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from evara_core._optional import provided_by
from evara_core.access.permissions import AccessPolicy
from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import decision_of
from evara_core.adapters.starlette.replies import Replies
from evara_core.adapters.starlette.request_ids import request_id_of
from evara_core.api.idempotency import IdempotencyStore
from evara_core.clock import Clock
from evara_core.ids import IdSource
from evara_core.query.cursor import CursorCodec
from evara_core.storage.recording import Act
from evara_core.storage.statements import Statements

with provided_by("fastapi", package="fastapi"):
    from fastapi import Request

__all__ = ["RunFlow", "Service"]

RunFlow: TypeAlias = Callable[[Statements[Any]], Awaitable[Any]]
"""Run a storage flow in a transaction of its own: see `storage.units`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The collaborators of routes."""

    read: RunFlow
    """In a transaction that only reads."""

    write: RunFlow
    dialect: str
    """Of the database: `engine.dialect.name`."""

    replies: Replies
    codec: CursorCodec
    clock: Clock
    ids: IdSource
    policy: AccessPolicy
    repeats: IdempotencyStore
    """Remembers requests with an `Idempotency-Key`."""

    audit_key: bytes | None = field(default=None, repr=False)
    """Signs the chain of the audit log, if there is one."""

    def act(self, request: Request, principal: Principal, permission: str) -> Act:
        """Return what *principal* does by this request, for the audit log.

        Raises:
            DeniedError: It may not.
        """
        return Act(
            principal=principal,
            decision=decision_of(request, principal, permission),
            policy=self.policy,
            at=self.clock.now(),
            request_id=request_id_of(request),
            dialect=self.dialect,
            audit_key=self.audit_key,
        )
