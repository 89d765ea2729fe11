"""What everybody may know: the kinds of devices. Caches may keep it for an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from evara_core.adapters.answers import Freshness
from evara_core.adapters.fastapi.callers import Public
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.telemetry.kinds import STANDARD_KINDS

if TYPE_CHECKING:
    from evara_core.adapters.starlette.replies import Replies

__all__ = ["router"]


class MetricType(BaseModel):
    """Something that devices of a kind measure."""

    name: str
    unit: str | None


class DeviceType(BaseModel):
    """A kind of node."""

    name: str
    metrics: list[MetricType]
    config: dict[str, str]


def router(replies: Replies) -> APIRouter:
    """Return `/public/device-types`."""
    routes = APIRouter(prefix="/public", tags=["public"])
    types = [
        {
            "name": kind.name,
            "metrics": [
                {"name": name, "unit": metric.unit} for name, metric in kind.metrics.items()
            ],
            "config": {key.name: key.meaning for key in kind.config},
        }
        for kind in STANDARD_KINDS.by_name.values()
    ]

    @routes.get(
        "/device-types",
        dependencies=[Depends(Public("the same for everybody"))],
        responses=answers_of(list[DeviceType])
        | {304: {"description": "It is still as you have it (`If-None-Match`)."}}
        | errors_of("INVALID_PARAMETER", "RATE_LIMITED"),
    )
    async def device_types(request: Request) -> Response:
        """List what nodes can be, and what each kind measures."""
        answer = replies.success(request, types, freshness=Freshness(is_private=False))
        answer.headers["Cache-Control"] = "public, max-age=3600"
        return answer

    return routes
