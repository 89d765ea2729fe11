"""A right that is taken in one process ends and narrows streams in another."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import create_engine, insert, update
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from evara_core.clock import SystemClock
from evara_core.realtime.codes import ByeCode
from evara_core.storage.tables.tenants import distributors, users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from websockets.asyncio.client import ClientConnection

pytestmark = [pytest.mark.server, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("rights_process.py")
BOUND_S = 5.0
SLACK_S = 20.0
"""For a machine that is busy with others; the process looks every 3 s."""


@contextmanager
def serving(database: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), database], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        word, _, port = process.stdout.readline().partition(" ")
        assert word == "ready"
        yield int(port)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def here(database: str) -> Iterator[Connection]:
    engine = create_engine(database)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def settle(database: str) -> None:
    now = SystemClock().now()
    with here(database) as connection:
        for place in ("d1", "d2"):
            values = {"distributor_id": place, "name": place, "created_at": now}
            connection.execute(
                insert(distributors).values(
                    {name: values[name] for name in values if name in distributors.c}
                )
            )
        for name, role, place in (
            ("boss", "superadmin", None),
            ("dora", "distributor", "d1"),
            ("gone", "distributor", "d1"),
        ):
            connection.execute(
                insert(users).values(
                    user_id=name, name=name, role=role, distributor_id=place, created_at=now
                )
            )


async def listen(port: int, user: str) -> ClientConnection:
    socket = await connect(f"ws://127.0.0.1:{port}/socket", compression=None)
    await socket.send(json.dumps({"type": "hello", "token": user}))
    assert json.loads(await socket.recv())["type"] == "welcome"
    return socket


async def places(socket: ClientConnection) -> set[str]:
    """Return of which distributors the next message tells."""
    found: dict[str, Any] = json.loads(await socket.recv())
    if found["type"] == "ping":
        await socket.send('{"type":"pong"}')
    return {event["id"].partition("-")[0] for event in found.get("events", ())}


async def hear(socket: ClientConnection, wanted: set[str]) -> None:
    """Listen until a message tells of *wanted* and of nothing else."""
    while await places(socket) != wanted:
        pass


async def closed(socket: ClientConnection) -> int | None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as end:
        return None if end.rcvd is None else end.rcvd.code


async def test_what_one_process_takes_away_another_stops_telling(sqlite_database_url: str) -> None:
    settle(sqlite_database_url)
    with serving(sqlite_database_url) as port, anyio.fail_after(60):
        boss, dora, gone = [await listen(port, user) for user in ("boss", "dora", "gone")]
        await hear(boss, {"d1", "d2"})
        await hear(dora, {"d1"})

        with here(sqlite_database_url) as connection:
            connection.execute(
                update(users)
                .where(users.c.user_id == "boss")
                .values(role="distributor", distributor_id="d2")
            )
            connection.execute(
                update(users).where(users.c.user_id == "dora").values(distributor_id="d2")
            )
            connection.execute(
                update(users).where(users.c.user_id == "gone").values(is_active=False)
            )
        changed_at_s = anyio.current_time()

        assert await closed(gone) == ByeCode.FORBIDDEN.close_code
        await hear(dora, {"d2"})
        await hear(boss, {"d2"})

        assert anyio.current_time() - changed_at_s < BOUND_S + SLACK_S
        for _ in range(10):
            assert await places(boss) | await places(dora) <= {"d2"}
        await boss.close()
        await dora.close()
