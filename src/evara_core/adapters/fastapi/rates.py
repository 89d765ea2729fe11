"""How often each caller may come: a dependency."""

from __future__ import annotations

from typing import Final

from evara_core._optional import provided_by
from evara_core.adapters.fastapi.callers import caller_of
from evara_core.adapters.starlette.once import take_turn
from evara_core.api.limits import RateLimits, RatePolicy
from evara_core.errors import UnauthenticatedError

with provided_by("fastapi", package="fastapi"):
    from fastapi import Request

__all__ = ["RateLimited"]

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class RateLimited:
    """A dependency that counts requests of each caller; answers say where it stands.

    Who is not known is counted by address, so that tokens cannot be tried without end. Put it
    on a router before the dependencies that know callers.
    """

    def __init__(self, limits: RateLimits, *, reads: RatePolicy, writes: RatePolicy) -> None:
        """Count in *limits*: GET and HEAD by *reads*, everything else by *writes*."""
        self._limits = limits
        self._reads = reads
        self._writes = writes

    async def __call__(self, request: Request) -> None:
        """Count this request.

        Raises:
            LimitExceededError: Its caller came too often.
        """
        policy = self._reads if request.method in _READS else self._writes
        await take_turn(request, await _key(request), limits=self._limits, policy=policy)


async def _key(request: Request) -> str:
    if "authorization" in request.headers:
        try:
            return f"user:{(await caller_of(request)).principal.user_id}"
        except UnauthenticatedError:
            pass
    return f"from:{request.client.host if request.client else ''}"
