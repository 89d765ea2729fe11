"""Who calls, and whether it may: dependencies for routes.

Order of checks: token → user row → permission. The tenancy scope is applied by the queries
that the route makes for the principal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from evara_core._optional import provided_by
from evara_core.access.authentication import Caller, UserRecord, identify
from evara_core.access.permissions import AccessPolicy, Decision
from evara_core.access.principal import Principal
from evara_core.access.probes import ProbeCounter
from evara_core.access.tokens import TokenVerifier, VerifiedToken, bearer_token
from evara_core.access.verified import VerifiedTokenCache
from evara_core.adapters.starlette.request_ids import asked_by
from evara_core.errors import ConfigurationError

with provided_by("fastapi", package="fastapi"):
    from fastapi import Depends, Request
    from fastapi.security import HTTPBearer

__all__ = [
    "Caller",
    "CallersOnly",
    "FindPrincipal",
    "Guard",
    "Public",
    "RequirePermission",
    "caller_of",
    "count_refusal",
    "current_caller",
    "current_principal",
    "decision_of",
    "guard_of",
]

FindPrincipal: TypeAlias = Callable[[VerifiedToken], Awaitable[UserRecord | Principal | None]]
"""Return the user that a token names, as its row says now; None: there is none.

With a `UserRecord` (`storage.signins.user_record`, `storage.user_cache.CachedUsers`) it also
counts whether the user is active and the sign-in was ended. A `Principal` is taken for active.
"""

_STATE: Final = "evara_guard"
_CALLER: Final = "evara_caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What `install` was given to decide with."""

    verifier: TokenVerifier | VerifiedTokenCache
    """The latter saves the time of the signature, a tenth of a small request."""

    find_principal: FindPrincipal
    policy: AccessPolicy
    probes: ProbeCounter | None = None
    """Counts noes by principal, in the log."""

    async def caller(self, authorization: str | None) -> Caller:
        """Return who calls.

        Raises:
            UnauthenticatedError: No token, a bad one, or one of nobody.
        """
        token = self.verifier.verify(bearer_token(authorization))
        found = await self.find_principal(token)
        if isinstance(found, Principal):
            return Caller(principal=found, token=token)
        return identify(token, found)


def keep_guard(app: Any, guard: Guard) -> None:  # noqa: ANN401 - a FastAPI, or a router of one
    """Let the dependencies of *app* find *guard*."""
    setattr(app.state, _STATE, guard)


def guard_of(request: Request) -> Guard:
    """Return what the application of *request* decides with.

    Raises:
        ConfigurationError: `install` was not called.
    """
    guard = getattr(request.app.state, _STATE, None)
    if not isinstance(guard, Guard):
        problem = "evara_core.adapters.fastapi.install was not called for this application"
        raise ConfigurationError(problem)
    return guard


def count_refusal(request: Request, error: Exception) -> None:
    """Count *error* against who calls, if the guard counts and the caller is known."""
    probes = guard_of(request).probes
    caller = request.scope.get("state", {}).get(_CALLER)
    if probes is not None and isinstance(caller, Caller):
        asked = asked_by(request)
        probes.refused(caller.principal, error, request_id=asked.request_id, path=asked.path)


async def caller_of(request: Request) -> Caller:
    """Return who calls. Looked up once for each request.

    Raises:
        UnauthenticatedError: No token, a bad one, or one of nobody.
    """
    found = request.scope.setdefault("state", {}).get(_CALLER)
    if isinstance(found, Caller):
        return found
    caller = await guard_of(request).caller(request.headers.get("Authorization"))
    request.scope["state"][_CALLER] = caller
    return caller


# It describes the header in OpenAPI and checks nothing: `Guard.caller` does.
_DESCRIBED = HTTPBearer(auto_error=False, description="A token, as `Authorization: Bearer …`.")


async def current_caller(request: Request, _: Annotated[object, Depends(_DESCRIBED)]) -> Caller:
    """Return who calls, for routes that also need to know of the token.

    Raises:
        UnauthenticatedError: No token, a bad one, or one of nobody.
    """
    return await caller_of(request)


async def current_principal(caller: Annotated[Caller, Depends(current_caller)]) -> Principal:
    """Return who calls.

    Raises:
        UnauthenticatedError: No token, a bad one, or one of nobody.
    """
    return caller.principal


class RequirePermission:
    """A dependency: the caller, if it may do this.

    The name is checked against the policy when `install` looks at the routes.
    """

    def __init__(self, permission: str) -> None:
        self.permission = permission

    def __repr__(self) -> str:
        return f"RequirePermission({self.permission!r})"

    async def __call__(
        self, request: Request, principal: Annotated[Principal, Depends(current_principal)]
    ) -> Principal:
        """Return the caller.

        Raises:
            UnauthenticatedError: It is not known.
            DeniedError: It may not do this.
        """
        guard_of(request).policy.require(principal, self.permission)
        return principal

    async def check(self, request: Request) -> None:
        """Let the caller of *request* pass, or raise as a call does."""
        caller = await caller_of(request)
        guard_of(request).policy.require(caller.principal, self.permission)


def decision_of(request: Request, principal: Principal, permission: str) -> Decision:
    """Return why *principal* may do this: for the audit log.

    Raises:
        DeniedError: It may not.
    """
    return guard_of(request).policy.require(principal, permission)


class Public:
    """A dependency that marks a route as open to everybody, and says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Public({self.reason!r})"

    def __call__(self) -> None:
        """Let everybody pass."""


class CallersOnly:
    """Of dependencies that work for the caller: `install` refuses them on a public route."""
