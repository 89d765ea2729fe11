"""What every route refuses, against one platform: nothing here changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.app.conftest import Platform, demonstration, refusal

from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with demonstration(tmp_path_factory.mktemp("demo"), ManualClock()) as platform:
        yield platform


PROTECTED = (
    "/api/v1/auth/me",
    "/api/v1/nodes",
    "/api/v1/nodes/tank-0001",
    "/api/v1/nodes/tank-0001/readings",
    "/api/v1/nodes/tank-0001/series",
    "/api/v1/alerts",
    "/api/v1/dashboard/stats",
    "/api/v1/stream/position",
    "/api/v1/stream",
)


@pytest.mark.parametrize("path", PROTECTED)
async def test_nobody_gets_in_without_a_token(platform: Platform, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic YTpi"}):
        async with platform.client(None, **headers) as client:
            response = await client.get(path)

        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert refusal(response) == {"code": "UNAUTHENTICATED", "message": "Sign in to use this"}


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/api/v1/nodes", {"colour": "blue"}, "colour"),
        ("/api/v1/nodes", {"sort": "password"}, "sort"),
        ("/api/v1/nodes", {"sort": "label,label"}, "sort"),
        ("/api/v1/nodes", {"fields": "id,secret"}, "fields"),
        ("/api/v1/nodes", {"status": "Onlin"}, "status"),
        ("/api/v1/nodes", {"limit": "0"}, "limit"),
        ("/api/v1/nodes", {"limit": "many"}, "limit"),
        ("/api/v1/nodes", {"created_at__gte": "yesterday"}, "created_at__gte"),
        ("/api/v1/nodes", {"search": "a\x00b"}, "search"),
        ("/api/v1/nodes", {"token": "abc"}, "token"),
        ("/api/v1/alerts", {"state": "open"}, "state"),
        ("/api/v1/alerts", {"status": "Online"}, "status"),
        ("/api/v1/nodes/tank-0001", {"fields": "id"}, "fields"),
        ("/api/v1/nodes/tank-0001/readings", {"limit": "101"}, "limit"),
        ("/api/v1/nodes/tank-0001/readings", {"limits": "5"}, "limits"),
        ("/api/v1/nodes/tank-0001/series", {"metric": "nonsense"}, "metric"),
        ("/api/v1/nodes/tank-0001/series", {"start": "2026-01-01T00:00:00"}, "start"),
        ("/api/v1/nodes/tank-0001/series", {"start": "2027-01-01T00:00:00Z"}, "start"),
        ("/api/v1/nodes/tank-0001/series", {"end": "soon"}, "end"),
        ("/api/v1/dashboard/stats", {"of": "everybody"}, "of"),
        ("/api/v1/auth/me", {"token": "abc"}, "token"),
        ("/api/v1/stream/position", {"x": "1"}, "x"),
        ("/api/v1/stream", {"token": "abc"}, "token"),
    ],
)
async def test_parameters_that_make_no_sense_are_named(
    platform: Platform, path: str, params: dict[str, str], field: str
) -> None:
    response = await platform.get(path, **params)

    assert response.status_code == 400
    error = refusal(response)
    assert error["field"] == field
    assert error["code"] in {"INVALID_PARAMETER", "VALIDATION_ERROR"}
