"""Routes that go away: a dependency that says so, and counts who still comes."""

from __future__ import annotations

from evara_core._optional import provided_by
from evara_core.adapters.fastapi.callers import caller_of
from evara_core.adapters.starlette.request_ids import ALSO_KEY
from evara_core.api.retirement import Retirement
from evara_core.api.usage import UsageReport
from evara_core.clock import Clock
from evara_core.errors import UnauthenticatedError

with provided_by("fastapi", package="fastapi"):
    from fastapi import Request

__all__ = ["Retired"]


class Retired:
    """A dependency: the answers of the route tell when it goes, and what comes instead.

    Mark the route `deprecated=True` as well, for OpenAPI.
    """

    def __init__(self, retirement: Retirement, *, usage: UsageReport, clock: Clock) -> None:
        self._retirement = retirement
        self._usage = usage
        self._clock = clock

    async def __call__(self, request: Request) -> None:
        """Tell, and count this call."""
        state = request.scope.setdefault("state", {})
        state.setdefault(ALSO_KEY, []).extend(self._retirement.headers())
        try:
            who = (await caller_of(request)).principal.user_id
        except UnauthenticatedError:
            return
        self._usage.record(self._retirement.name, who, now=self._clock.now())
