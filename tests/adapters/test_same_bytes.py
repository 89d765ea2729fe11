"""What one framework answers, the others answer: the same headers, the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

OF_THE_FRAMEWORK = {"allow", "content-length"}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/things", {}),
    ("GET", "/nothing", {}),
    ("GET", "/faults/limit", {}),
    ("GET", "/faults/bug", {}),
    ("GET", "/faults/token", {"headers": {"Accept": "application/problem+json"}}),
    ("GET", "/api/v1/pages?limit=2&sort=-id", {}),
    ("GET", "/api/v2/pages?limit=2&fields=id&status=Online&status=Offline", {}),
    ("GET", "/api/v2/pages?colour=%F0%9F%92%A7", {}),
    ("GET", "/api/v7/pages", {}),
    ("GET", "/record", {}),
    ("PUT", "/record", {}),
    ("POST", "/batch", {"json": {"mode": "partial", "items": [{"label": "a"}, {}]}}),
    ("POST", "/batch", {"json": {"items": []}}),
    ("POST", "/batch", {"content": b"\xff"}),
    ("POST", "/batch", {"content": b"x" * 2_000}),
    ("POST", "/once", {"headers": {"Idempotency-Key": "k"}}),
    ("GET", "/limited", {}),
]


@pytest.mark.parametrize(("method", "path", "options"), REQUESTS)
async def test_the_frameworks_answer_alike(
    clock: Any,
    method: str,
    path: str,
    options: dict[str, Any],
    frameworks: dict[str, Callable[[Any], Any]],
    new_scenario: Callable[[Any], Any],
) -> None:
    answers = {}
    headers = {**options.get("headers", {}), "X-Request-ID": "r-1"}
    for name, open_client in frameworks.items():
        with open_client(new_scenario(clock)) as send:
            response = await send(method, path, **{**options, "headers": headers})
        told = sorted(
            pair for pair in response.headers.multi_items() if pair[0] not in OF_THE_FRAMEWORK
        )
        answers[name] = (response.status_code, told, response.content)

    assert answers["flask"] == answers["fastapi"] == answers["starlette"]
