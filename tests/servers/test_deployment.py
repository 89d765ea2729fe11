"""Two processes that serve, one that works, a real Redis: killed, restarted, and nothing lost."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import httpx
import pytest

from evara_core.errors import UpstreamError
from evara_core.realtime.client import EventsLink, StreamClient
from evara_core.realtime.client_socket import SocketLink
from evara_core.realtime.following import Patience
from evara_core.realtime.ports import Message
from evara_core.storage.engine import engine_for
from evara_core.storage.outbox import put_messages
from evara_core.storage.units import AsyncUnit
from evara_core.testing.servers import start_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evara_core.testing.processes import LocalServer

pytestmark = [pytest.mark.server, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("stream_process.py")
PATIENCE = Patience(first_pause_s=0.01, longest_pause_s=0.1)
ROUNDS = 30
ALERTS, READINGS, NODES = 10, 20, 12


class Process:
    """One of the deployment. It is ended by its id, and so is its successor."""

    def __init__(self, role: str, database: str, redis: str) -> None:
        self.arguments = [role, database, redis]
        self.port = 0
        self.start()

    def start(self) -> None:
        ports = [str(self.port)] if self.arguments[0] == "api" else []
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *self.arguments, *ports],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        word, _, port = self.process.stdout.readline().partition(" ")
        assert word == "ready"
        self.port = int(port)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Ear:
    """A client, and all that it knows of: by the stream, and by snapshots."""

    origin: str
    wire: str
    http: httpx.AsyncClient
    streamed: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    latest: dict[str, int] = field(default_factory=dict)
    snapshots: int = 0

    async def snapshot(self) -> str:
        try:
            answer = (await self.http.get(f"{self.origin}/snapshot")).raise_for_status().json()
        except httpx.HTTPError as error:
            raise UpstreamError("no snapshot") from error
        self.snapshots += 1
        self.known |= set(answer["alerts"])
        return answer["position"]

    async def listen(self) -> None:
        async def token() -> str:
            return "u"

        link = (
            EventsLink(self.http, f"{self.origin}/stream", token=token)
            if self.wire == "events"
            else SocketLink(f"{self.origin.replace('http', 'ws')}/socket", token=token)
        )
        client = StreamClient(link, snapshot=self.snapshot, patience=PATIENCE)
        async with aclosing(client.events()) as events:
            async for event in events:
                if event.kind == "alert":
                    self.streamed.append(event.message_id)
                    self.known.add(event.message_id)
                else:
                    self.latest[event.key] = event.data["n"]


@contextmanager
def deployment(database: str, redis: LocalServer) -> Iterator[tuple[list[Process], Process]]:
    with ExitStack() as stack:
        apis = []
        for role in ("worker", "api", "api"):
            process = Process(role, database, redis.url)
            stack.callback(process.kill)
            apis.append(process)
        yield apis[1:], apis[0]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
        await anyio.sleep(0.05)


def messages(number: int) -> list[Message]:
    alerts = [
        Message(
            message_id=f"a{number}-{n}", kind="alert", key="x", topics=("platform",), body=b"{}"
        )
        for n in range(ALERTS)
    ]
    readings = [
        Message(
            message_id=f"r{number}-{n}",
            kind="reading",
            key=f"n{n % NODES}",
            topics=("platform",),
            body=b'{"n":%d}' % (number * READINGS + n),
        )
        for n in range(READINGS)
    ]
    return [*alerts, *readings]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("keeps_data", [True, False])
async def test_killed_and_restarted_every_client_ends_with_the_truth(
    sqlite_database_url: str, keeps_data: bool
) -> None:
    redis = start_redis(keeps_data=keeps_data)
    engine = engine_for(sqlite_database_url)
    chance = random.Random(7)
    wanted = {f"a{number}-{n}" for number in range(ROUNDS) for n in range(ALERTS)}
    newest = {f"n{n % NODES}": (ROUNDS - 1) * READINGS + n for n in range(READINGS)}
    try:
        with deployment(sqlite_database_url, redis) as (apis, worker):
            async with httpx.AsyncClient(timeout=5) as http, anyio.create_task_group() as tasks:
                ears = [
                    Ear(f"http://127.0.0.1:{api.port}", wire, http)
                    for api in apis
                    for wire in ("events", "socket", "socket")
                ]
                for ear in ears:
                    tasks.start_soon(ear.listen)
                for number in range(ROUNDS):
                    async with AsyncUnit(engine) as unit:
                        await unit.run(put_messages(messages(number), dialect="sqlite"))
                    await anyio.sleep(chance.random() * 0.1)
                    match number:
                        case 6 | 20:
                            await anyio.to_thread.run_sync(apis[number % 2].kill)
                            await anyio.to_thread.run_sync(apis[number % 2].start)
                        case 12:
                            await anyio.to_thread.run_sync(redis.restart)
                        case 16:
                            await anyio.to_thread.run_sync(worker.kill)
                            await anyio.to_thread.run_sync(worker.start)
                        case _:
                            pass
                with anyio.move_on_after(60):
                    await until(lambda: all(e.known == wanted and e.latest == newest for e in ears))
                tasks.cancel_scope.cancel()
    finally:
        redis.remove()
        await engine.dispose()

    for ear in ears:
        assert ear.known == wanted
        assert ear.latest == newest
        assert len(ear.streamed) == len(set(ear.streamed))
    if keeps_data:
        # History reached back through everything: no snapshot but the first was needed.
        assert all(set(ear.streamed) | ear.known == wanted for ear in ears)
