"""Who calls, and what the dashboard counts for that caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from evara_core.access.principal import Principal
from evara_core.access.tenancy import cache_key
from evara_core.adapters.fastapi.callers import Caller, RequirePermission, current_caller
from evara_core.caching.keys import CacheKey
from evara_core.serialization import dump_json
from evara_core.storage.dashboards import dashboard_stats
from fastapi_app import queries
from fastapi_app.routes import TheParts, TheReplies
from fastapi_app.shapes import stats_shape

router = APIRouter()


@router.get("/auth/me", tags=["auth"])
async def me(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    caller: Annotated[Caller, Depends(current_caller)],
) -> Response:
    """Say who the caller is, and what it may do."""
    who = caller.principal
    return replies.success(
        request,
        {
            "user_id": who.user_id,
            "name": await parts.read(queries.user_name(who.user_id)),
            "role": who.role,
            "distributor_id": who.distributor_id,
            "community_id": who.community_id,
            "customer_id": who.customer_id,
            "permissions": sorted(parts.policy.permissions_of(who.role)),
            "token_expires_at": caller.token.expires_at,
        },
    )


@router.get("/dashboard/stats", tags=["dashboard"])
async def stats(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: Annotated[Principal, Depends(RequirePermission("dashboard:read"))],
) -> Response:
    """Count what the caller may see. Callers of one scope share the answer for a moment."""

    async def load() -> bytes:
        found = await parts.read(dashboard_stats(queries.scope_in("counters", principal)))
        return dump_json(stats_shape(found, now=parts.clock.now()))

    key = CacheKey(region="dashboard", scope=cache_key(principal))
    cached = await parts.cache.get_or_load(key, load, ttl_s=parts.settings.api.stats_ttl_s)
    return replies.success(request, cached.value, is_cached=cached.is_hit)
