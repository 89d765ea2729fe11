"""WebSockets: a subscription of the hub, and what the client says. Performs what others decide.

`realtime.opening` and `realtime.session` decide, the hub holds what waits, and this module
sends and receives. It speaks ASGI itself, so that it mounts anywhere.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import anyio

from evara_core._optional import provided_by
from evara_core.adapters.ready import ReadyFrames
from evara_core.errors import (
    ClosedError,
    DeniedError,
    EvaraError,
    LimitExceededError,
    UnauthenticatedError,
    UpstreamError,
)
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.encoding import JsonEncoding
from evara_core.realtime.opening import Accepted, Opening, Origins, Refused, open_socket
from evara_core.realtime.session import (
    Allowance,
    End,
    Reauthenticate,
    Select,
    SocketLimits,
    SocketSession,
    Step,
)
from evara_core.realtime.subscription import Bye
from evara_core.realtime.wire import Reconnect

with provided_by("fastapi", package="starlette"):
    from starlette.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Receive, Scope, Send

    from evara_core.realtime.commands import Hello
    from evara_core.realtime.encoding import Encoding
    from evara_core.realtime.hub import Hub
    from evara_core.realtime.listeners import Authenticate, Listener
    from evara_core.realtime.subscription import Subscription

__all__ = ["SERVER_OPTIONS", "SocketEndpoint"]

_LOG = logging.getLogger(__name__)

SERVER_OPTIONS: Final[dict[str, Any]] = {
    # Compressing small updates costs more than all else together, and no frame can be shared.
    "ws_per_message_deflate": False,
    "ws_max_size": SocketLimits().message_bytes,
    "ws": "websockets-sansio",
    # Ours carry the position, and a client that does not answer is let go with a code.
    "ws_ping_interval": None,
}
"""What to give to `uvicorn.Config` for streams."""


class SocketEndpoint:
    """An ASGI application that serves the hub over WebSockets.

    Args:
        hub: Whose messages.
        authenticate: Finds out who came. It is given None when there is no token.
        elapsed_s: A clock, such as `Clock.elapsed_s`.
        encodings: Those on offer, the default one first.
        origins: From whose pages browsers may connect.
        limits: The bounds.
        reconnect: The pause that clients are told to make when they are let go.
        chance: For the pause of each.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        authenticate: Authenticate,
        elapsed_s: Callable[[], float],
        encodings: Sequence[Encoding] | None = None,
        origins: Origins = Origins(),
        limits: SocketLimits = SocketLimits(),
        reconnect: Reconnect = Reconnect(),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._authenticate = authenticate
        self._elapsed_s = elapsed_s
        self._encodings = tuple(encodings or (JsonEncoding(),))
        self._allowances: WeakValueDictionary[str, Allowance] = WeakValueDictionary()
        self._ready = {each.subprotocol: ReadyFrames(each) for each in self._encodings}
        self._origins = origins
        self._limits = limits
        self._reconnect = reconnect
        self._chance = chance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket."""
        await receive()
        answer = open_socket(_opening(scope), encodings=self._encodings, origins=self._origins)
        if isinstance(answer, Refused):
            _LOG.info("a WebSocket is refused: %s", answer.reason)
            await _refuse(scope, send, answer.status)
            return
        link = _Link(
            receive,
            send,
            session=SocketSession(answer.encoding, limits=self._limits, now_s=self._elapsed_s()),
            ready=self._ready[answer.encoding.subprotocol],
            is_text=answer.encoding.is_text,
            timeout_s=self._limits.send_timeout_s,
            retry_ms=self._reconnect.draw_ms(self._chance),
        )
        try:
            with anyio.fail_after(self._limits.send_timeout_s):
                await send({"type": "websocket.accept", "subprotocol": answer.subprotocol})
            await self._serve(link, answer)
        except (TimeoutError, ClosedError, OSError, _GoneError) as error:
            # The client resumes where it was. Nothing can be said to it any more.
            _LOG.info("a WebSocket ends: %r", error)

    # --- the beginning ----------------------------------------------------------------

    async def _serve(self, link: _Link, opened: Accepted) -> None:
        frame = None
        with anyio.move_on_after(self._limits.hello_within_s):
            frame = await link.receive()
        if frame is None:
            await link.bye(ByeCode.UNAUTHENTICATED)
            return
        hello = link.session.hello(frame, now_s=self._elapsed_s())
        if isinstance(hello, Step):
            await self._perform(link, hello, None)
            return
        try:
            listener = await self._authenticate(opened.token or hello.token)
            link.session.share(self._allowance_of(listener.principal_id))
            subscription = await self._subscribe(link.session, hello, listener)
            with subscription:
                await self._stream(link, subscription, hello)
        except EvaraError as error:
            _LOG.info("a WebSocket is not served: %r", error)
            await link.bye(_code_of(error))

    def _allowance_of(self, principal_id: str) -> Allowance:
        """Return what all streams of one user share, for as long as there is one."""
        found = self._allowances.get(principal_id)
        if found is None:
            found = Allowance(self._limits, now_s=self._elapsed_s())
            self._allowances[principal_id] = found
        return found

    async def _subscribe(
        self, session: SocketSession, hello: Hello, listener: Listener
    ) -> Subscription:
        if not listener.topics:
            raise DeniedError("stream", "no_topics")
        return await self._hub.subscribe(
            principal_id=listener.principal_id,
            topics=listener.topics,
            after=hello.after,
            expires_at=listener.expires_at,
            selections=session.selections,
        )

    async def _stream(self, link: _Link, subscription: Subscription, hello: Hello) -> None:
        # Nothing is awaited between the listing and this look: what comes later is told.
        position = hello.after or self._hub.position
        await link.send(link.session.welcome(position=position, expires_at=subscription.expires_at))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, link, subscription, tasks.cancel_scope)
            try:
                # One scope for all frames: one for each costs as much as the frame.
                with suppress(ClosedError, OSError, _GoneError), anyio.CancelScope() as scope:
                    subscription.when_stuck(scope.cancel, after_s=self._limits.send_timeout_s)
                    await self._write(link, subscription)
            except UpstreamError as error:
                _LOG.info("a WebSocket ends: %r", error)
                await link.bye(ByeCode.UNAVAILABLE)
            tasks.cancel_scope.cancel()

    # --- the two directions -----------------------------------------------------------

    async def _write(self, link: _Link, subscription: Subscription) -> None:
        while True:
            items = await subscription.receive(wait_s=self._limits.heartbeat_s)
            now_s = self._elapsed_s()
            # Many clients get the same: it is made once, and little is asked for each.
            is_plain = bool(items) and not link.session.is_ping_due(now_s=now_s)
            if is_plain and (message := link.ready.message(items)) is not None:
                await link.send_ready(message)
                continue
            if link.session.is_gone(now_s=now_s):
                await link.bye(ByeCode.NO_ANSWER)
                return
            for frame in link.session.frames(items, position=subscription.position, now_s=now_s):
                await link.send_one(frame)
            if items and isinstance(last := items[-1], Bye):
                await link.bye(last.code)
                return

    async def _listen(
        self, link: _Link, subscription: Subscription, everything: anyio.CancelScope
    ) -> None:
        with suppress(_GoneError, TimeoutError, OSError):
            while True:
                frame = await link.receive()
                step = link.session.take(frame, now_s=self._elapsed_s())
                await self._perform(link, step, subscription)
        if not link.is_closed:
            everything.cancel()

    async def _perform(self, link: _Link, step: Step, subscription: Subscription | None) -> None:
        if step.frame is not None:
            await link.send(step.frame)
        match step.act:
            case End(code) if subscription is None:
                await link.bye(code)
            case End(code):
                assert subscription is not None
                subscription.end(code)
            case Select():
                assert subscription is not None
                subscription.select(step.act.selections)
                position = self._hub.position
                await link.send(link.session.selected(step.act, position=position))
            case Reauthenticate(token):
                assert subscription is not None
                await self._renew(link, subscription, token)
            case None:
                pass

    async def _renew(self, link: _Link, subscription: Subscription, token: str) -> None:
        try:
            listener = await self._authenticate(token)
        except EvaraError as error:
            subscription.end(_code_of(error))
            return
        if listener.principal_id != subscription.principal_id:
            subscription.end(ByeCode.FORBIDDEN)
            return
        subscription.extend(listener.expires_at)
        self._hub.revise(listener.principal_id, listener.topics)
        await link.send(link.session.renewed(listener.expires_at))


class _GoneError(Exception):
    """The client has left."""


@dataclass(slots=True)
class _Link:
    """Frames in and out."""

    _receive: Receive
    _send: Send
    session: SocketSession = field(kw_only=True)
    is_text: bool = field(kw_only=True)
    timeout_s: float = field(kw_only=True)
    retry_ms: int = field(kw_only=True)
    ready: ReadyFrames = field(kw_only=True)
    is_closed: bool = field(default=False, init=False)

    async def receive(self) -> bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise _GoneError
        data: bytes | None = message.get("bytes")
        text: str = message.get("text") or ""
        return text.encode() if data is None else data

    async def send(self, frame: bytes) -> None:
        with anyio.fail_after(self.timeout_s):
            await self.send_one(frame)

    async def send_ready(self, message: dict[str, Any]) -> None:
        """Send *message*, which is one of ASGI already."""
        if self.is_closed:
            raise _GoneError
        await self._send(message)

    async def bye(self, code: ByeCode) -> None:
        """Say why, and close."""
        await self.send(self.session.bye(code, retry_ms=self.retry_ms))
        await self.close(code)

    async def send_one(self, frame: bytes) -> None:
        if self.is_closed:
            raise _GoneError
        if self.is_text:
            await self._send({"type": "websocket.send", "text": frame.decode()})
        else:
            await self._send({"type": "websocket.send", "bytes": frame})

    async def close(self, code: ByeCode) -> None:
        self.is_closed = True
        message = {"type": "websocket.close", "code": code.close_code, "reason": str(code)}
        with anyio.fail_after(self.timeout_s):
            await self._send(message)


def _opening(scope: Scope) -> Opening:
    headers = Headers(scope=scope)
    return Opening(
        origin=headers.get("origin"),
        host=headers.get("host"),
        subprotocols=scope.get("subprotocols") or (),
        query=scope.get("query_string", b"").decode("latin-1"),
    )


async def _refuse(scope: Scope, send: Send, status: int) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        start = {"type": "websocket.http.response.start", "status": status, "headers": []}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1008})


def _code_of(error: EvaraError) -> ByeCode:
    match error:
        case UnauthenticatedError():
            return ByeCode.UNAUTHENTICATED
        case DeniedError():
            return ByeCode.FORBIDDEN
        case LimitExceededError():
            return ByeCode.LIMIT_EXCEEDED
        case ClosedError():
            return ByeCode.SHUTTING_DOWN
        case _:
            return ByeCode.UNAVAILABLE
