"""A database session for each request, of the rows of who calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from evara_core._optional import provided_by
from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import CallersOnly, Public, current_principal
from evara_core.adapters.fastapi.routes import authorize
from evara_core.errors import ConfigurationError
from evara_core.storage.scoped import AsyncCallerSession, CallerSessions, MakesAsyncSessions

with provided_by("fastapi", package="fastapi"):
    from fastapi import Depends, Request

__all__ = ["Scoped"]


class Scoped(CallersOnly):
    """A dependency: a session that sees and changes rows of the caller only.

    It is opened when the caller may call the route, and closed for good with the request.
    Commit in the route: afterwards the answer may be on its way, so what is not committed is
    rolled back. A public route has no caller: `install` refuses it.

    Args:
        source: A `storage.guard.engine.Guard`, or `storage.scoped.AsyncWalledSessions`.
        reads_only: Whether changes are refused.
    """

    def __init__(self, source: MakesAsyncSessions, *, reads_only: bool = False) -> None:
        self._source = source
        self._sessions = CallerSessions(reads_only=reads_only)

    async def __call__(
        self, request: Request, principal: Annotated[Principal, Depends(current_principal)]
    ) -> AsyncIterator[AsyncCallerSession]:
        """Yield the session.

        Raises:
            UnauthenticatedError: The caller is not known.
            DeniedError: It may not call this, or sees no rows, or all: see `NEEDS_ELEVATION`.
            ConfigurationError: The route is public.
        """
        dependants = await authorize(request)
        if any(isinstance(each.call, Public) for each in dependants):
            problem = "a public route asks for a session of its caller: let it require one"
            raise ConfigurationError(problem)
        async with self._sessions.awaited(self._source, principal) as session:
            yield session
