"""Rows that a caller may not see change not one byte of any answer.

Each request is asked in two worlds, one of which holds rows of others too. Routes come from the
application itself: a new one without a request fails.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from anyio import Event, create_task_group, to_thread
from tests.app.conftest import until
from tests.app.test_flask_application import flask_over
from tests.app.two_worlds_requests import REQUESTS, UNCOMPARED, Ask
from tests.app.worlds import CALLERS, MINE, STRANGER, World, world

from evara_core.access.principal import Role
from evara_core.access.tenancy import PLATFORM_TOPIC
from evara_core.adapters.fastapi.routes import routes_of
from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from flask import Flask

    from evara_core.testing.clock import ManualClock

VARYING = {"date", "x-request-id"}


def routes(app: Any) -> set[tuple[str, str]]:
    """Return every route of *app*, by method and path."""
    return {
        (method, getattr(route, "path", str(route)))
        for route in routes_of(app)
        for method in (getattr(route, "methods", None) or {"ANY"})
        if method != "HEAD"
    }


@asynccontextmanager
async def pair(
    urls: tuple[str, str], role: Role, clock: ManualClock
) -> AsyncIterator[tuple[World, World]]:
    """Yield two worlds over two empty databases; only the second one holds rows of others."""
    issuer = TokenIssuer(clock=clock)
    token = issuer.mint("caller")
    async with AsyncExitStack() as stack:
        found = []
        for url, has_others in zip(urls, (False, True), strict=True):
            made = world(url, role, issuer=issuer, clock=clock, has_others=has_others)
            found.append(await stack.enter_async_context(made))
            found[-1].headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "r-1"}
        yield found[0], found[1]


@pytest.fixture
def two_files(sqlite_template: Path, tmp_path: Path) -> tuple[str, str]:
    paths = [shutil.copy(sqlite_template, tmp_path / f"{name}.db") for name in "ab"]
    return f"sqlite:///{paths[0]}", f"sqlite:///{paths[1]}"


@pytest.fixture
def two_databases(postgres_database_url: str, postgres_url: str) -> Iterator[tuple[str, str]]:
    """Two copies of the empty one."""
    parts = urlsplit(postgres_database_url)
    names = [f"evara_test_{uuid4().hex[:16]}" for _ in "ab"]
    with psycopg.connect(postgres_url, autocommit=True) as link:
        for name in names:
            link.execute(f'CREATE DATABASE "{name}" TEMPLATE "{parts.path[1:]}"')
    yield tuple(urlunsplit(parts._replace(path=f"/{name}")) for name in names)
    with psycopg.connect(postgres_url, autocommit=True) as link:
        for name in names:
            link.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=list(CALLERS), ids=str)
async def worlds(
    request: pytest.FixtureRequest, two_files: tuple[str, str], clock: ManualClock
) -> AsyncIterator[tuple[World, World]]:
    async with pair(two_files, request.param, clock) as found:
        yield found


async def answer(place: World, ask: Ask, remembered: dict[str, str]) -> tuple[Any, ...]:
    """Return all that a client sees of the answer."""
    given = ask.filled(remembered)
    response = await place.ask(
        given.method, given.path, headers=given.headers, content=given.content
    )
    ask.remember(response, remembered)
    headers = sorted(pair for pair in response.headers.multi_items() if pair[0] not in VARYING)
    return response.status_code, headers, response.content


async def leaks(worlds: tuple[World, World], asked: tuple[Ask, ...]) -> list[str]:
    """Return the requests that are answered otherwise where there are rows of others."""
    remembered: tuple[dict[str, str], dict[str, str]] = ({}, {})
    found, seen = [], Counter[int]()
    for ask in asked:
        without = await answer(worlds[0], ask, remembered[0])
        beside = await answer(worlds[1], ask, remembered[1])
        seen[without[0]] += 1
        if without != beside:
            found.append(f"{ask.method} {ask.path} {ask.content}: {without}\n    {beside}")
    assert seen[200] > len(asked) // 20, "it is about nothing if most is refused"
    assert not seen[500]
    return found


async def test_every_route_has_a_request(worlds: tuple[World, World]) -> None:
    asked = {(ask.method, ask.route) for ask in REQUESTS}

    assert routes(worlds[0].app) == asked | UNCOMPARED.keys()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_rows_of_others_change_no_byte_of_any_answer(worlds: tuple[World, World]) -> None:
    assert await leaks(worlds, REQUESTS) == []


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", [Role.DISTRIBUTOR, Role.CUSTOMER], ids=str)
async def test_nor_do_they_on_postgresql(
    role: Role, two_databases: tuple[str, str], clock: ManualClock
) -> None:
    async with pair(two_databases, role, clock) as worlds:
        assert await leaks(worlds, REQUESTS[::5]) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nor_through_flask(worlds: tuple[World, World]) -> None:
    async with flask_over(worlds[0].parts) as one, flask_over(worlds[1].parts) as two:
        known = {
            (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
            for rule in one.url_map.iter_rules()
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }
        asked = [ask for ask in REQUESTS if (ask.method, ask.route) in known]

        def told(app: Flask, ask: Ask) -> tuple[Any, ...]:
            headers = worlds[0].headers | ask.headers
            found = app.test_client().open(
                ask.path, method=ask.method, headers=headers, data=ask.content
            )
            kept = sorted((k, v) for k, v in found.headers.items() if k.lower() not in VARYING)
            return found.status_code, kept, found.get_data()

        def compare() -> list[Ask]:
            return [ask for ask in asked if told(one, ask) != told(two, ask)]

        assert {(ask.method, ask.route) for ask in asked} == known - {("GET", "/api/stream")}
        assert await to_thread.run_sync(compare) == []


async def test_nor_does_what_others_do_change_the_live_stream(
    worlds: tuple[World, World],
) -> None:
    heard = []
    for place, others in zip(worlds, ((), STRANGERS), strict=True):
        async with listening(place) as stream:
            for number in range(3):
                await place.bus.publish([*others, message(f"m{number}", MINE.tenancy.topics)])
            last = message("last", MINE.tenancy.topics, body=told(last=True))
            await place.bus.publish([*others, last, *others])
            await until(lambda stream=stream: "last" in stream.text)
        # Ids are positions in the history that all share, and the pause is drawn by lot.
        varying = ("id:", "retry:")
        heard.append([line for line in stream.text.splitlines() if not line.startswith(varying)])

    assert heard[0] == heard[1]


def told(**more: bool) -> bytes:
    return dump_json({"kind": "acknowledged", "episode_id": "e", **more})


def message(name: str, topics: frozenset[str], *, body: bytes | None = None) -> Message:
    body = told() if body is None else body
    return Message(message_id=name, kind="alert", key=name, topics=frozenset(topics), body=body)


STRANGERS = tuple(
    message(f"of {topics}", frozenset(topics), body=told(foreign=True))
    for topics in ({PLATFORM_TOPIC}, set(STRANGER.tenancy.topics))
)


class Listened:
    def __init__(self) -> None:
        self.text = ""
        self.left = Event()
        self.is_open = False
        self._is_asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, sent: Any) -> None:
        self.text += sent.get("body", b"").decode()
        self.is_open = self.is_open or sent.get("status") == 200


@asynccontextmanager
async def listening(place: World) -> AsyncIterator[Listened]:
    """Open the event stream of *place* as a server would."""
    stream = Listened()
    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/stream",
        "raw_path": b"/api/v1/stream", "query_string": b"",
        "headers": [(b"authorization", place.headers["Authorization"].encode())],
        "scheme": "http", "http_version": "1.1", "server": ("localhost", 80),
        "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    async with create_task_group() as tasks:
        tasks.start_soon(place.app, scope, stream.receive, stream.send)
        await until(lambda: stream.is_open)
        yield stream
        stream.left.set()
