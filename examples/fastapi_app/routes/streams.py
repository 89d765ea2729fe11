"""The live stream, and the place in it to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel

from evara_core.access.tenancy import topics_of
from evara_core.adapters.fastapi.callers import Caller, RequirePermission, current_caller
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.shapes import shape
from evara_core.adapters.starlette.streams import EventStreamResponse
from evara_core.realtime.wire import event_frame

if TYPE_CHECKING:
    from evara_core.adapters.starlette.replies import Replies
    from evara_core.realtime.ports import Delivery
    from fastapi_app.parts import Parts

__all__ = ["router"]

_LONGEST_POSITION = 100
_ERRORS = errors_of(
    "INVALID_PARAMETER", "UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED", "SERVICE_UNAVAILABLE"
)


class Position(BaseModel):
    """Where the stream stands."""

    position: str


def router(parts: Parts, replies: Replies) -> APIRouter:
    """Return `/stream` and `/stream/position`."""
    needs = [Depends(RequirePermission("stream:read"))]
    routes = APIRouter(tags=["stream"], dependencies=needs, responses=_ERRORS)

    @routes.get("/stream/position", responses=answers_of(Position))
    async def position(request: Request) -> Response:
        """Say where the stream stands. Take it before you read a snapshot."""
        return replies.success(request, {"position": parts.hub.position})

    @routes.get(
        "/stream",
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def stream(
        caller: Annotated[Caller, Depends(current_caller)],
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Tell what happens, as server-sent events, from `Last-Event-ID` on."""
        subscription = await parts.hub.subscribe(
            principal_id=caller.principal.user_id,
            topics=topics_of(caller.principal),
            after=last_event_id[:_LONGEST_POSITION] if last_event_id is not None else None,
            expires_at=caller.token.expires_at,
        )
        limits = parts.settings.stream
        return EventStreamResponse(
            subscription,
            encode=_encoded,
            heartbeat_s=limits.heartbeat_s,
            send_timeout_s=limits.send_timeout_s,
        )

    return routes


def _encoded(delivery: Delivery) -> bytes:
    return event_frame(shape(delivery))
