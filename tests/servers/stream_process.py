"""A process of a deployment: the worker, or one that serves the stream.

  python stream_process.py worker DATABASE REDIS
  python stream_process.py api    DATABASE REDIS PORT

The token is the name of the user, and everybody hears the platform: rights are not what this
is about. It prints `ready` and the port.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio
import uvicorn
from redis.asyncio import Redis
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from evara_core.adapters.starlette.sockets import SERVER_OPTIONS, SocketEndpoint
from evara_core.adapters.starlette.streams import EventStreamResponse
from evara_core.clock import SystemClock
from evara_core.monitor.counters import Counters
from evara_core.monitor.relay import Relay
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.listeners import Listener
from evara_core.realtime.redis import RedisBus
from evara_core.realtime.snapshots import snapshot
from evara_core.realtime.wire import Reconnect
from evara_core.serialization import dump_json, load_json
from evara_core.storage.engine import engine_for
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.statements import Query
from evara_core.storage.tables import outbox
from evara_core.storage.units import AsyncUnit

LIMITS = HubLimits(
    clients_per_principal=100, window_s=0.005, pause_after_failure_s=0.05, held_messages=200
)
RECONNECT = Reconnect(shortest_ms=1, longest_ms=50)
CLOCK = SystemClock()
NEWEST = 100
"""Readings of a snapshot, the newest: several of each node."""


async def work(database: str, redis: str) -> None:
    engine = engine_for(database)
    async with Redis.from_url(redis) as client:
        relay = Relay(
            outbox=SqlOutboxStore(engine),
            bus=RedisBus(client, block_s=0.2),
            clock=CLOCK,
            sleep=anyio.sleep,
            settings=MonitorSettings(
                relay_interval_s=0.02, relay_batch=200, first_backoff_s=0.05, max_backoff_s=0.2
            ),
            counters=Counters(),
        )
        print("ready", 0, flush=True)
        await relay.run()


def application(hub: Hub, database: str) -> Starlette:
    engine = engine_for(database)

    async def authenticate(token: str | None) -> Listener:
        return Listener(principal_id=token or "", topics=("platform",))

    async def stream(request: Request) -> Response:
        subscription = await hub.subscribe(
            principal_id="u",
            topics=["platform"],
            after=request.headers.get("last-event-id"),
        )
        return EventStreamResponse(subscription, reconnect=RECONNECT)

    async def read() -> dict[str, Any]:
        def found() -> Any:
            columns = outbox.c
            told = yield Query(select(columns.message_id).where(columns.kind == "alert"))
            newest = yield Query(
                select(columns.key, columns.body)
                .where(columns.kind == "reading")
                .order_by(columns.sequence.desc())
                .limit(NEWEST)
            )
            return {
                "alerts": [row.message_id for row in told.rows],
                "newest": {row.key: load_json(row.body)["n"] for row in reversed(newest.rows)},
            }

        async with AsyncUnit(engine, reads_only=True) as unit:
            return await unit.run(found())

    async def current(request: Request) -> Response:
        answer = await snapshot(hub, read)
        return Response(dump_json({"position": answer.position, **answer.data}))

    socket = SocketEndpoint(
        hub, authenticate=authenticate, elapsed_s=CLOCK.elapsed_s, reconnect=RECONNECT
    )
    return Starlette(
        routes=[
            Route("/stream", stream),
            Route("/snapshot", current),
            WebSocketRoute("/socket", socket),
        ]
    )


async def serve(database: str, redis: str, port: int) -> None:
    async with Redis.from_url(redis) as client:
        hub = Hub(RedisBus(client, block_s=0.2), clock=CLOCK, limits=LIMITS)
        config = uvicorn.Config(
            application(hub, database),
            port=port,
            log_level="critical",
            lifespan="off",
            **SERVER_OPTIONS,
        )
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            tasks.start_soon(server.serve)
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await anyio.sleep(0.005)
            print("ready", server.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "worker":
        anyio.run(work, *rest)
    else:
        anyio.run(serve, rest[0], rest[1], int(rest[2]))
