"""The Flask application beside the FastAPI one, over the same database: the same bytes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal
from tests.app.conftest import Platform

from evara_core.access.tenancy import PLATFORM_TOPIC
from evara_core.caching.cache import Cache
from evara_core.caching.memory import MemoryStore
from evara_core.caching.sync import SyncCache
from evara_core.clock import SystemClock
from evara_core.realtime.ports import Message
from evara_core.realtime.wire import EventParser
from evara_core.storage.engine import blocking_engine_for
from flask_app.application import Parts, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from flask import Flask

    from fastapi_app.parts import Parts as AppParts

ROLES = ("superadmin", "distributor", "community_manager", "customer")
PATHS = (
    "/api/v1/nodes",
    "/api/v1/nodes?limit=3&sort=label&fields=id,label",
    "/api/v1/nodes?status=Nonsense",
    "/api/v1/nodes?colour=blue",
    "/api/v1/nodes/tank-0001",
    "/api/v1/nodes/tank-0001?colour=blue",
    "/api/v1/nodes/no-such-node",
    "/api/v1/alerts?state=all",
    "/api/v1/alerts?state=some",
    "/api/v1/dashboard/stats",
    "/api/v2/dashboard/stats",
    "/api/v3/dashboard/stats",
    "/api/v1/alerts/no-such-alert",
    "/api/v1/stream/position",
    "/api/v1/nothing",
    "/health/live",
)
OF_THE_FRAMEWORK = {
    "content-length", "content-security-policy", "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    # Flask's does not limit rates.
    "ratelimit", "ratelimit-policy",
    "permissions-policy", "referrer-policy", "x-content-type-options", "x-frame-options",
}  # fmt: skip


def flask_beside(platform: Platform) -> AbstractAsyncContextManager[Flask]:
    return flask_over(platform.parts)


@asynccontextmanager
async def flask_over(parts: AppParts) -> AsyncIterator[Flask]:
    engine = blocking_engine_for(parts.engine.url.render_as_string(hide_password=False))
    cache = SyncCache(Cache(MemoryStore(clock=SystemClock())))
    async with BlockingPortal() as portal:
        with cache:
            yield create_app(
                Parts(
                    engine=engine,
                    verifier=parts.verifier,
                    policy=parts.policy,
                    codec=parts.codec,
                    clock=parts.clock,
                    ids=parts.ids,
                    hub=parts.hub,
                    cache=cache,
                    portal=portal,
                    rule_names=parts.rule_names,
                    version=parts.settings.api.version,
                )
            )
    engine.dispose()


async def ask_flask(app: Flask, method: str, path: str, headers: Any) -> httpx.Response:
    def ask() -> httpx.Response:
        transport = httpx.WSGITransport(app)
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            return client.request(method, path, headers=headers)

    return await anyio.to_thread.run_sync(ask)


def told(response: httpx.Response) -> Any:
    headers = [p for p in response.headers.multi_items() if p[0] not in OF_THE_FRAMEWORK]
    return response.status_code, sorted(headers), response.content


async def test_both_answer_every_role_with_the_same_bytes(platform: Platform) -> None:
    async with flask_beside(platform) as app:
        for who in (*ROLES, None):
            for path in PATHS:
                async with platform.client(who, **{"X-Request-ID": "r-1"}) as client:
                    expected = await client.get(path)
                    found = await ask_flask(app, "GET", path, client.headers)

                assert told(found) == told(expected), (who, path)


async def test_cursors_of_one_are_good_for_the_other(platform: Platform) -> None:
    async with flask_beside(platform) as app, platform.client() as client:
        first = (await client.get("/api/v1/nodes?limit=4")).json()
        cursor = first["meta"]["pagination"]["next_cursor"]
        second = await ask_flask(
            app, "GET", f"/api/v1/nodes?limit=4&cursor={cursor}", client.headers
        )

    seen = [row["id"] for row in first["data"] + second.json()["data"]]
    assert len(set(seen)) == 8


@pytest.mark.parametrize("who", ["community_manager", "customer"])
async def test_an_alert_that_is_not_there_is_acknowledged_by_nobody(
    platform: Platform, who: str
) -> None:
    path = "/api/v1/alerts/none/acknowledge"
    async with (
        flask_beside(platform) as app,
        platform.client(who, **{"X-Request-ID": "r"}) as client,
    ):
        expected = await client.post(path)
        found = await ask_flask(app, "POST", path, client.headers)

    assert told(found) == told(expected)
    assert found.status_code in {403, 404}


async def test_the_stream_tells_what_is_published(platform: Platform) -> None:
    message = Message(
        message_id="m", kind="reading", key="n", topics=frozenset({PLATFORM_TOPIC}), body=b'{"a":1}'
    )

    def listen(app: Flask, headers: Any, has_begun: Any) -> Any:
        response = app.test_client().get("/api/v1/stream", headers=dict(headers))
        chunks = response.iter_encoded()
        next(chunks)
        has_begun()
        parser = EventParser()
        # The platform publishes readings of its own, too.
        found = next(
            event for chunk in chunks for event in parser.feed(chunk) if '"a":1' in event.data
        )
        response.close()
        return response.status_code, found

    async with flask_beside(platform) as app, platform.client() as client:
        publish = partial(anyio.from_thread.run, platform.parts.bus.publish, [message])
        listener = partial(listen, app, client.headers, publish)
        status, event = await anyio.to_thread.run_sync(listener)

    assert (status, event.event) == (200, "reading")
