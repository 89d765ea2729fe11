"""A process that serves the stream, and learns from the database alone what users may hear.

  python rights_process.py DATABASE

The token is the name of the user. Every 20 ms it tells something to each distributor. It
prints `ready` and the port.
"""

from __future__ import annotations

import sys
from itertools import count

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from evara_core.access.roles import built_in_policy
from evara_core.access.tenancy import Tenancy
from evara_core.adapters.starlette.sockets import SERVER_OPTIONS, SocketEndpoint
from evara_core.clock import SystemClock
from evara_core.realtime.hub import Hub
from evara_core.realtime.listeners import Listener
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.realtime.rights import RightsWatch
from evara_core.storage.engine import engine_for
from evara_core.storage.rights import topics_by_user

CLOCK = SystemClock()


async def tell(bus: MemoryBus) -> None:
    for number in count():
        await bus.publish(
            [
                Message(
                    message_id=f"{place}-{number}",
                    kind="alert",
                    key="n",
                    topics=Tenancy(distributor_id=place).topics,
                    body=b"{}",
                )
                for place in ("d1", "d2")
            ]
        )
        await anyio.sleep(0.02)


async def serve(database: str) -> None:
    policy = built_in_policy()
    look_up = topics_by_user(
        engine_for(database), may_listen=lambda who: policy.decide(who, "stream:read").allowed
    )

    async def authenticate(token: str | None) -> Listener:
        user = token or ""
        return Listener(principal_id=user, topics=tuple((await look_up([user])).get(user, ())))

    bus = MemoryBus()
    hub = Hub(bus, clock=CLOCK)
    watch = RightsWatch(hub, look_up=look_up, clock=CLOCK)
    socket = SocketEndpoint(hub, authenticate=authenticate, elapsed_s=CLOCK.elapsed_s)
    app = Starlette(routes=[WebSocketRoute("/socket", socket)])
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", **SERVER_OPTIONS)
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        tasks.start_soon(watch.run)
        tasks.start_soon(tell, bus)
        tasks.start_soon(server.serve)
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await anyio.sleep(0.005)
        print("ready", server.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1])
