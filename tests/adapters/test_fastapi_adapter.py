"""What the FastAPI adapter adds: callers, permissions, lists, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import BaseModel, Field

from evara_core.access.principal import Principal
from evara_core.access.roles import built_in_policy
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.callers import (
    Caller,
    Guard,
    Public,
    RequirePermission,
    current_caller,
    current_principal,
)
from evara_core.adapters.fastapi.lists import ListOf, list_parameters
from evara_core.adapters.fastapi.routes import declared_parameters_only
from evara_core.adapters.starlette.replies import Replies
from evara_core.errors import ConfigurationError
from evara_core.ids import TimeOrderedIds
from evara_core.query.spec import EQUALITY, FieldType, ListQuery, ListSpec, Operator
from evara_core.query.spec import Field as ListField
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from evara_core.access.tokens import VerifiedToken
    from evara_core.testing.clock import ManualClock

THINGS = ListSpec(
    name="things",
    fields=(
        ListField(name="id", type=FieldType.UUID, sortable=True),
        ListField(name="status", operators=EQUALITY, choices=("Online", "Offline"), sortable=True),
        ListField(name="label", operators=frozenset({Operator.IS_NULL}), searchable=True),
        ListField(
            name="made_at",
            type=FieldType.MOMENT,
            operators=frozenset({Operator.GTE, Operator.BETWEEN}),
        ),
    ),
)
USERS = {
    "manager": Principal(user_id="manager", role="community_manager", community_id="c1"),
    "customer": Principal(
        user_id="customer", role="customer", distributor_id="d1", customer_id="k1"
    ),
    "stranger": Principal(user_id="stranger", role="no such role"),
}


class Body(BaseModel):
    name: str = Field(max_length=5)
    inner: dict[str, int] = {}


def make_app(router: APIRouter, issuer: TokenIssuer, clock: ManualClock) -> FastAPI:
    app = FastAPI(openapi_url="/openapi.json", docs_url=None, redoc_url=None)
    app.include_router(router, prefix="/api")

    async def find(token: VerifiedToken) -> Principal | None:
        return USERS.get(token.subject)

    install(
        app,
        replies=Replies(clock=clock),
        ids=TimeOrderedIds(clock=clock),
        guard=Guard(verifier=issuer.verifier(), find_principal=find, policy=built_in_policy()),
        open_paths={"/openapi.json": "describes the interface"},
    )
    return app


def make_router() -> APIRouter:
    router = APIRouter(dependencies=[Depends(declared_parameters_only)])

    @router.get("/me")
    async def me(caller: Annotated[Caller, Depends(current_caller)]) -> Any:
        return {"user": caller.principal.user_id, "until": caller.token.expires_at}

    @router.get("/nodes")
    async def nodes(
        principal: Annotated[Principal, Depends(RequirePermission("nodes:read"))],
    ) -> Any:
        return principal.user_id

    @router.post("/nodes")
    async def write(
        body: Body, principal: Annotated[Principal, Depends(RequirePermission("alerts:write"))]
    ) -> Any:
        return [body.name, principal.user_id]

    @router.get(
        "/things",
        dependencies=[Depends(Public("a test"))],
        openapi_extra=list_parameters(THINGS),
    )
    async def things(query: Annotated[ListQuery, Depends(ListOf(THINGS))]) -> Any:
        return {"limit": query.limit, "fields": query.fields}

    @router.get("/open", dependencies=[Depends(Public("a test"))])
    async def open_to_all(
        limit: Annotated[int, Query(ge=1)] = 3, since: Annotated[int, Query(alias="from")] = 0
    ) -> Any:
        return [limit, since]

    return router


@pytest.fixture
def issuer(clock: ManualClock) -> TokenIssuer:
    return TokenIssuer(clock=clock)


@pytest.fixture
async def client(issuer: TokenIssuer, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(make_router(), issuer, clock)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api") as client:
        yield client


def bearer(issuer: TokenIssuer, user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {issuer.mint(user)}"}


async def test_a_token_of_a_known_user_is_let_in(
    client: httpx.AsyncClient, issuer: TokenIssuer
) -> None:
    response = await client.get("/me", headers=bearer(issuer, "manager"))

    assert response.status_code == 200
    assert response.json() == {"user": "manager", "until": "2026-01-01T01:00:00Z"}


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer abc", "Bearer a.b.c", "bearer  x y"],
)
async def test_without_a_good_token_one_is_nobody(
    client: httpx.AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    response = await client.get("/nodes", headers=headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["errors"] == [
        {"code": "UNAUTHENTICATED", "message": "Sign in to use this"}
    ]


async def test_a_token_of_another_issuer_or_nobody_is_refused_the_same_way(
    client: httpx.AsyncClient, issuer: TokenIssuer, clock: ManualClock
) -> None:
    answers = [
        await client.get("/nodes", headers=bearer(TokenIssuer(clock=clock), "manager")),
        await client.get("/nodes", headers=bearer(issuer, "deleted")),
    ]
    old = bearer(issuer, "manager")
    clock.advance(3_600 + 31)
    answers.append(await client.get("/nodes", headers=old))

    assert {answer.status_code for answer in answers} == {401}
    assert len({str(answer.json()["errors"]) for answer in answers}) == 1


async def test_a_token_in_the_url_is_an_unknown_parameter(
    client: httpx.AsyncClient, issuer: TokenIssuer
) -> None:
    response = await client.get("/me", params={"access_token": issuer.mint("manager")})

    assert response.status_code in {400, 401}


async def test_permissions_are_asked_of_the_policy(
    client: httpx.AsyncClient, issuer: TokenIssuer
) -> None:
    may = await client.get("/nodes", headers=bearer(issuer, "customer"))
    may_not = await client.post("/nodes", headers=bearer(issuer, "customer"), json={"name": "x"})
    stranger = await client.get("/nodes", headers=bearer(issuer, "stranger"))

    assert may.json() == "customer"
    assert may_not.status_code == stranger.status_code == 403
    assert may_not.json()["errors"] == [
        {"code": "FORBIDDEN", "message": "missing permission: alerts:write"}
    ]


async def test_a_bad_body_is_told_field_by_field_without_repeating_it(
    client: httpx.AsyncClient, issuer: TokenIssuer
) -> None:
    response = await client.post(
        "/nodes",
        headers=bearer(issuer, "manager"),
        json={"name": "much too long", "inner": {"a/b~c\n": "SECRET"}},
    )

    assert response.status_code == 400
    assert "SECRET" not in response.text
    assert "too long" not in response.text
    name, inner = response.json()["errors"]
    assert (name["code"], name["field"], name["where"], name["pointer"]) == (
        "VALIDATION_ERROR",
        "name",
        "body",
        "/name",
    )
    assert inner["pointer"] == "/inner/a~1b~0c?"


async def test_what_is_not_json_says_so(client: httpx.AsyncClient, issuer: TokenIssuer) -> None:
    headers = bearer(issuer, "manager") | {"Content-Type": "application/json"}
    for content in (b"{", b"\xff", b"[" * 100_000):
        response = await client.post("/nodes", headers=headers, content=content)

        assert response.status_code == 400, content[:10]
        assert response.json()["errors"][0]["code"] in {"INVALID_JSON", "HTTP_400"}


async def test_parameters_that_are_not_declared_are_refused(client: httpx.AsyncClient) -> None:
    good = await client.get("/open", params={"limit": 5, "from": 2})
    unknown = await client.get("/open", params={"limits": 5})
    wrong = await client.get("/open", params={"limit": "x"})

    assert good.json() == [5, 2]
    assert unknown.status_code == wrong.status_code == 400
    assert unknown.json()["errors"][0]["field"] == "limits"
    assert unknown.json()["errors"][0]["allowed"] == ["from", "limit"]
    assert wrong.json()["errors"][0]["field"] == "limit"


async def test_a_list_reads_its_parameters_by_its_spec(client: httpx.AsyncClient) -> None:
    good = await client.get("/things", params={"limit": 500, "fields": "id,label"})
    bad = await client.get("/things", params={"status": "Onlin"})
    unknown = await client.get("/things", params={"colour": "blue"})

    assert good.json() == {"limit": 100, "fields": ["id", "label"]}
    assert bad.status_code == unknown.status_code == 400
    assert bad.json()["errors"][0]["allowed"] == ["Online", "Offline"]
    assert unknown.json()["errors"][0]["field"] == "colour"


async def test_the_interface_describes_the_list(client: httpx.AsyncClient) -> None:
    described = (await client.get("http://test/openapi.json")).json()
    operation = described["paths"]["/api/things"]["get"]
    parameters = {each["name"]: each for each in operation["parameters"]}

    assert {
        "limit",
        "cursor",
        "sort",
        "search",
        "fields",
        "status",
        "status__ne",
        "label__is_null",
        "made_at__gte",
        "made_at__between",
    } <= parameters.keys()
    assert parameters["status"]["schema"]["items"]["enum"] == ["Online", "Offline"]
    assert parameters["label__is_null"]["schema"] == {"type": "boolean"}
    assert "security" in described["paths"]["/api/nodes"]["get"]
    assert "security" not in operation


@pytest.mark.parametrize("depends", [None, Depends(RequirePermission("nodes:fly"))])
def test_a_route_that_says_nothing_or_nonsense_is_refused_at_start(
    issuer: TokenIssuer, clock: ManualClock, depends: Any
) -> None:
    router = APIRouter()

    @router.get("/silent", dependencies=[depends] if depends else [])
    async def silent() -> None: ...

    with pytest.raises(ConfigurationError, match=r"/api/silent|nodes:fly"):
        make_app(router, issuer, clock)


def test_a_route_that_wants_the_caller_has_said_enough(
    issuer: TokenIssuer, clock: ManualClock
) -> None:
    router = APIRouter()

    @router.get("/mine")
    async def mine(_: Annotated[Principal, Depends(current_principal)]) -> None: ...

    assert make_app(router, issuer, clock)


async def test_without_install_nobody_is_let_in() -> None:
    app = FastAPI()

    @app.get("/mine")
    async def mine(
        request: Request, _: Annotated[Principal, Depends(current_principal)]
    ) -> None: ...

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        with pytest.raises(ConfigurationError, match="install"):
            await client.get("/mine", headers={"Authorization": "Bearer x"})


def test_dependencies_tell_what_they_are() -> None:
    assert repr(RequirePermission("nodes:read")) == "RequirePermission('nodes:read')"
    assert repr(Public("health")) == "Public('health')"
