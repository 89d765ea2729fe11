"""The live stream, and the place in it to start from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response

from evara_core.access.tenancy import topics_of
from evara_core.adapters.fastapi.callers import Caller, RequirePermission, current_caller
from evara_core.adapters.starlette.streams import EventStreamResponse
from fastapi_app.routes import TheParts, TheReplies
from fastapi_app.shapes import frame

router = APIRouter(tags=["stream"], dependencies=[Depends(RequirePermission("stream:read"))])

_LONGEST_POSITION = 100


@router.get("/stream/position")
async def position(request: Request, parts: TheParts, replies: TheReplies) -> Response:
    """Say where the stream stands. Take it before you read a snapshot."""
    return replies.success(request, {"position": parts.hub.position})


@router.get(
    "/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream(
    parts: TheParts,
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
        encode=frame,
        heartbeat_s=limits.heartbeat_s,
        send_timeout_s=limits.send_timeout_s,
    )
