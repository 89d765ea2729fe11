"""Routes that end sign-ins before their tokens end: one's own, and all of a user's.

The user row and the sign-in are read with each request (`storage.signins.user_record`), so it
counts from the next request on, in every process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from evara_core._optional import provided_by
from evara_core.access.audit import AuditFact
from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import Caller, RequirePermission, current_caller
from evara_core.adapters.fastapi.described import errors_of
from evara_core.adapters.fastapi.resources import READ_ERRORS
from evara_core.adapters.fastapi.service import Service
from evara_core.adapters.starlette.request_ids import request_id_of
from evara_core.errors import InvalidInputError
from evara_core.storage.batch import Change
from evara_core.storage.recording import Act, record_changes
from evara_core.storage.resources import Resource
from evara_core.storage.signins import end_session, sign_out
from evara_core.storage.statements import Statements
from evara_core.storage.trail import append_facts

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Request, Response

__all__ = ["signin_router"]

_WRITER: Final = "users:write"


async def _nothing(_: str) -> None:
    pass


def signin_router(
    users: Resource, service: Service, *, changed: Callable[[str], Awaitable[Any]] = _nothing
) -> APIRouter:
    """Return `/auth/sign-out` and `/users/{user_id}/sign-out`.

    Args:
        users: Say whom the caller may sign out.
        service: What they work with.
        changed: Told of the user whose sign-ins ended: `storage.user_cache.CachedUsers.changed`.
    """
    router = APIRouter(responses=errors_of(*READ_ERRORS))

    @router.post("/auth/sign-out", tags=["auth"], status_code=204, response_class=Response)
    async def end_own(
        request: Request, caller: Annotated[Caller, Depends(current_caller)]
    ) -> Response:
        """End the sign-in that the token is of. All of its tokens are refused from now on."""
        await service.write(_ended(caller, request_id_of(request), service))
        await changed(caller.principal.user_id)
        return service.replies.empty(request)

    @router.post(
        "/users/{user_id}/sign-out", tags=["users"], status_code=204, response_class=Response
    )
    async def end_all(
        request: Request,
        principal: Annotated[Principal, Depends(RequirePermission(_WRITER))],
        user_id: Annotated[str, Path(max_length=200)],
    ) -> Response:
        """End all sign-ins of a user. Tokens that were issued until now are refused."""
        await service.write(_signed_out(users, user_id, service.act(request, principal, _WRITER)))
        await changed(user_id)
        return service.replies.empty(request)

    return router


def _ended(caller: Caller, request_id: str, service: Service) -> Statements[None]:
    who, session_id, at = caller.principal, caller.token.session_id, service.clock.now()
    if session_id is None:
        raise InvalidInputError("the token names no session: it ends when it expires")
    if not (yield from end_session(who.user_id, session_id, at=at)):
        return
    fact = AuditFact(
        at=at,
        actor_id=who.user_id,
        actor_role=who.role,
        action="auth:sign_out",
        resource="users",
        resource_id=who.user_id,
        distributor_id=who.distributor_id,
        community_id=who.community_id,
        customer_id=who.customer_id,
        after={"ended_session": session_id},
        reason="own_session",
        policy_version=service.policy.version,
        request_id=request_id,
    )
    yield from append_facts([fact], dialect=service.dialect, key=service.audit_key)


def _signed_out(users: Resource, user_id: str, act: Act) -> Statements[None]:
    found = yield from users.find(user_id, act.principal)
    yield from sign_out(user_id, at=act.at)
    change = Change(key=user_id, before=found, after={**found, "signed_out_at": act.at})
    yield from record_changes(act, users.name, [change], declared=("signed_out_at",))
