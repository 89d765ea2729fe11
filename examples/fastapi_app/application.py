"""The application: routes, and what every answer has in common."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.staticfiles import StaticFiles

from evara_core.access.probes import ProbeCounter
from evara_core.adapters.fastapi.alerts import alert_router
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.callers import Guard
from evara_core.adapters.fastapi.described import errors_of
from evara_core.adapters.fastapi.failures import failure_router
from evara_core.adapters.fastapi.notifications import notification_router
from evara_core.adapters.fastapi.openapi import describe
from evara_core.adapters.fastapi.operations import catalogue_router, metrics_router, usage_router
from evara_core.adapters.fastapi.rates import RateLimited
from evara_core.adapters.fastapi.resources import resource_router
from evara_core.adapters.fastapi.routes import declared_parameters_only
from evara_core.adapters.fastapi.rules import rule_router
from evara_core.adapters.fastapi.signins import signin_router
from evara_core.adapters.fastapi.streams import SOCKET_REASON
from evara_core.adapters.fastapi.telemetry import telemetry_router
from evara_core.adapters.prometheus import (
    METRICS_MEDIA_TYPE,
    HttpMetrics,
    HttpMetricsMiddleware,
    StatsCollector,
    UsageCollector,
    metrics_bytes,
)
from evara_core.adapters.shapes import detail_shape, node_shape
from evara_core.adapters.starlette.bodies import BodyLimitMiddleware
from evara_core.adapters.starlette.replies import Replies
from evara_core.adapters.starlette.security import SecurityHeadersMiddleware
from evara_core.adapters.starlette.versions import VersionMiddleware
from evara_core.api.limits import RatePolicy
from evara_core.monitor.channel_book import ChannelBook, standard_makers
from evara_core.storage.reference.nodes import NODE_DETAILS, node_resource
from evara_core.storage.reference.tenants import (
    community_resource,
    customer_resource,
    distributor_resource,
    user_resource,
)
from evara_core.storage.reference.trail import audit_resource, audit_shape
from fastapi_app.parts import running
from fastapi_app.routes import around, me, public, retired, streams
from fastapi_app.versions import VERSIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from evara_core.adapters.fastapi.service import Service
    from fastapi_app.parts import Parts

__all__ = ["create_app"]

_OPEN = {
    "/static": "the page's files",
    "/openapi.json": "describes the interface",
    "/api/stream/socket": SOCKET_REASON,
}
_REFUSALS = errors_of(
    "INVALID_PARAMETER", "UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED", "SERVICE_UNAVAILABLE"
)
_STATIC = Path(__file__).parent / "static"
_MINUTE_S = 60.0
_NODE = {"label": "Bakul OHT-01", "kind": "tank", "category": "OHT", "capacity_text": "2.00L L"}


def create_app(parts: Parts) -> FastAPI:
    """Return the application over *parts*. Its lifespan runs what works behind it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(parts):
            yield

    app = FastAPI(
        title="evara",
        version=parts.settings.api.version,
        description="Water sensors: nodes, readings, alerts, live. See docs/reference/http-api.md.",
        lifespan=lifespan,
        # The pages that FastAPI brings load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    replies = Replies(clock=parts.clock, version=parts.settings.api.version)
    metrics = CollectorRegistry()
    guard = Guard(
        verifier=parts.verifier,
        find_principal=parts.find_principal,
        policy=parts.policy,
        probes=ProbeCounter(clock=parts.clock),
    )
    app.include_router(_api(parts, parts.service(replies), guard))
    app.include_router(around.router(parts, replies))
    app.include_router(metrics_router(lambda: metrics_bytes(metrics), METRICS_MEDIA_TYPE))
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _watch(app, parts, metrics)
    app.add_middleware(
        BodyLimitMiddleware, replies=replies, most_bytes=parts.settings.api.max_body_bytes
    )
    app.add_middleware(VersionMiddleware, versions=VERSIONS, replies=replies, prefix="/api")
    install(app, replies=replies, ids=parts.ids, guard=guard, open_paths=_OPEN)
    app.add_middleware(SecurityHeadersMiddleware)
    describe(app, prefix="/api", version="1")
    return app


def _api(parts: Parts, service: Service, guard: Guard) -> APIRouter:
    """Return what is below `/api`: the version is taken out of the path before it gets here."""
    limits = parts.settings.api
    rates = RateLimited(
        parts.rates,
        reads=RatePolicy(name="reads", requests=limits.reads_per_minute, window_s=_MINUTE_S),
        writes=RatePolicy(name="writes", requests=limits.writes_per_minute, window_s=_MINUTE_S),
    )
    api = APIRouter(prefix="/api", dependencies=[Depends(rates), Depends(declared_parameters_only)])
    new_id = parts.ids.new
    nodes = node_resource(new_id=new_id)
    api.include_router(me.router(parts, service))
    api.include_router(
        telemetry_router(
            nodes,
            service,
            series_default=limits.series_default,
            series_limit=limits.series_limit,
            zone=parts.settings.zone,
        )
    )
    api.include_router(retired.router(parts, service, nodes))
    api.include_router(
        resource_router(
            nodes,
            service,
            show=node_shape,
            show_one=detail_shape,
            more=NODE_DETAILS,
            example=_NODE,
        )
    )
    users = user_resource(new_id=new_id)
    api.include_router(signin_router(users, service))
    for make in (distributor_resource, community_resource, customer_resource):
        api.include_router(resource_router(make(new_id=new_id), service))
    api.include_router(resource_router(users, service))
    api.include_router(resource_router(audit_resource(), service, show=audit_shape))
    api.include_router(alert_router(service, rule_names=parts.rule_names))
    api.include_router(rule_router(service, nodes))
    book = parts.notifications.book if parts.notifications else ChannelBook(standard_makers())
    api.include_router(
        notification_router(
            read=service.read,
            write=service.write,
            replies=service.replies,
            clock=service.clock,
            ids=service.ids,
            sealer=parts.sealer,
            book=book,
            act=service.act,
        )
    )
    api.include_router(streams.router(parts, service, guard, nodes), responses=_REFUSALS)
    backfill = parts.monitor.backfill if parts.monitor else None
    api.include_router(failure_router(service, backfill=backfill))
    api.include_router(usage_router(parts.usage, service.replies))
    api.include_router(catalogue_router(service.replies))
    api.include_router(public.router(service.replies))
    return api


def _watch(app: FastAPI, parts: Parts, metrics: CollectorRegistry) -> None:
    """Count requests, and tell what the parts count."""
    sources = {"hub": parts.hub.stats, "cache": lambda: parts.cache.stats}
    if parts.monitor is not None:
        sources["monitor"] = parts.monitor.status
    metrics.register(StatsCollector(sources))
    metrics.register(UsageCollector(parts.usage))
    app.add_middleware(HttpMetricsMiddleware, metrics=HttpMetrics(metrics))
