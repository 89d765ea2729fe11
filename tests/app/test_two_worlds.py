"""Rows that a caller may not see change not one byte of any answer.

Each request is asked in two worlds, one of which holds rows of others too. Routes come from the
application itself: a new one without a request fails.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from tests.app.two_worlds_requests import REQUESTS, UNCOMPARED, Ask
from tests.app.worlds import CALLERS, World, world

from evara_core.adapters.fastapi.routes import routes_of
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from evara_core.access.principal import Role

VARYING = {"date", "x-request-id"}


def routes(app: Any) -> set[tuple[str, str]]:
    """Return every route of *app*, by method and path."""
    return {
        (method, getattr(route, "path", str(route)))
        for route in routes_of(app)
        for method in (getattr(route, "methods", None) or {"ANY"})
        if method != "HEAD"
    }


@pytest.fixture(params=list(CALLERS), ids=str)
async def worlds(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[tuple[World, World]]:
    role: Role = request.param
    issuer = TokenIssuer(clock=clock)
    async with AsyncExitStack() as stack:
        found = []
        for has_others in (False, True):
            path = tmp_path / f"{has_others}.db"
            shutil.copy(sqlite_template, path)
            found.append(
                await stack.enter_async_context(
                    world(
                        f"sqlite:///{path}",
                        role,
                        issuer=issuer,
                        clock=clock,
                        has_others=has_others,
                    )
                )
            )
        token = issuer.mint("caller")
        for each in found:
            each.headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "r-1"}
        yield found[0], found[1]


async def answer(place: World, ask: Ask, remembered: dict[str, str]) -> tuple[Any, ...]:
    """Return all that a client sees of the answer."""
    given = ask.filled(remembered)
    response = await place.ask(
        given.method, given.path, headers=given.headers, content=given.content
    )
    ask.remember(response, remembered)
    headers = sorted(pair for pair in response.headers.multi_items() if pair[0] not in VARYING)
    return response.status_code, headers, response.content


async def test_every_route_has_a_request(worlds: tuple[World, World]) -> None:
    asked = {(ask.method, ask.route) for ask in REQUESTS}

    assert routes(worlds[0].app) == asked | UNCOMPARED.keys()


async def test_rows_of_others_change_no_byte_of_any_answer(worlds: tuple[World, World]) -> None:
    remembered: tuple[dict[str, str], dict[str, str]] = ({}, {})
    leaks, seen = [], Counter[int]()

    for ask in REQUESTS:
        without = await answer(worlds[0], ask, remembered[0])
        beside = await answer(worlds[1], ask, remembered[1])
        seen[without[0]] += 1
        if without != beside:
            leaks.append(f"{ask.method} {ask.path} {ask.content}: {without}\n    {beside}")

    assert seen[200] > 100, "it is about nothing if most is refused"
    assert leaks == []
