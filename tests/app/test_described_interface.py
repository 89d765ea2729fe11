"""Every route answers as its description says, to requests that it allows and to odd ones."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.app.conftest import Platform, demonstration

from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
PARTS = (
    "nodes",
    "telemetry",
    "distributors communities",
    "customers users",
    "rules",
    "alerts",
    "notifications",
)
KNOWN = {
    "node_id": "tank-0001",
    "community_id": "c-lakeview",
    "customer_id": "k-asha",
    "distributor_id": "d-north",
    "user_id": "u-asha",
    "audit_entry_id": ".000000000001",
    "rule_id": "tank-low",
}
ENDLESS = "/api/v1/stream"
PATIENCE_S = 600
"""It has much to do, and a machine may have others to serve."""

EXAMPLES = int(os.environ.get("EVARA_SCHEMA_EXAMPLES", "6"))


def part_of(operation: Any) -> str:
    tag = operation.definition.raw["tags"][0]
    return next((part for part in PARTS if tag in part.split()), "all others")


@contextmanager
def platform_in_a_thread(folder: Path) -> Iterator[tuple[Platform, BlockingPortal]]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            demonstration(folder, ManualClock(), within_s=PATIENCE_S)
        ) as platform,
    ):
        yield platform, portal


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("tags", [*PARTS, "all others"])
def test_no_answer_is_outside_its_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: str
) -> None:
    monkeypatch.setenv("EVARA_API__READS_PER_MINUTE", "1000000")
    monkeypatch.setenv("EVARA_API__WRITES_PER_MINUTE", "1000000")
    with platform_in_a_thread(tmp_path) as (platform, portal):
        client, turns = platform.client(), count()

        async def ask(case: Any) -> httpx.Response:
            sent = case.as_transport_kwargs(base_url="http://localhost")
            headers = httpx.Headers(sent.get("headers"))
            headers.update(client.headers)
            return await client.request(
                sent["method"],
                sent["url"],
                params=sent.get("params"),
                headers=headers,
                json=sent.get("json"),
                content=sent.get("data"),
            )

        described = portal.call(client.get, "/openapi.json").json()
        for result in schemathesis.openapi.from_dict(described).get_all_operations():
            operation = result.ok()
            if operation.path == ENDLESS or part_of(operation) != tags:
                continue

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def holds(case: Any) -> None:
                # Every other time of a record that is there: else it is 404, over and over.
                turn = next(turns)
                for name in set(case.path_parameters or ()) & set(KNOWN):
                    if turn % 2:
                        case.path_parameters[name] = KNOWN[name]
                case.validate_response(portal.call(ask, case), checks=CHECKS)

            holds()
        portal.call(client.aclose)
