"""Bringing an answer to the caller over ASGI, whole or in the way that a fault wants it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.thingspeak.simulator.faults import HangUp, Instead, Stall, Trickle, Truncate
from evara_core.thingspeak.simulator.request import Reply

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.faults import Fault

__all__ = ["HANG_UP", "Message", "Receive", "Scope", "Send", "Sleep", "deliver", "read_body"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Sleep: TypeAlias = Callable[[float], Awaitable[None]]

HANG_UP = "evara.hang_up"
"""An ASGI extension: a server that names it closes the connection on a message of this type."""

_CORS = (b"access-control-allow-origin", b"*")


async def read_body(receive: Receive, *, most: int) -> bytes | None:
    """Return the body of a request; None when it is larger than *most* bytes."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def deliver(
    reply: Reply,
    fault: Fault | None,
    *,
    scope: Scope,
    receive: Receive,
    send: Send,
    sleep: Sleep,
) -> None:
    """Send *reply* as *fault* wants it.

    Raises:
        ConnectionResetError: The fault is a hang-up, and the server has no better way.
    """
    if fault is not None and reply.stream is not None:
        reply = reply._replace(body=b"".join(reply.stream), stream=None)
    match fault:
        case Truncate():
            reply = reply._replace(body=reply.body[: int(len(reply.body) * fault.share)])
        case Instead():
            reply = _instead_of(fault)
        case HangUp():
            await _hang_up(reply, fault, scope, send)
            return
        case Stall():
            while (await receive())["type"] != "http.disconnect":
                continue
            return
        case _:
            pass
    await _start(reply, send)
    if isinstance(fault, Trickle):
        await _trickle(reply.body, fault, send, sleep)
    elif reply.stream is not None:
        for piece in reply.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": reply.body})


def _instead_of(fault: Instead) -> Reply:
    """Return the answer that *fault* gives."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if fault.retry_after_s is not None:
        headers = ((b"retry-after", b"%d" % fault.retry_after_s),)
    return Reply(fault.status, fault.content_type, fault.body, headers)


async def _start(reply: Reply, send: Send) -> None:
    headers = list(reply.headers)
    if reply.content_type:
        headers += [(b"content-type", reply.content_type), _CORS]
    if reply.stream is None:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})


async def _hang_up(reply: Reply, fault: HangUp, scope: Scope, send: Send) -> None:
    can_hang_up = HANG_UP in scope.get("extensions", {})
    if fault.after_bytes or not can_hang_up:
        # At least a byte is promised that never comes, or the answer would be complete.
        reply = reply._replace(body=reply.body or b" ")
        await _start(reply, send)
        sent = reply.body[: min(fault.after_bytes, len(reply.body) - 1)]
        await send({"type": "http.response.body", "body": sent, "more_body": True})
    if can_hang_up:
        await send({"type": HANG_UP})
        return
    problem = "the simulator hung up, as its fault plan says"
    raise ConnectionResetError(problem)


async def _trickle(body: bytes, fault: Trickle, send: Send, sleep: Sleep) -> None:
    pieces = max(1, min(fault.pieces, len(body)))
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size or 1):
        await sleep(fault.over_s / pieces)
        piece = body[start : start + size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
