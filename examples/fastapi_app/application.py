"""The application: routes, and what every answer has in common."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.callers import Guard
from evara_core.adapters.fastapi.routes import declared_parameters_only
from evara_core.adapters.starlette.replies import Replies
from evara_core.api.envelope import ErrorResponse
from fastapi_app.parts import running
from fastapi_app.routes import alerts, around, me, nodes, rules, streams
from fastapi_app.security import SecurityHeadersMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi_app.parts import Parts

__all__ = ["create_app"]

_ERRORS = (400, 401, 403, 404, 429, 503)
_OPEN = {"/static": "the page's files", "/openapi.json": "describes the interface"}
_STATIC = Path(__file__).parent / "static"


def create_app(parts: Parts) -> FastAPI:
    """Return the application over *parts*. Its lifespan runs what works behind it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(parts):
            yield

    app = FastAPI(
        title="evara",
        version=parts.settings.api.version,
        description="Water sensors: nodes, readings, alerts, live. See docs/reference/http-api.md.",
        lifespan=lifespan,
        # The pages that FastAPI brings load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.parts = parts
    app.state.replies = Replies(clock=parts.clock, version=parts.settings.api.version)
    app.include_router(_api())
    app.include_router(around.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    install(
        app,
        replies=app.state.replies,
        ids=parts.ids,
        guard=Guard(
            verifier=parts.verifier, find_principal=parts.find_principal, policy=parts.policy
        ),
        open_paths=_OPEN,
    )
    app.add_middleware(SecurityHeadersMiddleware)
    return app


def _api() -> APIRouter:
    api = APIRouter(
        prefix="/api/v1",
        dependencies=[Depends(declared_parameters_only)],
        responses={status: {"model": ErrorResponse} for status in _ERRORS},
    )
    for module in (me, nodes, alerts, rules, streams):
        api.include_router(module.router)
    return api
