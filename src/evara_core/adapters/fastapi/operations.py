"""Routes for whoever runs the service: health, metrics, who calls what goes away, the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from evara_core._optional import provided_by
from evara_core.adapters.fastapi.callers import Public, RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.health import Check, check_all, health_data
from evara_core.adapters.starlette.replies import Replies
from evara_core.api.catalogue import catalogue_json
from evara_core.api.usage import UsageReport

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Request, Response

__all__ = ["catalogue_router", "health_router", "metrics_router", "usage_router"]


class Health(BaseModel):
    """How the process, or each thing that it needs, is."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ok"]
    checks: dict[str, Any] | None = None


class Use(BaseModel):
    """How one caller uses what goes away."""

    model_config = ConfigDict(extra="forbid")

    version: str
    principal_id: str
    calls: int
    last_at: str


def health_router(
    replies: Replies,
    *,
    checks: Mapping[str, Check],
    stats: Mapping[str, Callable[[], Any]] | None = None,
    crashed: Mapping[str, str] | None = None,
    permission: str = "platform:operate",
) -> APIRouter:
    """Return `/health/live`, `/health/ready` and `/health/details`.

    Args:
        replies: Makes the answers.
        checks: What must answer for the process to be ready.
        stats: By name, dataclasses or mappings of numbers for `details`.
        crashed: Background tasks that do not run, with the kind of error: looked at each time.
        permission: That `details` needs.
    """
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get(
        "/live",
        dependencies=[Depends(Public("asked by who restarts processes"))],
        responses=answers_of(Health),
    )
    async def live(request: Request) -> Response:
        """Say that the process runs."""
        return replies.success(request, {"status": "ok"})

    @router.get(
        "/ready",
        dependencies=[Depends(Public("asked by load balancers"))],
        responses=answers_of(Health) | errors_of("SERVICE_UNAVAILABLE"),
    )
    async def ready(request: Request) -> Response:
        """Say whether all that is needed is there, and how long each took to answer."""
        results = await check_all(checks)
        failed = [name for name, result in results.items() if not result.is_ok]
        failed += list(crashed or {})
        if failed:
            return replies.unready(request, failed)
        data = health_data(results)
        data["checks"] |= {name: {"status": "ok"} for name in stats or {}}
        return replies.success(request, data)

    @router.get(
        "/details",
        dependencies=[Depends(RequirePermission(permission))],
        responses=answers_of(dict[str, Any]) | errors_of("UNAUTHENTICATED", "FORBIDDEN"),
    )
    async def details(request: Request) -> Response:
        """Show what the parts count: it is of all tenants, so for operators only."""
        told = {name: read() for name, read in (stats or {}).items()}
        return replies.success(request, {name: _shown(found) for name, found in told.items()})

    return router


def _shown(told: object) -> object:
    return asdict(told) if is_dataclass(told) and not isinstance(told, type) else told


def metrics_router(
    render: Callable[[], bytes], media_type: str, *, permission: str = "platform:operate"
) -> APIRouter:
    """Return `/metrics` for Prometheus, which sends a token: `authorization` in its settings.

    Args:
        render: `lambda: metrics_bytes(registry)` of `adapters.prometheus`.
        media_type: `METRICS_MEDIA_TYPE` of `adapters.prometheus`.
        permission: That the scraper needs.
    """
    router = APIRouter(tags=["operations"])

    @router.get(
        "/metrics",
        response_class=Response,
        dependencies=[Depends(RequirePermission(permission))],
        responses=errors_of("UNAUTHENTICATED", "FORBIDDEN", "SERVICE_UNAVAILABLE")
        | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Tell what is counted, for Prometheus."""
        return Response(render(), headers={"Content-Type": media_type})

    return router


def usage_router(
    usage: UsageReport, replies: Replies, *, permission: str = "platform:operate"
) -> APIRouter:
    """Return `/deprecations`: who still calls what goes away."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/deprecations",
        dependencies=[Depends(RequirePermission(permission))],
        responses=answers_of(list[Use]) | errors_of("UNAUTHENTICATED", "FORBIDDEN"),
    )
    async def deprecations(request: Request) -> Response:
        """List who still calls versions and routes that go away, the most calls first."""
        return replies.success(request, [asdict(each) for each in usage.uses()])

    return router


def catalogue_router(replies: Replies, *, documentation: str = "") -> APIRouter:
    """Return `/errors`: every code that an answer may have, for clients that are generated."""
    router = APIRouter(tags=["public"])
    body = catalogue_json(documentation=documentation)

    @router.get(
        "/errors",
        dependencies=[Depends(Public("says nothing of anybody"))],
        responses=answers_of(list[dict[str, Any]]),
    )
    async def errors(request: Request) -> Response:
        """List the codes of errors, with what each means and what to do."""
        return replies.success(request, body, headers={"Cache-Control": "public, max-age=3600"})

    return router
