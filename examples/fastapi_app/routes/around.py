"""What is around the interface: the page, health, and the demonstration's users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import FileResponse

from evara_core.adapters.fastapi.callers import Public
from evara_core.errors import EvaraError, NotFoundError
from fastapi_app import queries
from fastapi_app.routes import TheParts, TheReplies

if TYPE_CHECKING:
    from fastapi_app.parts import Parts

router = APIRouter(include_in_schema=False)

_INDEX = Path(__file__).parent.parent / "static" / "index.html"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_CHECK_TIMEOUT_S = 3.0


@router.get("/", dependencies=[Depends(Public("the page knows nothing before somebody signs in"))])
async def page() -> Response:
    return FileResponse(_INDEX, headers={"Cache-Control": "no-cache"})


@router.get("/health/live", dependencies=[Depends(Public("asked by who restarts processes"))])
async def live(request: Request, replies: TheReplies) -> Response:
    return replies.success(request, {"status": "ok"})


@router.get("/health/ready", dependencies=[Depends(Public("asked by load balancers"))])
async def ready(request: Request, parts: TheParts, replies: TheReplies) -> Response:
    checks = {
        "database": await _checked(lambda: parts.read(queries.database_answers())),
        "bus": await _checked(parts.bus.end),
        "streams": {"status": "ok", **asdict(parts.hub.stats())},
        **{name: {"status": "failed", "problem": kind} for name, kind in parts.crashed.items()},
    }
    if parts.monitor is not None and "monitor" not in checks:
        checks["monitor"] = _monitor(parts)
    failed = [name for name, check in checks.items() if check["status"] != "ok"]
    if failed:
        return replies.unready(request, failed)
    return replies.success(request, {"status": "ok", "checks": checks})


@router.get("/demo/users", dependencies=[Depends(Public("in a demonstration only"))])
async def demo_users(request: Request, parts: TheParts, replies: TheReplies) -> Response:
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


async def _checked(ask: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    started_s = anyio.current_time()
    try:
        with anyio.fail_after(_CHECK_TIMEOUT_S):
            await ask()
    except (EvaraError, TimeoutError) as error:
        return {"status": "failed", "problem": type(error).__name__}
    return {"status": "ok", "latency_ms": round((anyio.current_time() - started_s) * 1000, 2)}


def _monitor(parts: Parts) -> dict[str, Any]:
    assert parts.monitor is not None
    status = parts.monitor.status()
    return {
        "status": "ok",
        "nodes": status.nodes,
        "overdue": status.overdue,
        "queued_rows": status.queued_rows,
        "unreadable": len(status.unreadable),
    }
