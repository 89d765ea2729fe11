"""Nodes, their newest readings, and the columns of a chart."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.lists import ListOf, list_parameters
from evara_core.errors import InvalidParameterError
from evara_core.query.spec import ListQuery
from evara_core.storage.readings import between
from fastapi_app import queries
from fastapi_app.lists import NODE_LIST, NODES
from fastapi_app.routes import TheParts, TheReplies
from fastapi_app.shapes import detail_shape, node_shape, reading_shape, series_shape

router = APIRouter(tags=["nodes"])

_SPAN = timedelta(days=1)
_LONGEST_NAME = 64

Reader = Annotated[Principal, Depends(RequirePermission("nodes:read"))]
TelemetryReader = Annotated[Principal, Depends(RequirePermission("telemetry:read"))]


@router.get("/nodes", openapi_extra=list_parameters(NODES))
async def list_nodes(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: Reader,
    query: Annotated[ListQuery, Depends(ListOf(NODES))],
) -> Response:
    """List the nodes that the caller may see."""
    query = query.within(queries.scope_in("nodes", principal))
    page = await parts.read(NODE_LIST.records(query, parts.codec))
    page = page.map(node_shape)
    return replies.success(request, page.rows, page=page)


@router.get("/nodes/{node_id}")
async def one_node(
    request: Request, parts: TheParts, replies: TheReplies, principal: Reader, node_id: str
) -> Response:
    """Show all that is known of a node."""
    found = await parts.read(queries.node(node_id, principal))
    return replies.success(request, detail_shape(found))


@router.get("/nodes/{node_id}/readings", tags=["telemetry"])
async def readings(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: TelemetryReader,
    node_id: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Show the newest readings of a node, newest first."""
    await parts.read(queries.node(node_id, principal))
    found = await parts.read(queries.newest_readings(node_id, limit=limit))
    return replies.success(request, [reading_shape(reading) for reading in found])


@router.get("/nodes/{node_id}/series", tags=["telemetry"])
async def series(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: TelemetryReader,
    node_id: str,
    start: datetime | None = None,
    end: datetime | None = None,
    metric: Annotated[list[str] | None, Query(max_length=20)] = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Show readings of a node as columns, oldest first: start <= time < end."""
    api = parts.settings.api
    limit = min(limit or api.series_default, api.series_limit)
    end = _aware("end", end) or parts.clock.now()
    start = _aware("start", start) or end - _SPAN
    if start > end:
        raise InvalidParameterError("start", "is later than end")
    known = detail_shape(await parts.read(queries.node(node_id, principal)))["metrics"]
    for name in metric or ():
        if name not in known:
            raise InvalidParameterError(
                "metric", f"unknown name {name[:_LONGEST_NAME]!r}", tuple(known)
            )
    found = await parts.read(between(node_id, start, end, limit=limit + 1))
    shape = series_shape(node_id, found, metric or known, start=start, end=end, limit=limit)
    return replies.success(request, shape)


def _aware(parameter: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise InvalidParameterError(parameter, "needs an offset, or Z")
    return moment
