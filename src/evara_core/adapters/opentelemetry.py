"""Spans for OpenTelemetry: one for each request, named by its route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evara_core._optional import provided_by

with provided_by("otel", package="opentelemetry"):
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TracingMiddleware"]

_FAULT: Final = 500
_REQUEST_ID: Final = "evara_request_id"


class TracingMiddleware:
    """Opens a server span for each request, as a child of the caller's `traceparent`.

    Pure ASGI. Query strings, bodies and tokens are not in the span.

    Args:
        app: Below.
        tracer: Of your provider.
    """

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        method = scope["method"]
        with self._tracer.start_as_current_span(
            method, context=extract(carrier), kind=SpanKind.SERVER
        ) as span:
            span.set_attribute("http.request.method", method)

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= _FAULT:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, send_traced)
            route = getattr(scope.get("route"), "path", None)
            if route is not None:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
            request_id = scope.get("state", {}).get(_REQUEST_ID)
            if request_id is not None:
                span.set_attribute("evara.request_id", request_id)
