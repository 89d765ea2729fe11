"""A router with all that browsers need for the live stream: snapshot, events, sockets, client.

    app.include_router(stream_router(LiveStream(hub=hub, guard=guard, …)), prefix="/api/v1")

It adds `/stream` (server-sent events), `/stream/socket` (WebSocket), `/stream/snapshot`,
`/stream/position` and `/stream/client.js`. The WebSocket asks for its token in the first
message, where FastAPI's dependencies do not reach: name it in `open_paths` of `install`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias

from evara_core._optional import provided_by
from evara_core.access.principal import Principal
from evara_core.access.tenancy import topics_of
from evara_core.adapters.fastapi.callers import (
    Caller,
    Guard,
    Public,
    RequirePermission,
    current_caller,
    current_principal,
)
from evara_core.adapters.starlette.replies import Replies
from evara_core.adapters.starlette.sockets import SocketEndpoint
from evara_core.adapters.starlette.streams import EventStreamResponse
from evara_core.clock import Clock, SystemClock
from evara_core.errors import InvalidParameterError, MissingExtraError, UnauthenticatedError
from evara_core.realtime.assets import client_module
from evara_core.realtime.commands import LONGEST_POSITION
from evara_core.realtime.encoding import Encoding, JsonEncoding, Shape, as_it_is
from evara_core.realtime.hub import Hub
from evara_core.realtime.listeners import Authenticate, Listener
from evara_core.realtime.opening import Origins
from evara_core.realtime.ports import Delivery
from evara_core.realtime.selection import Selection, SelectionLimits
from evara_core.realtime.session import SocketLimits
from evara_core.realtime.snapshots import snapshot
from evara_core.realtime.wire import Reconnect, event_frame

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Header, Query, Request, Response

__all__ = ["SOCKET_REASON", "LiveStream", "authenticate_with", "encodings_for", "stream_router"]

SOCKET_REASON: Final = "asks for its token in the first message"

ReadSnapshot: TypeAlias = Callable[[Principal], Awaitable[Any]]
"""Reads how things stand, as far as a principal may see it: past every cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStream:
    """What the routes are made of."""

    hub: Hub
    guard: Guard
    replies: Replies
    read_snapshot: ReadSnapshot
    shape: Shape = as_it_is
    """What clients see of a message, in every encoding."""

    permission: str = "stream:read"
    clock: Clock = field(default_factory=SystemClock)
    origins: Origins = field(default_factory=Origins)
    limits: SocketLimits = field(default_factory=SocketLimits)
    reconnect: Reconnect = field(default_factory=Reconnect)
    """The pause that clients are told to make when they are let go."""


def authenticate_with(guard: Guard, *, permission: str) -> Authenticate:
    """Return how a WebSocket finds out who came: as a request does, by token and user row."""

    async def authenticate(token: str | None, /) -> Listener:
        if token is None:
            reason = "token_missing"
            raise UnauthenticatedError(reason)
        caller = await guard.caller(f"Bearer {token}")
        guard.policy.require(caller.principal, permission)
        return Listener(
            principal_id=caller.principal.user_id,
            topics=topics_of(caller.principal),
            expires_at=caller.token.expires_at,
        )

    return authenticate


def encodings_for(shape: Shape) -> tuple[Encoding, ...]:
    """Return the encodings on offer: JSON, and MessagePack where its extra is installed."""
    try:
        from evara_core.realtime.msgpack import (  # noqa: PLC0415 - an extra
            MessagePackEncoding,
        )
    except MissingExtraError:
        return (JsonEncoding(shape),)
    return (JsonEncoding(shape), MessagePackEncoding(shape))


def stream_router(live: LiveStream) -> APIRouter:
    """Return the routes of *live*, to be included below whatever prefix."""
    router = APIRouter(tags=["stream"])
    needs = [Depends(RequirePermission(live.permission))]
    _add_events(router, live, needs)
    _add_places(router, live, needs)

    @router.get(
        "/stream/client.js",
        response_class=Response,
        dependencies=[Depends(Public("a script without secrets"))],
        responses={200: {"content": {"text/javascript": {"schema": {"type": "string"}}}}},
    )
    async def client() -> Response:
        """Return the ECMAScript module that follows the stream."""
        return Response(
            client_module(),
            media_type="text/javascript",
            headers={"Cache-Control": "public, max-age=3600"},
        )

    endpoint = SocketEndpoint(
        live.hub,
        authenticate=authenticate_with(live.guard, permission=live.permission),
        elapsed_s=live.clock.elapsed_s,
        encodings=encodings_for(live.shape),
        origins=live.origins,
        limits=live.limits,
        reconnect=live.reconnect,
    )
    router.add_websocket_route("/stream/socket", endpoint)  # type: ignore[arg-type] # an ASGI app
    return router


def _add_events(router: APIRouter, live: LiveStream, needs: list[Any]) -> None:
    def encode(delivery: Delivery) -> bytes:
        return event_frame(live.shape(delivery))

    @router.get(
        "/stream",
        response_class=Response,
        dependencies=needs,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def stream(
        caller: Annotated[Caller, Depends(current_caller)],
        kinds: Annotated[str | None, Query(max_length=1_000)] = None,
        topics: Annotated[str | None, Query(max_length=8_000)] = None,
        after: Annotated[str | None, Query(max_length=LONGEST_POSITION)] = None,
        last_event_id: Annotated[str | None, Header(max_length=LONGEST_POSITION)] = None,
    ) -> Response:
        """Tell what happens, as server-sent events.

        From `Last-Event-ID` on, or from the position in `after`. `kinds` and `topics`, each
        a list with commas, narrow it.
        """
        subscription = await live.hub.subscribe(
            principal_id=caller.principal.user_id,
            topics=topics_of(caller.principal),
            after=last_event_id or after,
            expires_at=caller.token.expires_at,
            selections=_selections(kinds, topics, live.limits.selection),
        )
        return EventStreamResponse(
            subscription,
            encode=encode,
            heartbeat_s=live.limits.heartbeat_s,
            send_timeout_s=live.limits.send_timeout_s,
            reconnect=live.reconnect,
        )


def _add_places(router: APIRouter, live: LiveStream, needs: list[Any]) -> None:
    @router.get("/stream/position", dependencies=needs)
    async def position(request: Request) -> Response:
        """Say where the stream stands. Take it before you read a snapshot."""
        return live.replies.success(request, {"position": live.hub.position})

    @router.get("/stream/snapshot", dependencies=needs)
    async def current(
        request: Request, principal: Annotated[Principal, Depends(current_principal)]
    ) -> Response:
        """Return how things stand, and the position in the stream to go on from."""
        found = await snapshot(live.hub, lambda: live.read_snapshot(principal))
        return live.replies.success(request, {"position": found.position, "data": found.data})


def _selections(
    kinds: str | None, topics: str | None, limits: SelectionLimits
) -> tuple[Selection, ...] | None:
    if kinds is None and topics is None:
        return None
    return (
        Selection(
            kinds=_listed("kinds", kinds or "", limits),
            topics=_listed("topics", topics or "", limits),
        ),
    )


def _listed(name: str, text: str, limits: SelectionLimits) -> frozenset[str]:
    found = frozenset(part for part in text.split(",") if part)
    if len(found) > limits.topics or any(len(part) > limits.text for part in found):
        problem = f"at most {limits.topics} names of {limits.text} characters"
        raise InvalidParameterError(name, problem)
    return found
