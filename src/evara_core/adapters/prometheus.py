"""Metrics for Prometheus: requests by route, and what the parts of the library count.

Routes are named by their pattern, never by the path that was asked for, so that clients
cannot make series.
"""

from __future__ import annotations

import time
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.adapters.patterns import route_pattern
from evara_core.adapters.wsgi import ROUTE_KEY

with provided_by("prometheus", package="prometheus_client"):
    from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
    from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from evara_core.api.usage import UsageReport

__all__ = [
    "METRICS_MEDIA_TYPE",
    "HttpMetrics",
    "HttpMetricsMiddleware",
    "HttpMetricsWsgi",
    "StatsCollector",
    "UsageCollector",
    "metrics_bytes",
]

METRICS_MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
NO_ROUTE: Final = "(none)"

_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_GAUGES: Final = frozenset(
    {
        "clients",
        "concurrency",
        "is_bus_away",
        "is_store_away",
        "lag_s",
        "longest_wait_s",
        "nodes",
        "overdue",
        "queued_rows",
        "relay_lag_s",
        "under_way",
        "unreadable",
    }
)


class HttpMetrics:
    """Counts requests, and measures how long they take.

    `evara_http_requests_total{method, route, status}` and
    `evara_http_request_duration_seconds{method, route}`, a histogram of which
    `histogram_quantile` makes P50, P95 and P99.

    Args:
        registry: Where the metrics are told.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "evara_http_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "evara_http_request_duration_seconds",
            "From the request to the begin of its answer.",
            ["method", "route"],
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def observe(self, *, method: str, route: str | None, status: int, duration_s: float) -> None:
        """Count one request. *route* is its pattern; None: no route matched."""
        method = method if method in _METHODS else "OTHER"
        route = route or NO_ROUTE
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(method, route).observe(duration_s)


class HttpMetricsMiddleware:
    """Observes each request of a Starlette or FastAPI application. Pure ASGI."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: HttpMetrics,
        elapsed_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._elapsed_s = elapsed_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = self._elapsed_s()

        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.observe(
                    method=scope["method"],
                    route=route_pattern(scope),
                    status=message["status"],
                    duration_s=self._elapsed_s() - started_s,
                )
            await send(message)

        await self._app(scope, receive, send_observed)


class HttpMetricsWsgi:
    """Observes each request of a WSGI application, such as Flask's `app.wsgi_app`.

    Put it inside `adapters.flask.versions.VersionedPaths`, so that routes have one name. Which
    route it was is told by `adapters.flask.application.init_app`.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        metrics: HttpMetrics,
        elapsed_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._elapsed_s = elapsed_s

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        started_s = self._elapsed_s()

        def start_observed(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 - of WSGI
            self._metrics.observe(
                method=environ["REQUEST_METHOD"],
                route=environ.get(ROUTE_KEY),
                status=int(status[:3]),
                duration_s=self._elapsed_s() - started_s,
            )
            return start_response(status, headers, *more)

        return self._app(environ, start_observed)


class StatsCollector(Collector):
    """Tells what the parts of the library count, at the moment of the scrape.

    Args:
        sources: Name → what returns its stats, such as
            `{"hub": hub.stats, "monitor": monitor.status, "cache": cache.stats}`. Numbers and
            truth values of the dataclass become `evara_<name>_<field>`; mappings their length.
    """

    def __init__(self, sources: Mapping[str, Callable[[], Any]]) -> None:
        self._sources = dict(sources)

    @override
    def collect(self) -> Iterator[Metric]:
        for source, read in self._sources.items():
            stats = read()
            if not is_dataclass(stats):
                continue
            for field in fields(stats):
                value = getattr(stats, field.name)
                if hasattr(value, "__len__") and not isinstance(value, str):
                    value = len(value)
                if isinstance(value, int | float):
                    yield _metric(source, field.name, float(value))

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what is there is known at the scrape."""
        yield from ()


class UsageCollector(Collector):
    """Tells who still calls what goes away: `evara_deprecated_calls_total{version, principal}`.

    A series for each caller, of whom `api.usage.MOST_CALLERS` are remembered.
    """

    def __init__(self, usage: UsageReport) -> None:
        self._usage = usage

    @override
    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "evara_deprecated_calls",
            "Calls of versions and routes that go away.",
            labels=["version", "principal"],
        )
        for use in self._usage.uses():
            family.add_metric([use.version, use.principal_id], use.calls)
        yield family

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what is there is known at the scrape."""
        yield from ()


def metrics_bytes(registry: CollectorRegistry) -> bytes:
    """Return all metrics of *registry*, to be answered as `METRICS_MEDIA_TYPE`."""
    return generate_latest(registry)


def _metric(source: str, name: str, value: float) -> Metric:
    is_gauge = name in _GAUGES
    told = name.removeprefix("is_")
    if told.endswith("_s"):
        told = f"{told[:-2]}_seconds"
    full, text = f"evara_{source}_{told}", f"{name} of the {source}."
    family: Metric
    if is_gauge:
        family = GaugeMetricFamily(full, text, value=value)
    else:
        family = CounterMetricFamily(full, text, value=value)
    return family
