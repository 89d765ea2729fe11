"""What is around the interface: the page, health, and the demonstration's users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import FileResponse

from evara_core.adapters.fastapi.callers import Public
from evara_core.adapters.fastapi.operations import health_router
from evara_core.errors import NotFoundError
from evara_core.storage.readiness import database_answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from evara_core.adapters.starlette.replies import Replies
    from fastapi_app.parts import Parts

__all__ = ["router"]

_INDEX = Path(__file__).parent.parent / "static" / "index.html"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def router(parts: Parts, replies: Replies) -> APIRouter:
    """Return the routes outside `/api`."""
    routes = APIRouter(include_in_schema=False)
    stats: dict[str, Callable[[], Any]] = {"streams": parts.hub.stats}
    if parts.monitor is not None:
        stats["monitor"] = parts.monitor.status
    if parts.notifications is not None:
        stats["notifications"] = parts.notifications.status
    checks = {
        "database": lambda: parts.read(database_answers()),
        "bus": parts.bus.end,
    }
    routes.include_router(health_router(replies, checks=checks, stats=stats, crashed=parts.crashed))

    @routes.get("/", dependencies=[Depends(Public("it knows nothing before somebody signs in"))])
    async def page() -> Response:
        return FileResponse(_INDEX, headers={"Cache-Control": "no-cache"})

    @routes.get("/demo/users", dependencies=[Depends(Public("in a demonstration only"))])
    async def demo_users(request: Request) -> Response:
        # Another name that leads to this machine would let a foreign page read the tokens.
        host = request.headers.get("host", "").rpartition(":")
        is_local = (host[0] or host[2]) in _LOOPBACK
        if parts.demo is None or not is_local:
            raise NotFoundError("page")
        shape = {
            "mode": parts.demo.mode,
            "speed": parts.demo.speed(),
            "users": parts.demo.users(),
        }
        return replies.success(request, shape)

    return routes
