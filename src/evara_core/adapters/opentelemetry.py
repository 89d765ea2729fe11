"""Spans for OpenTelemetry: one for each request, named by its route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evara_core._optional import provided_by
from evara_core.adapters.patterns import route_pattern
from evara_core.adapters.wsgi import REQUEST_ID_KEY, ROUTE_KEY

with provided_by("otel", package="opentelemetry"):
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from opentelemetry.trace import Span, Tracer
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TracingMiddleware", "TracingWsgi"]

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
                    _tell_status(span, message["status"])
                await send(message)

            await self._app(scope, receive, send_traced)
            _tell_route(span, method, route_pattern(scope), scope.get("state", {}).get(_REQUEST_ID))


class TracingWsgi:
    """The same for a WSGI application, such as Flask's `app.wsgi_app`.

    Put it inside `adapters.flask.versions.VersionedPaths`. The span ends when the answer
    begins to be sent.

    Args:
        app: Below.
        tracer: Of your provider.
    """

    def __init__(self, app: WSGIApplication, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        method = environ["REQUEST_METHOD"]
        carrier = {
            name[5:].lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        with self._tracer.start_as_current_span(
            method, context=extract(carrier), kind=SpanKind.SERVER
        ) as span:
            span.set_attribute("http.request.method", method)

            def start_traced(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 - of WSGI
                _tell_status(span, int(status[:3]))
                return start_response(status, headers, *more)

            answer = self._app(environ, start_traced)
            _tell_route(span, method, environ.get(ROUTE_KEY), environ.get(REQUEST_ID_KEY))
            return answer


def _tell_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= _FAULT:
        span.set_status(Status(StatusCode.ERROR))


def _tell_route(span: Span, method: str, route: str | None, request_id: str | None) -> None:
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    if request_id is not None:
        span.set_attribute("evara.request_id", request_id)
