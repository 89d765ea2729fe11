"""Health, metrics and spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import flask
import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from evara_core.access.roles import built_in_policy
from evara_core.adapters.answers import Answers
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.flask.application import init_app
from evara_core.adapters.flask.callers import Guard, Public
from evara_core.adapters.flask.replies import Replies
from evara_core.adapters.health import check_all, health_data
from evara_core.adapters.opentelemetry import TracingMiddleware, TracingWsgi
from evara_core.adapters.prometheus import (
    HttpMetrics,
    HttpMetricsMiddleware,
    HttpMetricsWsgi,
    StatsCollector,
    UsageCollector,
    metrics_bytes,
)
from evara_core.api.usage import UsageReport
from evara_core.caching.results import CacheStats
from evara_core.errors import StorageUnavailableError
from evara_core.ids import TimeOrderedIds
from evara_core.realtime.limits import HubStats
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator


class Thing(BaseModel):
    id: int


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get(
        "/things/{thing_id}",
        responses=answers_of(list[Thing], is_page=True) | errors_of("NOT_FOUND", "RATE_LIMITED"),
    )
    async def thing(thing_id: int) -> Any:
        return {"id": thing_id}

    return app


def make_flask(wrap: Any) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    clock = ManualClock()

    @app.get("/things/<int:thing_id>")
    @Public("a test")
    def thing(thing_id: int) -> Any:
        return {"id": thing_id}

    @app.get("/faults")
    @Public("a test")
    def fault() -> Any:
        raise RuntimeError

    guard = Guard(
        verifier=TokenIssuer(clock=clock).verifier(),
        find_principal=lambda _: None,
        policy=built_in_policy(),
    )
    init_app(
        app, replies=Replies(Answers(clock=clock)), ids=TimeOrderedIds(clock=clock), guard=guard
    )
    app.wsgi_app = wrap(app.wsgi_app)  # type: ignore[method-assign] # Flask's documented way
    return app


async def get(app: Any, path: str, **options: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, **options)


async def test_each_dependency_is_asked_and_what_hangs_is_given_up() -> None:
    async def answers() -> None: ...

    async def is_away() -> None:
        raise StorageUnavailableError("secret", 1.0)

    results = await check_all(
        {"cache": answers, "database": is_away, "bus": anyio.sleep_forever}, timeout_s=0.01
    )
    data = health_data(results)

    assert data["status"] == "failed"
    assert list(data["checks"]) == ["cache", "database", "bus"]
    assert data["checks"]["cache"]["status"] == "ok"
    assert data["checks"]["database"]["problem"] == "StorageUnavailableError"
    assert data["checks"]["bus"]["problem"] == "TimeoutError"
    assert "secret" not in str(data)


async def test_requests_are_counted_by_route_and_not_by_path() -> None:
    registry = CollectorRegistry()
    moments: Iterator[float] = iter([0.0, 0.2, 1.0, 1.003, 2.0, 2.0])
    app = HttpMetricsMiddleware(
        make_app(), metrics=HttpMetrics(registry), elapsed_s=lambda: next(moments)
    )

    for path in ("/things/1", "/things/2", "/elsewhere/3"):
        await get(app, path)

    value = registry.get_sample_value
    ours = {"method": "GET", "route": "/things/{thing_id}"}
    assert value("evara_http_requests_total", ours | {"status": "200"}) == 2
    none = {"method": "GET", "route": "(none)", "status": "404"}
    assert value("evara_http_requests_total", none) == 1
    assert value("evara_http_request_duration_seconds_bucket", ours | {"le": "0.005"}) == 1
    assert value("evara_http_request_duration_seconds_sum", ours) == pytest.approx(0.203)


def test_flask_counts_requests_by_the_same_names() -> None:
    registry = CollectorRegistry()
    moments: Iterator[float] = iter([0.0, 0.2, 1.0, 1.003, 2.0, 2.0, 3.0, 3.0])
    client = make_flask(
        lambda app: HttpMetricsWsgi(
            app, metrics=HttpMetrics(registry), elapsed_s=lambda: next(moments)
        )
    ).test_client()

    for path in ("/things/1", "/things/2", "/elsewhere/3", "/faults"):
        client.get(path)

    value = registry.get_sample_value
    ours = {"method": "GET", "route": "/things/{thing_id}"}
    assert value("evara_http_requests_total", ours | {"status": "200"}) == 2
    none = {"method": "GET", "route": "(none)", "status": "404"}
    assert value("evara_http_requests_total", none) == 1
    fault = {"method": "GET", "route": "/faults", "status": "500"}
    assert value("evara_http_requests_total", fault) == 1
    assert value("evara_http_request_duration_seconds_bucket", ours | {"le": "0.005"}) == 1
    assert value("evara_http_request_duration_seconds_sum", ours) == pytest.approx(0.203)


def test_flask_traces_under_the_same_names() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = make_flask(lambda app: TracingWsgi(app, tracer=provider.get_tracer("test")))
    trace = "0af7651916cd43dd8448eb211c80319c"
    caller = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-ID": "r-1"}

    app.test_client().get("/things/1?token=SECRET", headers=caller)
    app.test_client().get("/faults")

    span, fault = exporter.get_finished_spans()
    assert span.name == "GET /things/{thing_id}"
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/things/{thing_id}",
        "evara.request_id": "r-1",
    }
    assert f"{span.get_span_context().trace_id:032x}" == trace
    assert "SECRET" not in span.to_json()
    assert not fault.status.is_ok


def test_who_calls_what_goes_away_is_a_metric() -> None:
    registry, usage = CollectorRegistry(), UsageReport()
    usage.record("GET /old", "u-1", now=ManualClock().now())
    registry.register(UsageCollector(usage))

    text = metrics_bytes(registry).decode()

    assert 'evara_deprecated_calls_total{principal="u-1",version="GET /old"} 1.0' in text


def test_the_parts_tell_what_they_count() -> None:
    registry = CollectorRegistry()
    hub = HubStats(
        clients=3, messages=9, deliveries=20, coalesced=1, refused=0, slow=0, gaps=0,
        bus_failures=2,
    )  # fmt: skip
    registry.register(StatsCollector({"hub": lambda: hub, "cache": lambda: CacheStats(hits=5)}))

    text = metrics_bytes(registry).decode()

    assert "# TYPE evara_hub_clients gauge\nevara_hub_clients 3.0" in text
    assert "# TYPE evara_hub_bus_failures_total counter\nevara_hub_bus_failures_total 2.0" in text
    assert "evara_cache_hits_total 5.0" in text


async def test_a_span_is_named_by_its_route_and_continues_the_callers() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = TracingMiddleware(make_app(), tracer=provider.get_tracer("test"))
    trace = "0af7651916cd43dd8448eb211c80319c"

    await get(
        app, "/things/1?token=SECRET", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    )

    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /things/{thing_id}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert f"{span.get_span_context().trace_id:032x}" == trace
    assert "SECRET" not in span.to_json()


def test_the_interface_describes_the_envelope_and_the_errors() -> None:
    described = make_app().openapi()
    responses = described["paths"]["/things/{thing_id}"]["get"]["responses"]

    assert "StandardResponse_list_Thing__" in str(responses["200"])
    assert "Link" in responses["200"]["headers"]
    example = responses["404"]["content"]["application/json"]["examples"]["NOT_FOUND"]["value"]
    assert example["errors"][0]["code"] == "NOT_FOUND"
    assert "ErrorResponse" in str(responses["404"])
    assert "Retry-After" in responses["429"]["headers"]
