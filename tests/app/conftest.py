"""The whole reference application in this process, in time that moves when a test says so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from evara_core.realtime.wire import EventParser, ServerSentEvent
from evara_core.testing.clock import ManualClock
from fastapi_app.application import create_app
from fastapi_app.demo.run import DemoOptions, demo_parts
from fastapi_app.parts import Parts, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from fastapi import FastAPI

NODES = 10
STEP_S = 5.0


def sleeping_by(clock: ManualClock) -> Callable[[float], Awaitable[None]]:
    """Return a sleep that ends when *clock* has been moved on so far; short ones end at once."""

    async def sleep(seconds: float) -> None:
        due_s = clock.elapsed_s() + seconds
        await anyio.lowlevel.checkpoint()
        if seconds >= 1:
            await until(lambda: clock.elapsed_s() >= due_s)

    return sleep


def refusal(response: httpx.Response) -> dict[str, Any]:
    """Return the first error of an answer that has the one shape."""
    body = response.json()
    assert list(body) == ["status", "data", "meta", "errors"]
    assert (body["status"], body["data"]) == ("error", None)
    assert body["meta"]["request_id"] == response.headers["x-request-id"]
    assert "traceback" not in response.text.lower()
    return body["errors"][0]


async def until(holds: Callable[[], object]) -> None:
    """Wait, in real time, for what others do."""
    while not holds():  # noqa: ASYNC110 - whoever does it tells nobody
        await anyio.sleep(0.002)


@dataclass
class Platform:
    """The application, and ways to use it."""

    parts: Parts
    app: FastAPI
    clock: ManualClock
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def token(self, who: str) -> str:
        assert self.parts.demo is not None
        return next(user.token for user in self.parts.demo.users() if user.role == who)

    def client(self, who: str | None = "superadmin", **headers: str) -> httpx.AsyncClient:
        if who is not None:
            headers["Authorization"] = f"Bearer {self.token(who)}"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost", headers=headers
        )

    async def get(self, path: str, who: str | None = "superadmin", **params: Any) -> httpx.Response:
        async with self.client(who) as client:
            return await client.get(path, params=params)

    async def data(self, path: str, who: str = "superadmin", **params: Any) -> Any:
        response = await self.get(path, who, **params)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def is_up(self, nodes: int) -> None:
        """Wait until the monitor knows its nodes, so that their moments are on the grid."""
        monitor = self.parts.monitor
        assert monitor is not None
        await until(lambda: monitor.status().nodes == nodes)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in steps, each until all that is due has been looked at and told."""
        monitor = self.parts.monitor
        assert monitor is not None
        for _ in range(round(seconds / STEP_S)):
            looks = monitor.status().looks + monitor.status().nodes
            self.clock.advance(STEP_S)
            await until(lambda looks=looks: monitor.status().looks >= looks)
            await until(lambda: monitor.status().queued_rows == 0)
        end = await self.parts.bus.end()
        await until(lambda: self.parts.hub.position == end)

    @asynccontextmanager
    async def stream(
        self, who: str = "superadmin", *, after: str | None = None
    ) -> AsyncIterator[Stream]:
        """Open an event stream as a server would: httpx waits for the end of an answer."""
        stream = Stream()
        headers = [(b"authorization", f"Bearer {self.token(who)}".encode())]
        if after is not None:
            headers.append((b"last-event-id", after.encode()))
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/stream",
            "raw_path": b"/api/v1/stream",
            "query_string": b"",
            "headers": headers,
            "scheme": "http",
            "http_version": "1.1",
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.app, scope, stream.receive, stream.send)
            yield stream
            stream.left.set()


class Stream:
    """The client's side of an event stream."""

    def __init__(self) -> None:
        self.status = 0
        self.events: list[ServerSentEvent] = []
        self.left = anyio.Event()
        self._parser = EventParser()
        self._is_asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self.status == 200:
            self.events += self._parser.feed(message.get("body", b""))

    async def has(self, kind: str) -> ServerSentEvent:
        """Return the first event of *kind*, when it comes."""
        await until(lambda: any(event.event == kind for event in self.events))
        return next(event for event in self.events if event.event == kind)

    async def is_answered(self) -> int:
        await until(lambda: self.status)
        return self.status


@asynccontextmanager
async def demonstration(
    folder: Path,
    clock: ManualClock,
    *,
    nodes: int = NODES,
    options: DemoOptions | None = None,
    within_s: float = 50,
) -> AsyncIterator[Platform]:
    options = options or DemoOptions(nodes=nodes, folder=folder)
    with anyio.fail_after(within_s):
        async with demo_parts(options, folder, clock=clock, sleep=sleeping_by(clock)) as parts:
            app = create_app(parts)
            async with running(parts):
                platform = Platform(parts, app, clock)
                await platform.is_up(options.nodes)
                yield platform


@pytest.fixture
async def platform(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Platform]:
    """Ten nodes, after the minute of history that a demonstration begins with."""
    async with demonstration(tmp_path, clock) as platform:
        await platform.pass_time(STEP_S)
        yield platform
