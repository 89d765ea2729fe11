"""From a token to a caller: the user row is asked each time.

A token says who signed in. Whether that user is still there and active, has not been signed
out, and what role and tenant it has is in the row; so a change there takes effect with the
next request, in every process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from evara_core.errors import UnauthenticatedError

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.access.principal import Principal
    from evara_core.access.tokens import VerifiedToken

__all__ = ["Caller", "UserDirectory", "UserFault", "UserRecord", "identify"]


class UserFault(StrEnum):
    """Why a good token opens nothing. For the log."""

    UNKNOWN = "user_unknown"
    INACTIVE = "user_inactive"
    SIGNED_OUT = "session_revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """What the user row says."""

    principal: Principal
    is_active: bool = True
    signed_out_at: datetime | None = None
    """Tokens that were issued before this moment are not good any more. Aware."""

    revoked_sessions: frozenset[str] = field(default=frozenset())
    """Sessions that were ended one by one."""


class UserDirectory(Protocol):
    """Where user rows are. Reads without a scope: whose row it is, is the question."""

    async def find(self, user_id: str) -> UserRecord | None:
        """Return the row of that user as it is now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and by what token."""

    principal: Principal
    token: VerifiedToken


def identify(token: VerifiedToken, user: UserRecord | None) -> Caller:
    """Return the caller, given what the *user* row says now.

    Raises:
        UnauthenticatedError: There is no such row, it is another user's, it is not active, or
            the session was ended; `reason` is a `UserFault`.
    """
    if user is None or user.principal.user_id != token.subject:
        raise UnauthenticatedError(UserFault.UNKNOWN)
    if not user.is_active:
        raise UnauthenticatedError(UserFault.INACTIVE)
    # A token of the same second as the sign-out may be of before it: `iat` has no finer unit.
    if user.signed_out_at is not None and token.issued_at <= user.signed_out_at:
        raise UnauthenticatedError(UserFault.SIGNED_OUT)
    if token.session_id is not None and token.session_id in user.revoked_sessions:
        raise UnauthenticatedError(UserFault.SIGNED_OUT)
    return Caller(principal=user.principal, token=token)
