"""One contract of HTTP caching, through each framework."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import anyio
import flask
import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import Depends, FastAPI, Request, Response
from starlette.responses import StreamingResponse

from evara_core.access.principal import Principal
from evara_core.access.roles import built_in_policy
from evara_core.adapters.answers import Answers, Freshness
from evara_core.adapters.fastapi import callers as fastapi_callers
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.caching import CacheRoute, install_caching
from evara_core.adapters.flask import callers as flask_callers
from evara_core.adapters.flask.application import init_app
from evara_core.adapters.flask.caching import CacheView, init_caching
from evara_core.adapters.flask.replies import Replies as FlaskReplies
from evara_core.adapters.starlette.replies import Replies
from evara_core.api.cache_control import CachePolicy
from evara_core.api.conditional import version_etag
from evara_core.caching.cache import Cache
from evara_core.caching.validators import stamp_etag
from evara_core.errors import ConfigurationError, NotFoundError
from evara_core.ids import TimeOrderedIds
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer

PUBLIC = CachePolicy(is_private=False, max_age_s=60, stale_while_revalidate_s=30)
VARIED = CachePolicy(max_age_s=5, vary=("Accept-Language",))
USERS = {"manager": Principal(user_id="manager", role="community_manager", community_id="c1")}


class Tanks:
    """What the applications have in common: a record with a version, and its readers."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.issuer = TokenIssuer(clock=clock)
        self.ids = TimeOrderedIds(clock=clock)
        self.cache = Cache(clock=clock)
        self.version = 1
        self.runs = 0
        self.body = b"level"

    def row_tag(self) -> str:
        return version_etag("tank", self.version)

    def ran(self) -> dict[str, int]:
        self.runs += 1
        return {"version": self.version}


def add_fastapi_bodies(app: FastAPI, replies: Replies, tanks: Tanks, public: Any) -> None:
    @app.get("/body", dependencies=[public, Depends(CacheRoute(PUBLIC))])
    async def body() -> Response:
        return Response(tanks.body, media_type="text/plain")

    @app.get("/cookie", dependencies=[public, Depends(CacheRoute(PUBLIC))])
    async def cookie() -> Response:
        response = Response(b"x")
        response.set_cookie("session", "1")
        return response

    @app.get("/streamed", dependencies=[public, Depends(CacheRoute(PUBLIC))])
    async def streamed() -> Response:
        return StreamingResponse(iter([b"a", b"b"]))

    @app.get("/varied", dependencies=[public, Depends(CacheRoute(VARIED))])
    async def varied() -> Response:
        return Response(b"x", headers={"Vary": "Accept-Encoding, accept-language"})

    @app.get("/told", dependencies=[public, Depends(CacheRoute(VARIED))])
    async def told(request: Request) -> Any:
        return replies.success(request, {"a": 1}, freshness=Freshness())

    @app.get("/missing", dependencies=[public, Depends(CacheRoute(PUBLIC))])
    async def missing() -> None:
        raise NotFoundError("tank")


def add_fastapi_callers(app: FastAPI, tanks: Tanks) -> None:
    async def row_tag(_: Request) -> str:
        return tanks.row_tag()

    # The check of the caller stands after what asks for the tag.
    @app.get("/mine", dependencies=[Depends(CacheRoute(VARIED, etag=row_tag))])
    async def mine(
        _: Annotated[Principal, Depends(fastapi_callers.RequirePermission("nodes:read"))],
    ) -> Response:
        return Response(b"mine")

    @app.get("/careless")
    async def careless(
        _: Annotated[Principal, Depends(fastapi_callers.RequirePermission("nodes:read"))],
    ) -> Response:
        return Response(b"mine", headers={"Cache-Control": "must-revalidate"})


@contextmanager
def on_fastapi(tanks: Tanks) -> Iterator[Any]:
    app = FastAPI(openapi_url=None)
    replies = Replies(clock=tanks.clock)
    public = Depends(fastapi_callers.Public("a test"))

    add_fastapi_bodies(app, replies, tanks, public)
    add_fastapi_callers(app, tanks)

    async def row_tag(_: Request) -> str:
        return tanks.row_tag()

    async def stamps(request: Request) -> str | None:
        return await stamp_etag(tanks.cache, request.url.path, tags=["tanks"])

    row = Depends(CacheRoute(etag=row_tag, needs_match=True))

    @app.api_route("/row", methods=["GET", "PUT"], dependencies=[public, row])
    async def record(request: Request) -> Any:
        if request.method == "PUT":
            tanks.version += 1
        return replies.success(request, tanks.ran())

    @app.get("/stamped/{name}", dependencies=[public, Depends(CacheRoute(etag=stamps))])
    async def stamped(request: Request, name: str) -> Any:
        return replies.success(request, tanks.ran())

    async def find(token: Any) -> Principal | None:
        return USERS.get(token.subject)

    guard = fastapi_callers.Guard(
        verifier=tanks.issuer.verifier(), find_principal=find, policy=built_in_policy()
    )
    install_caching(app)
    install(app, replies=replies, ids=tanks.ids, guard=guard)

    async def send(method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    yield send


@contextmanager
def on_flask(tanks: Tanks) -> Iterator[Any]:
    with start_blocking_portal() as portal:
        transport = httpx.WSGITransport(flask_app(tanks, portal))
        with httpx.Client(transport=transport, base_url="http://test") as client:

            async def send(method: str, path: str, **options: Any) -> httpx.Response:
                ask = partial(client.request, method, path, **options)
                return await anyio.to_thread.run_sync(ask)

            yield send


def add_flask_bodies(
    app: flask.Flask, replies: FlaskReplies, tanks: Tanks, public: flask_callers.Public
) -> None:
    @app.get("/body")
    @public
    @CacheView(PUBLIC)
    def body() -> Any:
        return flask.Response(tanks.body, mimetype="text/plain")

    @app.get("/cookie")
    @public
    @CacheView(PUBLIC)
    def cookie() -> Any:
        response = flask.Response(b"x")
        response.set_cookie("session", "1")
        return response

    @app.get("/streamed")
    @public
    @CacheView(PUBLIC)
    def streamed() -> Any:
        return flask.Response(iter([b"a", b"b"]))

    @app.get("/varied")
    @public
    @CacheView(VARIED)
    def varied() -> Any:
        return flask.Response(b"x", headers={"Vary": "Accept-Encoding, accept-language"})

    @app.get("/told")
    @public
    @CacheView(VARIED)
    def told() -> Any:
        return replies.success({"a": 1}, freshness=Freshness())

    @app.get("/missing")
    @public
    @CacheView(PUBLIC)
    def missing() -> Any:
        raise NotFoundError("tank")


def flask_app(tanks: Tanks, portal: Any) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    replies = FlaskReplies(Answers(clock=tanks.clock))
    public = flask_callers.Public("a test")

    def stamps(name: str) -> str | None:
        path = flask.request.path
        ask = partial(stamp_etag, tanks.cache, path, tags=["tanks"])
        found: str | None = portal.call(ask)
        return found

    @app.route("/row", methods=["GET", "PUT"])
    @public
    @CacheView(etag=tanks.row_tag, needs_match=True)
    def record() -> Any:
        if flask.request.method == "PUT":
            tanks.version += 1
        return replies.success(tanks.ran())

    @app.get("/stamped/<name>")
    @public
    @CacheView(etag=stamps)
    def stamped(name: str) -> Any:
        return replies.success(tanks.ran())

    add_flask_bodies(app, replies, tanks, public)

    @app.get("/mine")
    @flask_callers.RequirePermission("nodes:read")
    @CacheView(VARIED, etag=tanks.row_tag)
    def mine() -> Any:
        return flask.Response(b"mine")

    @app.get("/careless")
    @flask_callers.RequirePermission("nodes:read")
    def careless() -> Any:
        return flask.Response(b"mine", headers={"Cache-Control": "must-revalidate"})

    guard = flask_callers.Guard(
        verifier=tanks.issuer.verifier(),
        find_principal=lambda token: USERS.get(token.subject),
        policy=built_in_policy(),
    )
    init_app(app, replies=replies, ids=tanks.ids, guard=guard)
    init_caching(app)
    return app


@pytest.fixture
def tanks(clock: ManualClock) -> Tanks:
    return Tanks(clock)


@pytest.fixture(params=[on_fastapi, on_flask])
def send(request: pytest.FixtureRequest, tanks: Tanks) -> Iterator[Any]:
    with request.param(tanks) as found:
        yield found


def vary(response: httpx.Response) -> set[str]:
    lines = response.headers.get_list("vary")
    return {each.strip().lower() for line in lines for each in line.split(",")}


async def test_a_known_row_version_is_answered_without_the_handler(send: Any, tanks: Tanks) -> None:
    first = await send("GET", "/row")
    etag = first.headers["etag"]

    again = await send("GET", "/row", headers={"If-None-Match": f'"a,b", W/{etag}'})

    assert etag == tanks.row_tag()
    assert (again.status_code, again.content, tanks.runs) == (304, b"", 1)
    assert again.headers["etag"] == etag


async def test_a_304_repeats_what_caches_need_and_describes_no_body(send: Any) -> None:
    for path in ("/row", "/body", "/told", "/varied"):
        first = await send("GET", path)

        again = await send("GET", path, headers={"If-None-Match": first.headers["etag"]})

        assert again.status_code == 304
        for name in ("cache-control", "etag"):
            assert again.headers[name] == first.headers[name]
        assert vary(again) == vary(first)
        assert "content-type" not in again.headers
        assert again.headers.get("content-length", "0") == "0"
        assert "set-cookie" not in again.headers


async def test_a_write_changes_only_what_its_writer_has_read(send: Any, tanks: Tanks) -> None:
    read = (await send("GET", "/row")).headers["etag"]

    wrote = await send("PUT", "/row", headers={"If-Match": read})
    late = await send("PUT", "/row", headers={"If-Match": read})
    weak = await send("PUT", "/row", headers={"If-Match": f"W/{tanks.row_tag()}"})
    garbage = await send("PUT", "/row", headers={"If-Match": "abc"})
    silent = await send("PUT", "/row")
    create = await send("PUT", "/row", headers={"If-Match": "*", "If-None-Match": "*"})
    whatever = await send("PUT", "/row", headers={"If-Match": "*"})

    statuses = [each.status_code for each in (wrote, late, weak, garbage, silent, create, whatever)]
    assert statuses == [200, 412, 412, 412, 428, 412, 200]
    assert tanks.version == 3
    assert late.headers["cache-control"] == "no-store"
    assert late.headers["etag"] == version_etag("tank", 2)
    assert late.json()["errors"][0]["code"] == "PRECONDITION_FAILED"


async def test_version_stamps_answer_before_the_handler_until_they_move(
    send: Any, tanks: Tanks
) -> None:
    first = await send("GET", "/stamped/a")
    etag = first.headers["etag"]
    asked = {"If-None-Match": etag}

    known = await send("GET", "/stamped/a", headers=asked)
    other = await send("GET", "/stamped/b", headers=asked)
    await tanks.cache.invalidate(tags=["tanks"])
    moved = await send("GET", "/stamped/a", headers=asked)

    assert etag.startswith("W/")
    assert [each.status_code for each in (known, other, moved)] == [304, 200, 200]
    assert moved.headers["etag"] != etag
    assert tanks.runs == 3


async def test_a_tag_of_the_body_changes_with_the_body(send: Any, tanks: Tanks) -> None:
    etag = (await send("GET", "/body")).headers["etag"]
    tanks.body = b"another"

    changed = await send("GET", "/body", headers={"If-None-Match": etag})
    head = await send("GET", "/body", headers={"If-None-Match": changed.headers["etag"]})

    assert (changed.status_code, changed.text, head.status_code) == (200, "another", 304)


async def test_what_a_route_declares_is_what_it_tells(send: Any) -> None:
    told = {path: await send("GET", path) for path in ("/body", "/varied", "/told", "/row")}

    assert {path: each.headers["cache-control"] for path, each in told.items()} == {
        "/body": "public, max-age=60, stale-while-revalidate=30",
        "/varied": "private, max-age=5",
        "/told": "private, max-age=5",
        "/row": "private, no-cache",
    }
    assert vary(told["/body"]) <= {"accept"}
    assert vary(told["/varied"]) == {"accept-encoding", "accept-language", "authorization"}
    assert vary(told["/told"]) == {"accept-language", "authorization"}


async def test_an_error_carries_no_validator_and_is_not_kept(send: Any) -> None:
    missing = await send("GET", "/missing", headers={"If-None-Match": "*"})

    assert missing.status_code == 404
    assert missing.headers["cache-control"] == "no-store"
    assert "etag" not in missing.headers


async def test_an_answer_that_sets_a_cookie_is_private(send: Any) -> None:
    response = await send("GET", "/cookie")

    assert response.headers["cache-control"] == "private, no-cache"
    assert "session" in response.headers["set-cookie"]


async def test_what_is_streamed_has_the_policy_and_no_tag(send: Any) -> None:
    response = await send("GET", "/streamed", headers={"If-None-Match": "*"})

    assert (response.status_code, response.content) == (200, b"ab")
    assert response.headers["cache-control"].startswith("public, max-age=60")
    assert "etag" not in response.headers


async def test_nobody_learns_from_a_tag_what_he_may_not_read(send: Any, tanks: Tanks) -> None:
    token = tanks.issuer.mint("manager")
    tag = tanks.row_tag()

    stranger = await send("GET", "/mine", headers={"If-None-Match": tag})
    known = await send(
        "GET", "/mine", headers={"If-None-Match": tag, "Authorization": f"Bearer {token}"}
    )

    assert stranger.status_code == 401
    assert "etag" not in stranger.headers
    assert known.status_code == 304


async def test_what_a_known_caller_gets_is_private_also_where_nothing_is_declared(
    send: Any, tanks: Tanks
) -> None:
    token = tanks.issuer.mint("manager")
    headers = {"Authorization": f"Bearer {token}"}

    careless = await send("GET", "/careless", headers=headers)

    assert careless.headers.get_list("cache-control") == ["private, no-store"]


@pytest.mark.parametrize("reason", ["", "prices are the same for everybody"])
@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_public_answers_to_known_callers_are_refused_at_start(framework: str, reason: str) -> None:
    policy = CachePolicy(is_private=False, max_age_s=60, shared_despite_auth=reason)
    start = {"fastapi": start_fastapi, "flask": start_flask}[framework]

    if reason:
        start(policy)
    else:
        with pytest.raises(ConfigurationError, match=r"/prices.*public"):
            start(policy)


def start_fastapi(policy: CachePolicy) -> None:
    app = FastAPI(openapi_url=None)
    known = Depends(fastapi_callers.RequirePermission("nodes:read"))

    @app.get("/prices", dependencies=[known, Depends(CacheRoute(policy))])
    async def prices() -> None: ...

    install_caching(app)


def start_flask(policy: CachePolicy) -> None:
    app = flask.Flask(__name__, static_folder=None)

    @app.get("/prices")
    @flask_callers.RequirePermission("nodes:read")
    @CacheView(policy)
    def prices() -> Any: ...

    init_caching(app)


def test_a_view_whose_tag_would_be_asked_before_its_caller_is_refused() -> None:
    def view() -> None: ...

    guarded = flask_callers.RequirePermission("nodes:read")(view)

    with pytest.raises(ConfigurationError, match="below"):
        CacheView()(guarded)
