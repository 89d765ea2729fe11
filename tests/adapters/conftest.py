"""One small application, written for each framework."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import flask
import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from evara_core.access.principal import Principal
from evara_core.access.roles import built_in_policy
from evara_core.adapters.answers import Answers, Freshness
from evara_core.adapters.fastapi import callers as fastapi_callers
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.lists import ListOf
from evara_core.adapters.flask import callers as flask_callers
from evara_core.adapters.flask import once as flask_once
from evara_core.adapters.flask.application import init_app
from evara_core.adapters.flask.replies import Replies as FlaskReplies
from evara_core.adapters.flask.requests import json_body, list_query, model_body
from evara_core.adapters.flask.versions import VersionedPaths
from evara_core.adapters.starlette import once
from evara_core.adapters.starlette.bodies import BodyLimitMiddleware
from evara_core.adapters.starlette.middleware import RequestIdMiddleware
from evara_core.adapters.starlette.replies import Replies
from evara_core.adapters.starlette.versions import VersionMiddleware
from evara_core.api.batch import BatchSpec, Operation, Outcome, batch_reply, parse_batch
from evara_core.api.bodies import Writable
from evara_core.api.conditional import check_if_match, version_etag
from evara_core.api.idempotency import MemoryIdempotencyStore
from evara_core.api.limits import MemoryRateLimits, RatePolicy
from evara_core.api.versioning import Version, Versions
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
from evara_core.query.cursor import CursorCodec
from evara_core.query.paging import page_of
from evara_core.query.spec import EQUALITY, FieldType, ListQuery, ListSpec
from evara_core.query.spec import Field as ListField
from evara_core.serialization import load_json
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
THINGS = ListSpec(
    name="things",
    fields=(
        ListField(name="id", type=FieldType.INTEGER, sortable=True),
        ListField(name="status", operators=EQUALITY, choices=("Online", "Offline")),
    ),
)
ROWS = [{"id": number, "status": ("Online", "Offline")[number % 2]} for number in range(7)]
BATCH = BatchSpec(
    name="thing",
    writables=(Writable(field=ListField(name="label"), is_required=True),),
    key=Writable(field=ListField(name="id")),
)
ETAG = version_etag("record", 3)
RATE = RatePolicy(name="writes", requests=2, window_s=60)
VERSIONS = Versions(
    [
        Version(
            name="1",
            deprecated_at=datetime(2026, 1, 1, tzinfo=UTC),
            guide="https://docs.example/move",
        ),
        Version(name="2"),
    ]
)
MOST_BYTES = 1_000
USERS = {"manager": Principal(user_id="manager", role="community_manager", community_id="c1")}


class Body(BaseModel):
    name: str = Field(max_length=5)
    inner: dict[str, int] = {}


class Scenario:
    """What the applications have in common."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.issuer = TokenIssuer(clock=clock)
        self.ids = TimeOrderedIds(clock=clock)
        self.codec = CursorCodec(keys=[b"k" * 32])
        self.keys = MemoryIdempotencyStore(clock=clock)
        self.limits = MemoryRateLimits(clock=clock)
        self.runs = 0

    def page(self, query: ListQuery) -> Any:
        return page_of(ROWS, query, self.codec)

    def batched(self, body: Any) -> Any:
        batch = parse_batch(BATCH, Operation.CREATE, body)
        return batch_reply(
            batch, [Outcome(index=item.index, data=item.values) for item in batch.items]
        )

    def once(self) -> dict[str, int]:
        self.runs += 1
        return {"runs": self.runs}


@contextmanager
def starlette_client(scenario: Scenario) -> Iterator[Any]:
    replies = Replies(clock=scenario.clock)

    async def things(request: Request) -> Any:
        return replies.success(request, {"a": 1})

    async def fault(request: Request) -> None:
        raise FAULTS[request.path_params["name"]]

    async def pages(request: Request) -> Any:
        page = scenario.page(await ListOf(THINGS)(request))
        return replies.success(request, page.rows, page=page, freshness=Freshness())

    async def record(request: Request) -> Any:
        if request.method == "PUT":
            check_if_match(request.headers.get("if-match"), etag=ETAG)
        return replies.success(request, {"v": 3}, freshness=Freshness(etag=ETAG))

    async def batch(request: Request) -> Any:
        return replies.batch(request, scenario.batched(load_json(await request.body())))

    async def post_once(request: Request) -> Any:
        async def run() -> Any:
            return replies.success(request, scenario.once(), status=201)

        return await once.run_once(request, run, store=scenario.keys, principal_id="p")

    async def limited(request: Request) -> Any:
        await once.take_turn(request, "p", limits=scenario.limits, policy=RATE)
        return replies.success(request, {})

    app = Starlette(
        routes=[
            Route("/things", things, methods=["GET"]),
            Route("/faults/{name}", fault),
            Route("/api/pages", pages),
            Route("/record", record, methods=["GET", "PUT"]),
            Route("/batch", batch, methods=["POST"]),
            Route("/once", post_once, methods=["POST"]),
            Route("/limited", limited),
        ],
        exception_handlers=replies.handlers(),
    )
    app.add_middleware(BodyLimitMiddleware, replies=replies, most_bytes=MOST_BYTES)
    app.add_middleware(VersionMiddleware, versions=VERSIONS, replies=replies, prefix="/api")
    app.add_middleware(RequestIdMiddleware, ids=scenario.ids, replies=replies)
    yield asgi(app)


def add_fastapi_writes(app: FastAPI, replies: Replies, scenario: Scenario, public: Any) -> None:
    @app.post("/batch", dependencies=public)
    async def batch(request: Request) -> Any:
        return replies.batch(request, scenario.batched(load_json(await request.body())))

    @app.post("/once", dependencies=public)
    async def post_once(request: Request) -> Any:
        async def run() -> Any:
            return replies.success(request, scenario.once(), status=201)

        return await once.run_once(request, run, store=scenario.keys, principal_id="p")

    @app.get("/limited", dependencies=public)
    async def limited(request: Request) -> Any:
        await once.take_turn(request, "p", limits=scenario.limits, policy=RATE)
        return replies.success(request, {})


@contextmanager
def fastapi_client(scenario: Scenario) -> Iterator[Any]:
    replies = Replies(clock=scenario.clock)
    app = FastAPI(openapi_url=None)
    public = [Depends(fastapi_callers.Public("a test"))]

    @app.get("/things", dependencies=public)
    async def things(request: Request) -> Any:
        return replies.success(request, {"a": 1})

    @app.get("/faults/{name}", dependencies=public)
    async def fault(name: str) -> None:
        raise FAULTS[name]

    @app.get("/api/pages", dependencies=public)
    async def pages(request: Request, query: Annotated[ListQuery, Depends(ListOf(THINGS))]) -> Any:
        page = scenario.page(query)
        return replies.success(request, page.rows, page=page, freshness=Freshness())

    @app.api_route("/record", methods=["GET", "PUT"], dependencies=public)
    async def record(request: Request) -> Any:
        if request.method == "PUT":
            check_if_match(request.headers.get("if-match"), etag=ETAG)
        return replies.success(request, {"v": 3}, freshness=Freshness(etag=ETAG))

    add_fastapi_writes(app, replies, scenario, public)

    @app.post("/bodies", dependencies=public)
    async def bodies(request: Request, body: Body) -> Any:
        return replies.success(request, body.name)

    @app.get("/mine")
    async def mine(
        request: Request,
        principal: Annotated[Principal, Depends(fastapi_callers.RequirePermission("nodes:read"))],
    ) -> Any:
        return replies.success(request, principal.user_id)

    @app.get("/forbidden")
    async def forbidden(
        _: Annotated[Principal, Depends(fastapi_callers.RequirePermission("audit:read"))],
    ) -> None: ...

    async def find(token: Any) -> Principal | None:
        return USERS.get(token.subject)

    guard = fastapi_callers.Guard(
        verifier=scenario.issuer.verifier(), find_principal=find, policy=built_in_policy()
    )
    app.add_middleware(BodyLimitMiddleware, replies=replies, most_bytes=MOST_BYTES)
    app.add_middleware(VersionMiddleware, versions=VERSIONS, replies=replies, prefix="/api")
    install(app, replies=replies, ids=scenario.ids, guard=guard)
    yield asgi(app)


@contextmanager
def flask_client(scenario: Scenario) -> Iterator[Any]:
    with start_blocking_portal() as portal:
        transport = httpx.WSGITransport(flask_app(scenario, portal))
        with httpx.Client(transport=transport, base_url="http://test") as client:

            async def send(method: str, path: str, **options: Any) -> httpx.Response:
                ask = partial(client.request, method, path, **options)
                return await anyio.to_thread.run_sync(ask)

            yield send


def add_flask_writes(
    app: flask.Flask, replies: FlaskReplies, scenario: Scenario, portal: Any, public: Any
) -> None:
    @app.post("/batch")
    @public
    def batch() -> Any:
        return replies.batch(scenario.batched(json_body()))

    @app.post("/once")
    @public
    def post_once() -> Any:
        def run() -> Any:
            return replies.success(scenario.once(), status=201)

        return flask_once.run_once(run, store=scenario.keys, portal=portal, principal_id="p")

    @app.get("/limited")
    @public
    def limited() -> Any:
        flask_once.take_turn("p", limits=scenario.limits, portal=portal, policy=RATE)
        return replies.success({})


def flask_app(scenario: Scenario, portal: Any) -> flask.Flask:
    replies = FlaskReplies(Answers(clock=scenario.clock))
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    public = flask_callers.Public("a test")

    @app.get("/things")
    @public
    def things() -> Any:
        return replies.success({"a": 1})

    @app.get("/faults/<name>")
    @public
    def fault(name: str) -> Any:
        raise FAULTS[name]

    @app.get("/api/pages")
    @public
    def pages() -> Any:
        page = scenario.page(list_query(THINGS))
        return replies.success(page.rows, page=page, freshness=Freshness())

    @app.route("/record", methods=["GET", "PUT"])
    @public
    def record() -> Any:
        if flask.request.method == "PUT":
            check_if_match(flask.request.headers.get("if-match"), etag=ETAG)
        return replies.success({"v": 3}, freshness=Freshness(etag=ETAG))

    add_flask_writes(app, replies, scenario, portal, public)

    @app.post("/bodies")
    @public
    def bodies() -> Any:
        return replies.success(model_body(Body).name)

    @app.get("/mine")
    @flask_callers.RequirePermission("nodes:read")
    def mine() -> Any:
        return replies.success(flask_callers.current_principal().user_id)

    @app.get("/forbidden")
    @flask_callers.RequirePermission("audit:read")
    def forbidden() -> Any: ...

    guard = flask_callers.Guard(
        verifier=scenario.issuer.verifier(),
        find_principal=lambda token: USERS.get(token.subject),
        policy=built_in_policy(),
    )
    app.wsgi_app = VersionedPaths(  # type: ignore[method-assign]
        app.wsgi_app, versions=VERSIONS, prefix="/api"
    )
    init_app(app, replies=replies, ids=scenario.ids, guard=guard)
    return app


def asgi(app: Any) -> Any:
    async def send(method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return send


FRAMEWORKS: dict[str, Callable[[Scenario], Any]] = {
    "fastapi": fastapi_client,
    "flask": flask_client,
    "starlette": starlette_client,
}


@pytest.fixture
def scenario(clock: ManualClock) -> Scenario:
    return Scenario(clock)


@pytest.fixture(params=FRAMEWORKS)
def send(request: pytest.FixtureRequest, scenario: Scenario) -> Iterator[Any]:
    """Send a request to an application in one of the frameworks."""
    with FRAMEWORKS[request.param](scenario) as found:
        yield found


@pytest.fixture(params=["fastapi", "flask"])
def send_with_access(request: pytest.FixtureRequest, scenario: Scenario) -> Iterator[Any]:
    """The same, in the frameworks that know callers."""
    with FRAMEWORKS[request.param](scenario) as found:
        yield found


@pytest.fixture
def frameworks() -> dict[str, Callable[[Scenario], Any]]:
    return FRAMEWORKS


@pytest.fixture
def new_scenario() -> Callable[[ManualClock], Scenario]:
    return Scenario
