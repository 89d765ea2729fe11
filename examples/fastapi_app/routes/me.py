"""Who calls, and what the dashboard counts for that caller."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from evara_core.access.principal import Principal
from evara_core.access.tenancy import cache_key
from evara_core.adapters.fastapi.callers import Caller, RequirePermission, current_caller
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.shapes import caller_shape, stats_shape
from evara_core.adapters.starlette.request_ids import version_of
from evara_core.caching.keys import CacheKey
from evara_core.serialization import dump_json, load_json
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.reference.tenants import user_name
from evara_core.storage.resources import scope_in
from fastapi_app.versions import VERSIONS

if TYPE_CHECKING:
    from evara_core.adapters.fastapi.service import Service
    from fastapi_app.parts import Parts

__all__ = ["router"]

_ERRORS = errors_of(
    "INVALID_PARAMETER", "UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED", "SERVICE_UNAVAILABLE"
)


class Me(BaseModel):
    """Who calls, and what it may do."""

    user_id: str
    name: str
    role: str
    distributor_id: str | None
    community_id: str | None
    customer_id: str | None
    scope: str
    permissions: list[str]
    token_issued_at: datetime
    token_expires_at: datetime


class Stats(BaseModel):
    """What the caller may see, counted: as version 1 writes it."""

    total_nodes: int
    online_nodes: int
    offline_nodes: int
    alert_nodes: int
    maintenance_nodes: int
    provisioning_nodes: int
    active_alerts: int
    average_health_score: float | None
    last_updated: datetime


class StatsByStatus(BaseModel):
    """The same as version 2 writes it."""

    total_nodes: int
    nodes_by_status: dict[str, int]
    active_alerts: int
    active_alerts_by_severity: dict[str, int]
    average_health_score: float | None
    worst_health_score: int | None
    last_updated: datetime


def router(parts: Parts, service: Service) -> APIRouter:
    """Return `/auth/me` and `/dashboard/stats`."""
    routes = APIRouter(responses=_ERRORS)

    @routes.get("/auth/me", tags=["auth"], responses=answers_of(Me))
    async def me(request: Request, caller: Annotated[Caller, Depends(current_caller)]) -> Response:
        """Say who the caller is by its token, and what it may do."""
        name = await service.read(user_name(caller.principal.user_id))
        return service.replies.success(request, caller_shape(caller, parts.policy, name=name))

    @routes.get("/dashboard/stats", tags=["dashboard"], responses=answers_of(Stats | StatsByStatus))
    async def stats(
        request: Request,
        principal: Annotated[Principal, Depends(RequirePermission("dashboard:read"))],
    ) -> Response:
        """Count what the caller may see. Callers of one scope share the answer for a moment."""

        async def load() -> bytes:
            found = await service.read(dashboard_stats(scope_in("counters", principal)))
            return dump_json(stats_shape(found, now=parts.clock.now()))

        key = CacheKey(region="dashboard", scope=cache_key(principal))
        cached = await parts.cache.get_or_load(key, load, ttl_s=parts.settings.api.stats_ttl_s)
        version = VERSIONS.resolve(version_of(request))
        shown = VERSIONS.downgrade(version, "stats", load_json(cached.value))
        return service.replies.success(request, shown, is_cached=cached.is_hit)

    return routes
