"""What is outside the scope is answered as what never was, and the noes are counted."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from tests.app.test_flask_application import flask_over
from tests.app.worlds import World, world

from evara_core.access.principal import Role
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from evara_core.testing.clock import ManualClock

FOREIGN = {
    "/api/v1/nodes/{}": "n-k-other-1",
    "/api/v1/nodes/{}/telemetry": "n-k-other-1",
    "/api/v1/nodes/{}/series": "n-k-other-1",
    "/api/v1/alerts/{}": "n-k-other-1-tank-low",
}


@pytest.fixture
async def place(sqlite_database_url: str, clock: ManualClock) -> AsyncIterator[World]:
    issuer = TokenIssuer(clock=clock)
    async with world(
        sqlite_database_url, Role.CUSTOMER, issuer=issuer, clock=clock, has_others=True
    ) as found:
        token = issuer.mint("caller")
        found.headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "r-1"}
        yield found


@asynccontextmanager
async def asked_of(place: World) -> AsyncIterator[list[str]]:
    """Collect the statements that the database is asked."""
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    engine = place.parts.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("path", FOREIGN)
async def test_a_row_of_somebody_else_takes_the_way_of_one_that_never_was(
    place: World, path: str
) -> None:
    async with asked_of(place) as statements:
        foreign = await place.ask("GET", path.format(FOREIGN[path]))
        of_foreign, statements[:] = list(statements), []
        missing = await place.ask("GET", path.format("no-such"))

    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert foreign.content == missing.content
    assert of_foreign == statements


async def test_what_is_seen_but_not_permitted_is_403(place: World) -> None:
    seen = await place.ask("GET", "/api/v1/nodes/n-k-own-1")
    changed = await place.ask(
        "PATCH", "/api/v1/nodes/n-k-own-1", json={"label": "x"}, headers={"If-Match": "*"}
    )

    assert (seen.status_code, changed.status_code) == (200, 403)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="evara_core.access.probes")
    return caplog


async def test_probes_are_counted_by_principal_in_the_log(
    place: World, log: pytest.LogCaptureFixture
) -> None:
    for path, foreign in FOREIGN.items():
        await place.ask("GET", path.format(foreign))
    await place.ask("GET", "/api/v1/users")

    told = [line for line in log.messages if line.startswith("refused: ")]
    assert [line.rpartition("count=")[2] for line in told] == ["1", "2", "3", "4", "5"]
    assert all("principal=caller" in line and "request=r-1" in line for line in told)
    assert "reason=not_visible" in told[0]
    assert "reason=not_granted" in told[4]
    assert not any("Bearer" in line for line in told)


async def test_flask_counts_them_too(place: World, log: pytest.LogCaptureFixture) -> None:
    async with flask_over(place.parts) as app:
        client = app.test_client()
        for node in ("n-k-other-1", "no-such"):
            client.get(f"/api/v1/nodes/{node}", headers=place.headers)

    told = [line for line in log.messages if line.startswith("refused: ")]
    assert [line.rpartition("count=")[2] for line in told] == ["1", "2"]
