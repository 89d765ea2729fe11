"""NOT PART OF THE LIBRARY. The routes of the original design.

    python -m benchmarks.baseline.app DATABASE_URL

It prints its address and tokens as `benchmarks.load.server` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import anyio
import jwt
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from benchmarks.baseline.models import Alert, Node, State, User
from benchmarks.load.server import loop_options
from benchmarks.reference_data import USERS, path_of, principal_of
from evara_core.clock import SystemClock
from evara_core.testing.tokens import TokenIssuer
from fastapi_app.serving import bound_socket


class Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class StateShape(Shape):
    status: str
    connectivity: str
    values: dict[str, Any]
    health_score: int | None
    last_seen_at: datetime | None
    last_reading_at: datetime | None


class NodeShape(Shape):
    node_id: str
    label: str
    kind: str
    category: str
    distributor_id: str | None
    community_id: str | None
    customer_id: str | None
    location_name: str | None
    latitude: float | None
    longitude: float | None
    capacity_l: float | None
    config: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    state: StateShape | None


class AlertShape(Shape):
    episode_id: str
    rule_id: str
    severity: str
    fired_at: datetime
    fired_reason: str
    fired_sentence: str
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    node: PlainNode


class PlainNode(Shape):
    node_id: str
    label: str
    distributor_id: str | None
    community_id: str | None


class Stats(BaseModel):
    total_nodes: int
    online_nodes: int
    active_alerts: int
    average_health_score: float | None
    last_updated: datetime


class Page(BaseModel):
    success: bool
    data: list[Any]
    total: int
    page: int


class NodePage(Page):
    data: list[NodeShape]


class AlertPage(Page):
    data: list[AlertShape]


def within(statement: Select[Any], user: User, table: Any) -> Select[Any]:
    if user.role == "distributor":
        return statement.where(table.distributor_id == user.distributor_id)
    if user.role == "community_manager":
        return statement.where(table.community_id == user.community_id)
    return statement


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


async def current_user(
    request: Request, db: Session, authorization: Annotated[str, Header()]
) -> User:
    token, key = authorization.removeprefix("Bearer "), request.app.state.key
    try:
        claims = jwt.decode(token, key, algorithms=["ES256"], audience="authenticated")
    except jwt.PyJWTError as error:
        raise HTTPException(401, "invalid token") from error
    user = await db.scalar(select(User).where(User.user_id == claims["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(401, "no such user")
    return user


Caller = Annotated[User, Depends(current_user)]
routes = APIRouter(prefix="/api/v1")


@routes.get("/dashboard/stats", response_model=Stats)
async def stats(db: Session, user: Caller) -> Any:
    nodes = within(select(func.count()).select_from(Node), user, Node)
    online = within(select(func.count()).select_from(Node).join(Node.state), user, Node).where(
        State.status == "Online"
    )
    alerts = within(select(func.count()).select_from(Alert), user, Alert).where(
        Alert.resolved_at.is_(None)
    )
    health = within(
        select(func.avg(State.health_score)).select_from(Node).join(Node.state), user, Node
    )
    return {
        "total_nodes": await db.scalar(nodes),
        "online_nodes": await db.scalar(online),
        "active_alerts": await db.scalar(alerts),
        "average_health_score": await db.scalar(health),
        "last_updated": datetime.now(UTC),
    }


@routes.get("/nodes", response_model=NodePage)
async def nodes(
    db: Session, user: Caller, limit: Annotated[int, Query(le=100)] = 20, page: int = 1
) -> Any:
    total = await db.scalar(within(select(func.count()).select_from(Node), user, Node))
    found = await db.scalars(
        within(select(Node), user, Node)
        .options(selectinload(Node.state), selectinload(Node.mapping))
        .order_by(Node.created_at.desc())
        .offset((page - 1) * limit)
        .limit(limit)
    )
    return {"success": True, "data": found.all(), "total": total, "page": page}


@routes.get("/alerts", response_model=AlertPage)
async def alerts(
    db: Session, user: Caller, limit: Annotated[int, Query(le=100)] = 20, page: int = 1
) -> Any:
    active = within(select(Alert), user, Alert).where(Alert.resolved_at.is_(None))
    total = await db.scalar(select(func.count()).select_from(active.subquery()))
    found = await db.scalars(
        active.options(selectinload(Alert.node))
        .order_by(Alert.fired_at.desc())
        .offset((page - 1) * limit)
        .limit(limit)
    )
    return {"success": True, "data": found.all(), "total": total, "page": page}


async def main(url: str) -> None:
    if url.startswith("sqlite"):
        engine = create_async_engine(f"sqlite+aiosqlite:///{path_of(url)}", pool_size=20)
    else:
        engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1), pool_size=20, max_overflow=10
        )
    issuer = TokenIssuer(clock=SystemClock())
    key = jwt.PyJWK(issuer.jwk).key
    tokens = [
        issuer.mint(principal_of(n).user_id, lifetime=timedelta(hours=2)) for n in range(USERS)
    ]
    app = FastAPI()
    app.state.sessions, app.state.key = async_sessionmaker(engine, expire_on_commit=False), key
    app.include_router(routes)
    at = bound_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    ready = {"port": at.getsockname()[1], "pid": os.getpid(), "tokens": tokens}
    at.listen(1024)
    print(json.dumps(ready), flush=True)
    await server.serve(sockets=[at])
    await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        anyio.run(main, given.url, backend_options=loop_options())
