"""A real server on the loopback interface with the live stream, for clients of every kind."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import uvicorn
from fastapi import FastAPI

from evara_core.access.principal import Principal
from evara_core.access.roles import built_in_policy
from evara_core.access.tenancy import Tenancy
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.callers import Guard
from evara_core.adapters.fastapi.streams import SOCKET_REASON, LiveStream, stream_router
from evara_core.adapters.starlette.replies import Replies
from evara_core.adapters.starlette.sockets import SERVER_OPTIONS
from evara_core.clock import SystemClock
from evara_core.ids import TimeOrderedIds
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.realtime.session import SocketLimits
from evara_core.realtime.wire import Reconnect
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from evara_core.access.tokens import VerifiedToken
    from evara_core.realtime.ports import Bus

HERE = Tenancy(distributor_id="d1", community_id="c1")
"""Whom the messages below belong to."""

ELSEWHERE = Tenancy(distributor_id="d2", community_id="c9")

QUICK = HubLimits(window_s=0.001, read_wait_s=0.05, pause_after_failure_s=0.01)


def alert(name: str, *topics: str) -> Message:
    return Message(
        message_id=name,
        kind="alert",
        key=name,
        topics=topics or HERE.topics,
        body=b'{"name":"%b"}' % name.encode(),
    )


def reading(number: int, node: str = "n1", *topics: str) -> Message:
    return Message(
        message_id=f"r{node}{number}",
        kind="reading",
        key=node,
        topics=topics or (*HERE.topics, f"node:{node}"),
        body=b'{"n":%d}' % number,
    )


@dataclass
class LiveServer:
    bus: Bus
    hub: Hub
    issuer: TokenIssuer
    users: dict[str, Principal]
    app: FastAPI = field(default_factory=FastAPI)
    port: int = 0
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/stream/socket"

    def token(self, user: str = "boss", **claims: Any) -> str:
        return self.issuer.mint(user, **claims)


def people() -> dict[str, Principal]:
    return {
        "boss": Principal(user_id="boss", role="superadmin"),
        "dora": Principal(user_id="dora", role="distributor", distributor_id="d1"),
        "mona": Principal(user_id="mona", role="community_manager", community_id="c1"),
        "nobody": Principal(user_id="nobody", role="no such role"),
    }


def make_app(live: LiveServer, limits: SocketLimits) -> FastAPI:
    clock = SystemClock()

    async def find(token: VerifiedToken) -> Principal | None:
        return live.users.get(token.subject)

    async def read(principal: Principal) -> Any:
        return {"for": principal.user_id, **live.state}

    guard = Guard(verifier=live.issuer.verifier(), find_principal=find, policy=built_in_policy())
    replies = Replies(clock=clock)
    app = FastAPI(openapi_url=None)
    stream = LiveStream(
        hub=live.hub,
        guard=guard,
        replies=replies,
        read_snapshot=read,
        limits=limits,
        reconnect=Reconnect(shortest_ms=1, longest_ms=20),
    )
    app.include_router(stream_router(stream), prefix="/api/v1")
    install(
        app,
        replies=replies,
        ids=TimeOrderedIds(clock=clock),
        guard=guard,
        open_paths={"/api/v1/stream/socket": SOCKET_REASON},
    )
    return app


class Server(uvicorn.Server):
    """uvicorn, which leaves the signals to pytest."""

    def capture_signals(self) -> Any:
        return _LeftAlone()


class _LeftAlone:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@asynccontextmanager
async def serving(
    *,
    bus: Bus | None = None,
    hub_limits: HubLimits = QUICK,
    limits: SocketLimits = SocketLimits(),
    at: int = 0,
) -> AsyncIterator[LiveServer]:
    bus = bus or MemoryBus()
    live = LiveServer(
        bus=bus,
        hub=Hub(bus, clock=SystemClock(), limits=hub_limits),
        issuer=TokenIssuer(clock=SystemClock()),
        users=people(),
    )
    live.app = make_app(live, limits)
    config = uvicorn.Config(
        live.app,
        port=at,
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
        **SERVER_OPTIONS,
    )
    server = Server(config)
    with anyio.fail_after(40):
        async with anyio.create_task_group() as tasks:
            await tasks.start(live.hub.run)
            tasks.start_soon(server.serve)
            while not server.started:
                await anyio.lowlevel.checkpoint()
            live.port = server.servers[0].sockets[0].getsockname()[1]
            yield live
            await live.hub.aclose()
            server.should_exit = True
