"""One HTTP contract, through each framework."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from evara_core.access.roles import built_in_policy
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.callers import Guard, Public
from evara_core.adapters.starlette.middleware import RequestIdMiddleware
from evara_core.adapters.starlette.replies import Replies
from evara_core.errors import (
    ConflictError,
    DeniedError,
    InvalidParameterError,
    LimitExceededError,
    NotFoundError,
    StorageUnavailableError,
    UnauthenticatedError,
    UpstreamTimeoutError,
)
from evara_core.ids import TimeOrderedIds
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response
    from starlette.types import ASGIApp

    from evara_core.testing.clock import ManualClock

FAULTS: dict[str, Exception] = {
    "parameter": InvalidParameterError("sort", "unknown name 'x'", ("label",)),
    "token": UnauthenticatedError("token_expired"),
    "denied": DeniedError("nodes:write"),
    "missing": NotFoundError("node"),
    "conflict": ConflictError("changed meanwhile"),
    "limit": LimitExceededError("streams", 2.2),
    "storage": StorageUnavailableError("secret-host:5432 is away", 7.0),
    "upstream": UpstreamTimeoutError("https://x/?api_key=SECRET"),
    "bug": RuntimeError("secret"),
}


def fastapi_app(replies: Replies, clock: ManualClock) -> ASGIApp:
    app = FastAPI()

    @app.get("/things", dependencies=[Depends(Public("a test"))])
    async def things(request: Request) -> Any:
        return replies.success(request, {"a": 1})

    @app.get("/faults/{name}", dependencies=[Depends(Public("a test"))])
    async def fault(name: str) -> None:
        raise FAULTS[name]

    async def nobody(_: object) -> None:
        return None

    install(
        app,
        replies=replies,
        ids=TimeOrderedIds(clock=clock),
        guard=Guard(
            verifier=TokenIssuer(clock=clock).verifier(),
            find_principal=nobody,
            policy=built_in_policy(),
        ),
        open_paths=dict.fromkeys(
            ["/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"], "describes the interface"
        ),
    )
    return app


def starlette_app(replies: Replies, clock: ManualClock) -> ASGIApp:
    async def things(request: Request) -> Response:
        return replies.success(request, {"a": 1})

    async def fault(request: Request) -> None:
        raise FAULTS[request.path_params["name"]]

    app = Starlette(
        routes=[Route("/things", things), Route("/faults/{name}", fault)],
        exception_handlers=replies.handlers(),
    )
    app.add_middleware(RequestIdMiddleware, ids=TimeOrderedIds(clock=clock), replies=replies)
    return app


@pytest.fixture(params=[fastapi_app, starlette_app], ids=["fastapi", "starlette"])
async def client(
    request: pytest.FixtureRequest, clock: ManualClock
) -> AsyncIterator[httpx.AsyncClient]:
    app = request.param(Replies(clock=clock, version="1"), clock)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_an_answer_is_in_the_envelope(client: httpx.AsyncClient) -> None:
    response = await client.get("/things")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "private, no-store"
    body = response.json()
    assert list(body) == ["status", "data", "meta", "errors"]
    assert body["status"] == "success"
    assert body["data"] == {"a": 1}
    assert body["errors"] is None
    assert body["meta"] == {
        "request_id": response.headers["x-request-id"],
        "timestamp": "2026-01-01T00:00:00Z",
        "version": "1",
        "cached": False,
    }


async def test_a_sane_request_id_is_kept_and_any_other_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/things", headers={"X-Request-ID": "trace-1.a_B"})
    made = [
        await client.get("/things", headers={"X-Request-ID": text})
        for text in ("", "a b", 'x"y', "x" * 129)
    ]

    assert kept.headers["x-request-id"] == kept.json()["meta"]["request_id"] == "trace-1.a_B"
    assert len({response.headers["x-request-id"] for response in made}) == 4
    assert all(len(response.headers["x-request-id"]) == 36 for response in made)


@pytest.mark.parametrize(
    ("name", "status", "code", "headers"),
    [
        ("parameter", 400, "INVALID_PARAMETER", {}),
        ("token", 401, "UNAUTHENTICATED", {"www-authenticate": "Bearer"}),
        ("denied", 403, "FORBIDDEN", {}),
        ("missing", 404, "NOT_FOUND", {}),
        ("conflict", 409, "CONFLICT", {}),
        ("limit", 429, "RATE_LIMITED", {"retry-after": "3"}),
        ("storage", 503, "SERVICE_UNAVAILABLE", {"retry-after": "7"}),
        ("upstream", 503, "UPSTREAM_TIMEOUT", {"retry-after": "5"}),
        ("bug", 500, "INTERNAL_ERROR", {}),
    ],
)
async def test_every_error_has_the_one_shape_and_its_headers(
    client: httpx.AsyncClient, name: str, status: int, code: str, headers: dict[str, str]
) -> None:
    response = await client.get(f"/faults/{name}")

    assert response.status_code == status
    body = response.json()
    assert list(body) == ["status", "data", "meta", "errors"]
    assert body["status"] == "error"
    assert body["data"] is None
    assert body["errors"][0]["code"] == code
    assert body["errors"][0]["message"]
    assert body["meta"]["request_id"] == response.headers["x-request-id"]
    assert response.headers["cache-control"] == "no-store"
    assert headers.items() <= dict(response.headers).items()


@pytest.mark.parametrize("name", ["storage", "upstream", "bug", "token"])
async def test_secrets_and_tracebacks_stay_inside(client: httpx.AsyncClient, name: str) -> None:
    response = await client.get(f"/faults/{name}")

    text = response.text.lower()
    assert "secret" not in text
    assert "traceback" not in text
    assert "expired" not in text


async def test_a_fault_of_ours_is_logged_with_its_request_id(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await client.get("/faults/bug", headers={"X-Request-ID": "r-1"})

    (record,) = caplog.records
    assert record.getMessage() == "request r-1 failed"
    assert record.exc_info is not None


async def test_what_the_framework_refuses_looks_the_same(client: httpx.AsyncClient) -> None:
    missing = await client.get("/nothing")
    wrong = await client.post("/things")

    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (404, "HTTP_404")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (405, "HTTP_405")
    assert "GET" in wrong.headers["allow"]
    for response in (missing, wrong):
        assert list(response.json()) == ["status", "data", "meta", "errors"]
        assert response.json()["meta"]["request_id"] == response.headers["x-request-id"]
