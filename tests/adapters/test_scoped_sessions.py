"""One session for each request, of the rows of who calls, in each framework and database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio
import flask
import httpx
import psycopg
import pytest
from sqlalchemy.exc import InvalidRequestError
from tests.adapters.scoped_world import (
    FOREIGN,
    MISSING,
    OPERATIONS,
    UNCHANGED,
    Send,
    World,
    build,
    sender,
)

from evara_core.adapters.flask.scoped import Scoped as FlaskScoped
from evara_core.errors import ConfigurationError
from evara_core.testing.clock import ManualClock

FRAMEWORKS = ("fastapi", "flask")
BOTH_WAYS = pytest.mark.parametrize("way", ["read", "write"])


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.server),
        pytest.param("two walls", marks=pytest.mark.server),
    ],
)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Its kind, and where it is: with tables, and with row-level security if it has two walls."""
    kind = request.param
    if kind == "sqlite":
        yield kind, f"sqlite:///{tmp_path_factory.mktemp('scoped')}/tankers.db"
        return
    server, name = request.getfixturevalue("postgres_server").url, f"evara_test_{uuid4().hex[:16]}"
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield kind, url
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def world(database: tuple[str, str], clock: ManualClock) -> AsyncIterator[World]:
    kind, url = database
    world = World(url=url, clock=clock)
    world.make(walls=kind == "two walls")
    world.fill()
    yield world
    await world.close()


@pytest.fixture(params=FRAMEWORKS)
def send(request: pytest.FixtureRequest, world: World, database: tuple[str, str]) -> Send:
    """Ask for a path as a user, of an application in one of the frameworks."""
    app = build(request.param, world, walls=database[0] == "two walls")
    return sender(request.param, world, app)


def code(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["code"]


@BOTH_WAYS
async def test_rows_of_others_are_neither_seen_nor_counted(send: Send, way: str) -> None:
    own = [(await send(f"/{way}/{name}")).json()["data"] for name in ("plates", "counts")]
    others = [(await send(f"/{way}/{name}", "ben")).json()["data"] for name in ("plates", "counts")]

    assert own == [["KA-01"], [1, 1, 5]]
    assert others == [["KA-02"], [1, 1, 9]]


@pytest.mark.parametrize("path", ["/read/one", "/write/one", "/write/rename"])
async def test_a_foreign_row_is_404_as_a_missing_one_is(
    send: Send, world: World, path: str
) -> None:
    foreign = await send(path, key=FOREIGN)
    missing = await send(path, key=MISSING)

    assert foreign.status_code == missing.status_code == 404
    assert foreign.json()["errors"] == missing.json()["errors"]
    assert world.everything() == UNCHANGED


async def test_a_change_of_all_rows_changes_those_of_the_caller(send: Send, world: World) -> None:
    renamed = await send("/write/rename_all")
    removed = await send("/write/remove_trips")

    assert renamed.json()["data"] == ["ALL"]
    assert removed.status_code == 200
    assert world.everything() == ([("d1", "ALL"), ("d2", "KA-02")], 1)


async def test_what_is_added_belongs_to_the_caller(send: Send, world: World) -> None:
    added = await send("/write/add")

    assert added.json()["data"] == ["KA-01", "KA-03"]
    assert world.everything()[0][-1] == ("d1", "KA-03")


@pytest.mark.parametrize(("name", "key"), [("give_away", 0), ("add_trip", FOREIGN)])
async def test_nothing_is_given_to_others(send: Send, world: World, name: str, key: int) -> None:
    response = await send(f"/write/{name}", key=key)

    assert response.status_code in {403, 404}
    assert world.everything() == UNCHANGED


async def test_a_broken_constraint_is_a_conflict(send: Send, world: World) -> None:
    response = await send("/write/add_twice")

    assert (response.status_code, code(response)) == (409, "CONFLICT")
    assert world.everything() == UNCHANGED


@pytest.mark.parametrize(("name", "status"), [("forget", 200), ("flush_and_fail", 404)])
async def test_what_is_not_committed_is_rolled_back(
    send: Send, world: World, name: str, status: int
) -> None:
    response = await send(f"/write/{name}")

    assert response.status_code == status
    assert world.everything() == UNCHANGED


@pytest.mark.parametrize("name", ["add", "rename", "rename_all", "remove_trips", "forget"])
async def test_a_session_that_reads_changes_nothing(send: Send, world: World, name: str) -> None:
    response = await send(f"/read/{name}", key=1)

    assert (response.status_code, code(response)) == (500, "STATEMENT_REFUSED")
    assert world.everything() == UNCHANGED


async def test_an_error_of_other_files_is_not_one_of_the_database(send: Send) -> None:
    response = await send("/read/read_a_file")

    assert (response.status_code, code(response)) == (500, "INTERNAL_ERROR")


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_database_that_is_away_is_503(framework: str, clock: ManualClock) -> None:
    world = World(url="postgresql://nobody@127.0.0.1:1/nothing", clock=clock)
    send = sender(framework, world, build(framework, world))

    response = await send("/read/plates")

    assert response.status_code == 503
    await world.close()


@BOTH_WAYS
async def test_a_session_is_over_when_its_request_is(send: Send, world: World, way: str) -> None:
    await send(f"/{way}/plates")
    await send(f"/{way}/plates")

    first, second = world.kept
    assert first is not second
    for session in world.kept:
        with pytest.raises(InvalidRequestError, match="permanently closed"):
            session.connection()
        assert not list(session)
    assert world.blocking.pool.checkedout() == world.awaited.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_session_is_over_when_its_request_failed(send: Send, world: World) -> None:
    await send("/write/flush_and_fail")

    with pytest.raises(InvalidRequestError, match="permanently closed"):
        world.kept[0].connection()


async def test_two_requests_at_once_do_not_mix(send: Send) -> None:
    answers: dict[str, Any] = {}

    async def ask(user: str) -> None:
        answers[user] = (await send("/meet", user)).json()["data"]

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "asha")
        group.start_soon(ask, "ben")

    assert answers == {"asha": [["KA-01"], ["KA-01"]], "ben": [["KA-02"], ["KA-02"]]}


@pytest.mark.parametrize(
    ("user", "status"),
    [(None, 401), ("stranger", 401), ("without_id", 403), ("of_no_role", 403), ("root", 403)],
)
@pytest.mark.parametrize("path", ["/read/plates", "/meet"])
async def test_without_a_limited_scope_there_is_no_session(
    send: Send, world: World, user: str | None, status: int, path: str
) -> None:
    response = await send(path, user)

    assert response.status_code == status
    assert world.kept == []
    assert not world.meeting.n_waiting


async def test_a_session_needs_the_permission_of_its_route(send: Send, world: World) -> None:
    response = await send("/write/add", "auditor")

    assert response.status_code == 403
    assert world.kept == []


@pytest.mark.parametrize("user", [None, "asha", "root"])
async def test_a_public_route_that_came_late_is_refused(send: Send, user: str | None) -> None:
    response = await send("/open", user)

    assert response.status_code in {401, 403, 500}
    assert "it ran" not in response.text


@BOTH_WAYS
@pytest.mark.parametrize("name", ["own_sql", "own_change", "sql_of_the_driver"])
async def test_sql_that_cannot_be_limited_is_refused(send: Send, way: str, name: str) -> None:
    response = await send(f"/{way}/{name}")

    assert (response.status_code, code(response)) == (500, "STATEMENT_REFUSED")
    assert "KA-0" not in response.text


async def test_nothing_elevates_by_accident(send: Send, world: World) -> None:
    for user in ("asha", "root"):
        for name in OPERATIONS:
            await send(f"/read/{name}", user)

    session = world.kept[0]
    reached = {*dir(session), *dir(session.bind)}
    assert not {"elevated", "engine_for", "_elevated"} & reached
    assert world.elevations == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_public_route_with_a_session_stops_the_start(
    framework: str, clock: ManualClock, tmp_path: Any
) -> None:
    world = World(url=f"sqlite:///{tmp_path}/t.db", clock=clock)

    with pytest.raises(ConfigurationError, match="/open is public, and works for its caller"):
        build(framework, world, public=True)


@pytest.mark.server
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_wall_alone_limits_sql_as_well(
    framework: str, clock: ManualClock, postgres_url: str
) -> None:
    world = World(url=postgres_url, clock=clock, is_walled=True)
    world.make(walls=True)
    world.fill()
    send = sender(framework, world, build(framework, world))

    read = [await send(f"/read/{name}") for name in ("own_sql", "sql_of_the_driver", "counts")]
    changed = await send("/write/rename_all")
    refused = [await send("/read/rename_all"), await send("/write/give_away")]
    own = await send("/read/own_change")
    everybody = await send("/read/plates", "root")

    assert [each.json()["data"] for each in read] == [["KA-01"], ["KA-01"], [1, 1, 5]]
    assert changed.json()["data"] == ["ALL"]
    assert [each.status_code for each in refused] == [500, 403]
    assert own.status_code >= 500
    assert everybody.status_code == 403
    assert world.everything() == ([("d1", "ALL"), ("d2", "KA-02")], 2)
    await world.close()


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_wall_alone_does_not_open_where_there_is_no_wall(
    framework: str, clock: ManualClock, tmp_path: Any
) -> None:
    world = World(url=f"sqlite:///{tmp_path}/t.db", clock=clock, is_walled=True)
    world.make(walls=False)
    world.fill()
    send = sender(framework, world, build(framework, world))

    response = await send("/read/plates")

    assert response.status_code == 500
    assert "KA-0" not in response.text
    await world.close()


def test_a_view_that_is_awaited_has_no_blocking_session(clock: ManualClock, tmp_path: Any) -> None:
    world = World(url=f"sqlite:///{tmp_path}/t.db", clock=clock)
    reading = FlaskScoped(world.guard(world.blocking, walls=False))

    async def view() -> None: ...

    with pytest.raises(ConfigurationError, match="is awaited"):
        reading(view)


def test_a_view_without_the_decorator_has_no_session(clock: ManualClock, tmp_path: Any) -> None:
    world = World(url=f"sqlite:///{tmp_path}/t.db", clock=clock)
    reading = FlaskScoped(world.guard(world.blocking, walls=False))

    with (
        flask.Flask(__name__).test_request_context("/"),
        pytest.raises(ConfigurationError, match="no session is open"),
    ):
        reading.session()
