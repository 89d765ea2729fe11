"""The simulator: an ASGI application that answers as ThingSpeak does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator import answers, routes
from evara_core.thingspeak.simulator.control import answer_control
from evara_core.thingspeak.simulator.delivery import deliver, read_body
from evara_core.thingspeak.simulator.faults import HangUp, Instead, Stall
from evara_core.thingspeak.simulator.profile import HOSTED, Profile
from evara_core.thingspeak.simulator.request import (
    TEXT,
    Reply,
    Request,
    key_in,
    parse_body,
    parse_query,
)
from evara_core.thingspeak.simulator.simulation import Asked, Simulation

if TYPE_CHECKING:
    from evara_core.clock import Clock
    from evara_core.thingspeak.simulator.delivery import Receive, Scope, Send, Sleep
    from evara_core.thingspeak.simulator.faults import Fault

__all__ = ["MAX_BODY_BYTES", "Simulator"]

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Of a request: 14,400 rows with every field and a status, twice over."""

_KEY_PARAMETERS = ("api_key", "key", "apikey")
_NO_PAGES = Reply(403, TEXT, b"orders are not taken from web pages")
_NOT_READ = Reply(200, TEXT, b"")


class Simulator(Simulation):
    """Channels, and the interface through which the world reads and writes them.

    Serve it with `loopback` or any ASGI server, or hand it to a client that calls ASGI
    applications directly. It waits for nothing but what a fault plan tells it to wait for.

    Under `/_control/` it takes orders that the real service does not know: `control`.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        profile: Profile = HOSTED,
        seed: int = 0,
        has_control: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Begin without channels.

        Args:
            clock: What the service takes for the time.
            profile: How it answers where the sources differ.
            seed: For keys and for the chance of faults.
            has_control: Whether `/_control/` is there. Whoever reaches it may do anything.
            sleep: How delays are waited for.
        """
        super().__init__(clock=clock, profile=profile, seed=seed)
        self._has_control = has_control
        self._sleep = sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the life-span messages of a server."""
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        body: bytes | None = b""
        if method not in {"GET", "HEAD"}:
            body = await read_body(receive, most=MAX_BODY_BYTES)
        if self._has_control and path.startswith("/_control"):
            # A web page must not break somebody's tests: browsers say where an order is from.
            is_from_page = any(name == b"origin" for name, _ in scope["headers"])
            reply = _NO_PAGES if is_from_page else answer_control(self, method, path, body or b"")
            await deliver(reply, None, scope=scope, receive=receive, send=send, sleep=self._sleep)
            return
        request = _request_of(scope, self.now_s(), body or b"")
        delay_s, fault = self._trouble(request, path)
        if body is None:
            reply = answers.error(413, request.extension, self.service.profile)
        elif b" " in scope["query_string"]:
            reply = answers.error(400, request.extension, self.service.profile)
        elif _takes_effect(fault):
            reply = routes.answer(self.service, request)
        else:
            reply = _NOT_READ
        self._remember(scope, reply, fault)
        if delay_s:
            await self._sleep(delay_s)
        await deliver(reply, fault, scope=scope, receive=receive, send=send, sleep=self._sleep)

    def _trouble(self, request: Request, path: str) -> tuple[float, Fault | None]:
        delay_s, fault = 0.0, None
        if self.faults.rules:
            delay_s, fault = self.faults.pick(request.method, path)
        channel = routes.channel_of(self.service, request)
        if channel is not None and channel.faults is not None:
            more_s, own = channel.faults.pick(request.method, path)
            return delay_s + more_s, fault or own
        return delay_s, fault

    def _remember(self, scope: Scope, reply: Reply, fault: Fault | None) -> None:
        status = reply.status
        if isinstance(fault, HangUp | Stall):
            status = 0
        elif isinstance(fault, Instead):
            status = fault.status
        query = scope["query_string"].decode("latin-1")
        has_key = any(f"{name}=" in query for name in _KEY_PARAMETERS)
        self.asked.append(Asked(scope["method"], scope["path"], query, status, has_key))


def _takes_effect(fault: Fault | None) -> bool:
    return not isinstance(fault, HangUp | Instead | Stall) or fault.takes_effect


def _request_of(scope: Scope, now_s: int, body: bytes) -> Request:
    path: str = scope["path"]
    segments = path.strip("/").split("/")
    last, _, extension = segments[-1].partition(".")
    segments[-1] = last
    params = parse_query(scope["query_string"])
    headers = scope["headers"]
    if body:
        content_type = next((v for n, v in headers if n == b"content-type"), b"")
        params = {**params, **parse_body(body, content_type)}
    key = key_in(headers, params)
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=tuple(segments),
        extension=extension,
        params=params,
        key=key,
        now_s=now_s,
        body=body,
        cache_key=(path, scope["query_string"], key),
        sender=client[0] if client else "127.0.0.1",
    )


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
