"""What ends a sign-in in one process is known to the next request in every other one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from sqlalchemy import update
from tests.app.test_flask_application import flask_over
from tests.app.worlds import another, caller, world

from evara_core.access.principal import Principal, Role
from evara_core.storage.fleet import add_user
from evara_core.storage.statements import Query
from evara_core.storage.tables import users
from evara_core.storage.trail import entries
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.testing.clock import ManualClock

    Ask = Callable[..., Awaitable[httpx.Response]]

NODES = "/api/v1/nodes"


class Places:
    """Applications of two processes and two frameworks over one database."""

    def __init__(self, here: Any, there: Any, flask: Any, issuer: TokenIssuer) -> None:
        self.here, self.there, self.flask, self.issuer = here, there, flask, issuer
        self.token = issuer.mint("caller", claims={"session_id": "s-1"})
        self.other = issuer.mint("caller", claims={"session_id": "s-2"})

    async def statuses(self, token: str, path: str = NODES) -> list[int]:
        """Return what each application but the first one answers."""
        headers = {"Authorization": f"Bearer {token}"}
        awaited = await self.there.ask("GET", path, headers=headers)

        def ask() -> int:
            return self.flask.test_client().get(path, headers=headers).status_code

        return [awaited.status_code, await anyio.to_thread.run_sync(ask)]

    async def do(self, method: str, path: str, who: str | None = None, **given: Any) -> int:
        headers = {"Authorization": f"Bearer {who or self.token}", **given.pop("headers", {})}
        return (await self.here.ask(method, path, headers=headers, **given)).status_code

    async def sql(self, engine: AsyncEngine, **values: object) -> None:
        async def flow() -> None:
            async with AsyncUnit(engine) as unit:
                await unit.run(_set(values))

        await flow()


def _set(values: dict[str, object]) -> Any:
    yield Query(update(users).where(users.c.user_id == "caller").values(**values))


@pytest.fixture
async def places(sqlite_database_url: str, clock: ManualClock) -> AsyncIterator[Places]:
    issuer = TokenIssuer(clock=clock)
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(
            world(
                sqlite_database_url, Role.DISTRIBUTOR, issuer=issuer, clock=clock, has_others=False
            )
        )
        async with AsyncUnit(here.engine) as unit:
            root = Principal(user_id="root", role=Role.SUPERADMIN)
            await unit.run(add_user(root, name="Root", created_at=START))
        there = await stack.enter_async_context(
            another(sqlite_database_url, issuer=issuer, clock=clock)
        )
        flask = await stack.enter_async_context(flask_over(there.parts))
        found = Places(here, there, flask, issuer)
        assert await found.statuses(found.token) == [200, 200]
        assert await found.statuses(found.other) == [200, 200]
        yield found


async def test_a_sign_in_that_was_ended_is_refused_everywhere_and_others_of_the_user_not(
    places: Places,
) -> None:
    assert await places.do("POST", "/api/v1/auth/sign-out") == 204

    assert await places.statuses(places.token) == [401, 401]
    assert await places.do("GET", NODES) == 401
    assert await places.statuses(places.other) == [200, 200]


async def test_a_user_that_was_signed_out_is_refused_everywhere_until_a_newer_token(
    places: Places, clock: ManualClock
) -> None:
    root = places.issuer.mint("root")

    assert await places.do("POST", "/api/v1/users/caller/sign-out", root) == 204

    assert await places.statuses(places.token) == [401, 401]
    assert await places.statuses(places.other) == [401, 401]
    clock.advance(2)
    assert await places.statuses(places.issuer.mint("caller")) == [200, 200]


async def test_a_user_that_was_made_inactive_is_refused_everywhere(places: Places) -> None:
    root = places.issuer.mint("root")
    changed = await places.do(
        "PATCH",
        "/api/v1/users/caller",
        root,
        json={"is_active": False},
        headers={"If-Match": "*"},
    )

    assert changed == 200
    assert await places.statuses(places.token) == [401, 401]
    assert await places.do("GET", NODES) == 401


async def test_a_role_that_was_changed_counts_everywhere(places: Places) -> None:
    assert await places.statuses(places.token, "/api/v1/alerts") == [200, 200]

    await places.sql(places.here.engine, role="no such role")

    assert await places.statuses(places.token, "/api/v1/alerts") == [403, 403]


async def test_a_tenant_that_was_changed_counts_everywhere(places: Places) -> None:
    ids = caller(Role.CUSTOMER)
    node = f"{NODES}/n-k-next-1"
    assert await places.statuses(places.token, node) == [200, 200]

    await places.sql(
        places.here.engine,
        role="customer",
        community_id=ids.community_id,
        customer_id=ids.customer_id,
    )

    assert await places.statuses(places.token, node) == [404, 404]


async def test_a_token_without_a_session_is_not_ended_by_itself(places: Places) -> None:
    bare = places.issuer.mint("caller")

    assert await places.do("POST", "/api/v1/auth/sign-out", bare) == 400
    assert await places.statuses(bare) == [200, 200]


async def test_who_ended_what_is_in_the_audit_log(places: Places) -> None:
    await places.do("POST", "/api/v1/auth/sign-out")
    await places.do("POST", "/api/v1/users/user-of-k-own/sign-out", places.other)
    stranger = await places.do("POST", "/api/v1/users/root/sign-out", places.other)

    found = await places.here.parts.read(entries())

    assert stranger == 404
    assert ["auth:sign_out" in found[0].content, "signed_out_at" in found[1].content] == [True] * 2
    assert len(found) == 2
