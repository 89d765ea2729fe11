"""Routes of a node's readings: the newest, a range, columns for a chart, summaries, and CSV."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from evara_core._optional import provided_by
from evara_core.access.principal import Principal
from evara_core.adapters.csv import csv_head, csv_rows
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.lists import ListOf, list_parameters
from evara_core.adapters.fastapi.models import record_model
from evara_core.adapters.fastapi.resources import READ_ERRORS
from evara_core.adapters.fastapi.service import Service
from evara_core.adapters.shapes import detail_shape, reading_shape, series_shape, summary_shape
from evara_core.errors import InvalidParameterError, NotFoundError
from evara_core.query.spec import Field, FieldType, ListQuery
from evara_core.storage.buckets import Period
from evara_core.storage.readings import between
from evara_core.storage.reference import readings
from evara_core.storage.resources import Resource
from evara_core.storage.series import by_period

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Query, Request, Response
    from starlette.responses import StreamingResponse

__all__ = ["telemetry_router"]

_DAY: Final = timedelta(days=1)
_SPANS: Final = {Period.HOUR: 7 * _DAY, Period.DAY: 90 * _DAY}
_LONGEST: Final = {Period.HOUR: 400 * _DAY, Period.DAY: 10_000 * _DAY}
"""About as many pieces of time as `storage.series.MAX_BUCKETS`."""

_LONGEST_NAME: Final = 64
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_READS: Final = Depends(RequirePermission("telemetry:read"))

Reader = Annotated[Principal, _READS]
NodeId = Annotated[str, Path(description="Of a node.")]
Moment = Annotated[datetime | None, Query(description="ISO 8601, with an offset or Z.")]

_READING = record_model("Reading", readings.READINGS.fields, about="What a node sent at a moment.")
_NUMBERS: Final = {"type": "array", "items": {"type": ["number", "null"]}}
_SERIES = record_model(
    "Series",
    (
        Field(name="node_id", is_nullable=False),
        Field(name="start", type=FieldType.MOMENT, is_nullable=False),
        Field(name="end", type=FieldType.MOMENT, is_nullable=False),
        Field(
            name="times",
            type=FieldType.DOCUMENT,
            is_nullable=False,
            about="Unix seconds, oldest first.",
            schema={"type": "array", "items": {"type": "number"}},
        ),
        Field(
            name="values",
            type=FieldType.DOCUMENT,
            is_nullable=False,
            about="A column for each metric, as long as `times`. A bad value is null.",
            schema={"type": "object", "additionalProperties": _NUMBERS},
        ),
        Field(
            name="quality",
            type=FieldType.DOCUMENT,
            is_nullable=False,
            schema={
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
        ),
        Field(name="next_start", type=FieldType.MOMENT, about="Where the range was cut."),
    ),
    is_whole=True,
)


class MetricSummary(BaseModel):
    """What a metric was in an hour or a day. A piece of time without values is left out."""

    model_config = ConfigDict(extra="forbid")

    start_at: datetime
    end_at: datetime
    count: int
    minimum: float
    maximum: float
    mean: float


def telemetry_router(
    nodes: Resource,
    service: Service,
    *,
    series_default: int = 2_000,
    series_limit: int = 10_000,
    zone: str = "UTC",
) -> APIRouter:
    """Return the routes below `/nodes/{node_id}`.

    Args:
        nodes: Say whose readings the caller may see.
        service: What they work with.
        series_default: Points of a chart, where none are asked for.
        series_limit: The most points in one answer.
        zone: Whose calendar days are.
    """
    routes = _Telemetry(nodes, service)
    router = APIRouter(
        prefix="/nodes/{node_id}", tags=["telemetry"], responses=errors_of(*READ_ERRORS)
    )
    _add_readings(router, routes)
    _add_series(router, routes, series_default, series_limit)
    _add_summaries(router, routes, ZoneInfo(zone))
    return router


def _add_readings(router: APIRouter, routes: _Telemetry) -> None:
    service = routes.service

    @router.get("/telemetry/latest", responses=answers_of(_READING))
    async def latest(request: Request, principal: Reader, node_id: NodeId) -> Response:
        """Show the newest reading of a node; 404 if it has none."""
        await routes.node(node_id, principal)
        found = await service.read(readings.newest_readings(node_id, limit=1))
        if not found:
            raise NotFoundError("reading")
        return service.replies.success(request, reading_shape(found[0]))

    @router.get(
        "/telemetry",
        openapi_extra=list_parameters(readings.READINGS),
        responses=answers_of(list[_READING], is_page=True)  # type: ignore[valid-type]
        | errors_of(*READ_ERRORS, "INVALID_CURSOR", "CURSOR_MISMATCH"),
    )
    async def telemetry(
        request: Request,
        principal: Reader,
        query: Annotated[ListQuery, Depends(ListOf(readings.READINGS))],
        node_id: NodeId,
    ) -> Response:
        """List the readings of a node, newest first, in pages."""
        await routes.node(node_id, principal)
        page = await service.read(
            readings.readings_page(routes.source, node_id, query, service.codec)
        )
        shown = page.map(lambda reading: _only(reading_shape(reading), query.fields))
        return service.replies.success(request, shown.rows, page=shown)

    @router.get(
        "/telemetry.csv",
        response_class=Response,
        responses={
            200: {
                "content": {"text/csv": {"schema": {"type": "string"}}},
                "description": "All readings of the range, oldest first.",
            }
        },
    )
    async def export(
        principal: Reader, node_id: NodeId, start: Moment = None, end: Moment = None
    ) -> Response:
        """Write the readings of a node as CSV, as long as it takes: start <= time < end."""
        start, end = routes.span(start, end, _DAY)
        metrics = (await routes.node(node_id, principal))["metrics"]
        name = _UNSAFE.sub("_", node_id)[:_LONGEST_NAME]
        return StreamingResponse(
            routes.lines(node_id, metrics, start, end),
            media_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}.csv"',
                "Cache-Control": "private, no-store",
            },
        )


def _add_series(router: APIRouter, routes: _Telemetry, default: int, most: int) -> None:
    @router.get("/series", responses=answers_of(_SERIES))
    async def series(
        request: Request,
        principal: Reader,
        node_id: NodeId,
        start: Moment = None,
        end: Moment = None,
        metric: Annotated[list[str] | None, Query(max_length=20)] = None,
        limit: Annotated[int | None, Query(ge=1, le=10**9)] = None,
    ) -> Response:
        """Show readings of a node as columns, oldest first: start <= time < end."""
        shown = min(limit or default, most)
        start, end = routes.span(start, end, _DAY)
        known = (await routes.node(node_id, principal))["metrics"]
        for name in metric or ():
            _insist_on(name, known)
        found = await routes.service.read(between(node_id, start, end, limit=shown + 1))
        columns = series_shape(node_id, found, metric or known, start=start, end=end, limit=shown)
        return routes.service.replies.success(request, columns)


def _add_summaries(router: APIRouter, routes: _Telemetry, zone: ZoneInfo) -> None:
    @router.get(
        "/summaries",
        responses=answers_of(list[MetricSummary]),
    )
    async def summaries(
        request: Request,
        principal: Reader,
        node_id: NodeId,
        metric: Annotated[str, Query(description="One that is mapped, such as `level_percent`.")],
        by: Period = Period.HOUR,
        start: Moment = None,
        end: Moment = None,
    ) -> Response:
        """Show smallest, largest and mean of each hour or day: for charts of weeks and years."""
        start, end = routes.span(start, end, _SPANS[by], longest=_LONGEST[by])
        _insist_on(metric, (await routes.node(node_id, principal))["metrics"])
        dialect = routes.service.dialect
        found = await routes.service.read(
            by_period(node_id, metric, start, end, period=by, dialect=dialect, zone=zone)
        )
        return routes.service.replies.success(request, [summary_shape(each) for each in found])


class _Telemetry:
    """What the routes share."""

    def __init__(self, nodes: Resource, service: Service) -> None:
        self.service = service
        self.source = readings.reading_list()
        self._nodes = nodes

    async def node(self, node_id: str, principal: Principal) -> Mapping[str, Any]:
        return detail_shape(await self.service.read(self._nodes.find(node_id, principal)))

    def span(
        self,
        start: datetime | None,
        end: datetime | None,
        usual: timedelta,
        *,
        longest: timedelta | None = None,
    ) -> tuple[datetime, datetime]:
        try:
            end = _aware("end", end) or self.service.clock.now()
            start = _aware("start", start) or end - usual
        except OverflowError:
            raise InvalidParameterError("end", "is too early") from None
        if start > end:
            raise InvalidParameterError("start", "is later than end")
        if longest is not None and end - start > longest:
            raise InvalidParameterError("start", f"more than {longest.days} days before end")
        return start, end

    async def lines(
        self, node_id: str, metrics: list[str], start: datetime, end: datetime
    ) -> AsyncIterator[bytes]:
        yield csv_head(metrics)
        query, codec = readings.export_query(start, end), self.service.codec
        while True:
            page = await self.service.read(
                readings.readings_page(self.source, node_id, query, codec)
            )
            if page.rows:
                yield csv_rows(page.rows, metrics)
            if page.next is None:
                return
            query = readings.after(query, page.next)


def _only(shape: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: shape[name] for name in names}


def _insist_on(metric: str, known: list[str]) -> None:
    if metric not in known:
        problem = f"unknown name {metric[:_LONGEST_NAME]!r}"
        raise InvalidParameterError("metric", problem, tuple(known))


def _aware(parameter: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise InvalidParameterError(parameter, "needs an offset, or Z")
    return moment
