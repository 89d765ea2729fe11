"""A route that goes away, to show how: it answers as ever, and says until when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.resources import READ_ERRORS
from evara_core.adapters.fastapi.retired import Retired
from evara_core.adapters.shapes import reading_shape
from evara_core.api.retirement import Retirement
from evara_core.storage.reference.readings import newest_readings

if TYPE_CHECKING:
    from evara_core.adapters.fastapi.service import Service
    from evara_core.storage.resources import Resource
    from fastapi_app.parts import Parts

__all__ = ["router"]

_READINGS = Retirement(
    name="GET /nodes/{node_id}/readings",
    deprecated_at=datetime(2026, 11, 1, tzinfo=UTC),
    sunset_at=datetime(2027, 12, 1, tzinfo=UTC),
    successor="/api/v1/nodes/{node_id}/telemetry",
)


def router(parts: Parts, service: Service, nodes: Resource) -> APIRouter:
    """Return `/nodes/{node_id}/readings`."""
    routes = APIRouter(tags=["telemetry"])

    @routes.get(
        "/nodes/{node_id}/readings",
        deprecated=True,
        dependencies=[Depends(Retired(_READINGS, usage=parts.usage, clock=parts.clock))],
        responses=answers_of(list[dict[str, Any]]) | errors_of(*READ_ERRORS),
    )
    async def readings(
        request: Request,
        principal: Annotated[Principal, Depends(RequirePermission("telemetry:read"))],
        node_id: str,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """Show the newest readings of a node: use `/nodes/{node_id}/telemetry`, which has pages."""
        await service.read(nodes.find(node_id, principal))
        found = await service.read(newest_readings(node_id, limit=limit))
        return service.replies.success(request, [reading_shape(reading) for reading in found])

    return routes
