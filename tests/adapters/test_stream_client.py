"""The JavaScript client, in node, against a real server."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from starlette.requests import Request
from tests.adapters.live import HERE, alert, reading, serving

from evara_core.realtime.assets import CLIENT_NAME, client_module
from evara_core.realtime.codes import ByeCode
from evara_core.serialization import load_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from tests.adapters.live import LiveServer

SOURCE = Path(__file__).parents[2] / "src/evara_core/realtime/browser" / CLIENT_NAME
TESTS = Path(__file__).with_name("stream_client.test.mjs")


def add_levers(live: LiveServer) -> None:
    """What the tests in node need done on this side."""

    @live.app.post("/test/publish")
    async def publish(request: Request) -> dict[str, bool]:
        body = load_json(await request.body())
        await live.bus.publish(
            [
                *(alert(name) for name in body.get("alerts", ())),
                *(
                    alert(name, *HERE.topics, f"node:{n}")
                    for name, n in body.get("node_alerts", ())
                ),
                *(reading(number, node) for number, node in body.get("readings", ())),
            ]
        )
        return {"done": True}

    @live.app.post("/test/cut")
    async def cut() -> dict[str, bool]:
        for client in list(live.hub._clients):
            client.end(ByeCode.SLOW_CONSUMER)
            live.hub._unlist(client)
        return {"done": True}


@pytest.mark.slow
async def test_the_client_follows_a_real_server() -> None:
    node = shutil.which("node")
    assert node, "node 20 or later runs the client's tests"
    async with serving() as live:
        add_levers(live)
        environment = {
            **os.environ,
            "ORIGIN": live.origin,
            "TOKEN": live.token(),
            "SHORT_TOKEN": live.token(lifetime=timedelta(seconds=2)),
            "MODULE": str(SOURCE),
        }
        command = [node, "--experimental-websocket", "--no-warnings", "--test", str(TESTS)]

        done = await anyio.run_process(command, env=environment, check=False)

        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_the_module_ships_with_the_package() -> None:
    source = client_module()

    assert source == SOURCE.read_bytes()
    assert b"import " not in source.replace(b"ECMAScript module", b"")
