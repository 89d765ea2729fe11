"""Nodes and tenants through the interface: made, changed, deleted, one by one and by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.app.conftest import Platform, demonstration, refusal

from evara_core.access.audit import find_break
from evara_core.storage.counters import reconcile
from evara_core.storage.trail import entries
from evara_core.testing.clock import ManualClock
from fastapi_app.demo.run import DemoOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

NODE = {"label": "Bakul OHT-01", "kind": "tank", "category": "OHT", "capacity_text": "2.00L L"}
NORTH = {"distributor_id": "d-north"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with demonstration(tmp_path_factory.mktemp("demo"), ManualClock()) as platform:
        yield platform


async def ask(
    platform: Platform, method: str, path: str, who: str = "distributor", **options: Any
) -> httpx.Response:
    async with platform.client(who, **options.pop("headers", {})) as client:
        return await client.request(method, path, **options)


async def made(platform: Platform, **members: Any) -> tuple[dict[str, Any], str]:
    """Make a node; return it and its entity tag."""
    response = await ask(platform, "POST", "/api/v1/nodes", json={**NODE, **members})
    assert response.status_code == 201, response.text
    return response.json()["data"], response.headers["etag"]


async def test_a_node_is_made_changed_and_deleted(platform: Platform) -> None:
    created = await ask(platform, "POST", "/api/v1/nodes", json=NODE)
    node, path = created.json()["data"], created.headers["location"]
    changed = await ask(
        platform, "PATCH", path, json={"label": "B"}, headers={"If-Match": created.headers["etag"]}
    )
    deleted = await ask(platform, "DELETE", path, headers={"If-Match": changed.headers["etag"]})
    gone = await ask(platform, "GET", path)

    assert (created.status_code, path) == (201, f"/api/v1/nodes/{node['id']}")
    assert (node["capacity_l"], node["distributor_id"]) == (200_000.0, "d-north")
    assert (node["status"], node["values"], node["revision"]) == ("provisioning", {}, 1)
    assert (changed.status_code, changed.json()["data"]["label"]) == (200, "B")
    assert changed.json()["data"]["revision"] == 2
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert gone.status_code == 404


async def test_counters_stay_true_whatever_is_written(platform: Platform) -> None:
    nodes = [await made(platform) for _ in range(3)]
    node, etag = nodes[0]
    await ask(platform, "DELETE", f"/api/v1/nodes/{node['id']}", headers={"If-Match": etag})
    items = [{"id": other["id"]} for other, _ in nodes]
    await ask(platform, "DELETE", "/api/v1/nodes/batch", json={"items": items, "mode": "partial"})
    await ask(platform, "DELETE", "/api/v1/nodes/batch", json={"items": [{"id": "tank-0004"}]})
    drift = await platform.parts.write(reconcile(dialect="sqlite"))

    assert drift == []


async def test_a_change_needs_the_state_that_it_changes(platform: Platform) -> None:
    node, etag = await made(platform)
    path = f"/api/v1/nodes/{node['id']}"
    without = await ask(platform, "PATCH", path, json={"label": "A"})
    first = await ask(platform, "PATCH", path, json={"label": "A"}, headers={"If-Match": etag})
    late = await ask(platform, "PATCH", path, json={"label": "B"}, headers={"If-Match": etag})
    any_state = await ask(platform, "PATCH", path, json={"label": "C"}, headers={"If-Match": "*"})
    odd = await ask(platform, "PATCH", path, json={"label": "D"}, headers={"If-Match": "abc"})

    assert (without.status_code, refusal(without)["code"]) == (428, "PRECONDITION_REQUIRED")
    assert (late.status_code, refusal(late)["code"]) == (412, "PRECONDITION_FAILED")
    assert first.status_code == any_state.status_code == 200
    assert (odd.status_code, refusal(odd)["field"]) == (400, "If-Match")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**NODE, "kind": "boat"}, "/kind"),
        ({**NODE, "lat": 91}, "/lat"),
        ({**NODE, "label": ""}, "/label"),
        ({**NODE, "revision": 7}, "/revision"),
        ({**NODE, "config": {"height_cm": "tall"}}, "/config"),
        ({**NODE, "capacity_text": "much"}, "/capacity_text"),
        ({"label": "A"}, "/kind"),
        ([], ""),
    ],
)
async def test_what_a_node_cannot_be_is_said_with_its_place(
    platform: Platform, body: Any, pointer: str
) -> None:
    response = await ask(platform, "POST", "/api/v1/nodes", json=body)

    assert (response.status_code, refusal(response)["pointer"]) == (400, pointer)


async def test_nobody_writes_outside_its_scope_or_without_the_right(platform: Platform) -> None:
    foreign = {**NODE, "distributor_id": "d-south"}
    not_mine = {**NODE, "community_id": "c-harbour"}
    everything = await platform.data("/api/v1/nodes", limit=100)
    theirs = next(node["id"] for node in everything if node["distributor_id"] == "d-south")
    outside = await ask(platform, "POST", "/api/v1/nodes", json=foreign)
    elsewhere = await ask(platform, "POST", "/api/v1/nodes", json=not_mine)
    hidden = await ask(platform, "DELETE", f"/api/v1/nodes/{theirs}", headers={"If-Match": "*"})
    denied = await ask(platform, "POST", "/api/v1/nodes", "customer", json=NODE)

    assert (outside.status_code, denied.status_code) == (403, 403)
    assert elsewhere.status_code == 409
    assert (hidden.status_code, refusal(hidden)["code"]) == (404, "NOT_FOUND")


async def test_a_batch_is_all_or_nothing_unless_parts_are_asked_for(platform: Platform) -> None:
    items = [NODE, {**NODE, "lat": 200}, {**NODE, "label": "last"}]
    before = len(await platform.data("/api/v1/nodes", limit=100))
    refused = await ask(platform, "POST", "/api/v1/nodes/batch", json={"items": items})
    between = len(await platform.data("/api/v1/nodes", limit=100))
    partial = await ask(
        platform, "POST", "/api/v1/nodes/batch", json={"items": items, "mode": "partial"}
    )
    body = partial.json()

    assert (refused.status_code, refusal(refused)["pointer"]) == (400, "/items/1/lat")
    assert before == between
    assert (partial.status_code, body["meta"]["batch"]) == (207, {"succeeded": 2, "failed": 1})
    assert [each["status"] for each in body["data"]] == [201, 400, 201]


async def test_a_repeated_request_makes_one_node(platform: Platform) -> None:
    headers = {"Idempotency-Key": '"once-1"'}
    first = await ask(platform, "POST", "/api/v1/nodes", json=NODE, headers=headers)
    again = await ask(platform, "POST", "/api/v1/nodes", json=NODE, headers=headers)
    other = await ask(
        platform, "POST", "/api/v1/nodes", json={**NODE, "label": "B"}, headers=headers
    )

    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert (other.status_code, refusal(other)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_tenants_and_users_are_written_within_the_scope(platform: Platform) -> None:
    community = await ask(platform, "POST", "/api/v1/communities", json={"name": "New Town"})
    key = community.json()["data"]["id"]
    manager = {"name": "M", "role": "community_manager", "community_id": key}
    user = await ask(platform, "POST", "/api/v1/users", json=manager)
    too_much = await ask(
        platform, "POST", "/api/v1/users", json={"name": "X", "role": "superadmin"}
    )
    unlimited = await ask(platform, "POST", "/api/v1/users", json={"name": "X", "role": "customer"})
    off = await ask(
        platform,
        "PATCH",
        f"/api/v1/users/{user.json()['data']['id']}",
        json={"is_active": False},
        headers={"If-Match": user.headers["etag"]},
    )
    kingdom = await ask(platform, "POST", "/api/v1/distributors", json={"name": "Mine"})

    assert (community.status_code, community.json()["data"]["distributor_id"]) == (201, "d-north")
    assert user.status_code == 201, user.text
    assert (too_much.status_code, unlimited.status_code) == (403, 400)
    assert refusal(unlimited)["pointer"] == "/role"
    assert off.json()["data"]["is_active"] is False
    assert kingdom.status_code == 403


async def test_what_was_written_is_in_the_audit_log_and_its_chain_holds(
    platform: Platform,
) -> None:
    node, etag = await made(platform)
    path = f"/api/v1/nodes/{node['id']}"
    headers = {"If-Match": etag, "X-Request-ID": "trace-7"}
    await ask(platform, "PATCH", path, json={"label": "Z"}, headers=headers)
    told = await platform.data("/api/v1/audit", "distributor", resource_id=node["id"])
    foreign = await platform.get("/api/v1/audit", "customer")
    chain = await platform.parts.read(entries())

    changed, begun = told
    assert (begun["action"], begun["actor_id"]) == ("nodes:write", "u-north")
    assert changed["content"]["before"] == {"label": NODE["label"]}
    assert changed["content"]["after"] == {"label": "Z"}
    assert changed["content"]["request_id"] == "trace-7"
    assert foreign.status_code == 403
    assert find_break(chain) is None


async def test_what_belongs_to_nodes_comes_along_in_the_page(platform: Platform) -> None:
    nodes = await platform.data(
        "/api/v1/nodes", "customer", include="community,alerts", fields="id,label"
    )

    assert {node["community"]["name"] for node in nodes} == {"Lake View"}
    assert all(isinstance(node["alerts"], list) for node in nodes)


async def test_rates_are_told_with_every_answer(platform: Platform) -> None:
    read = await platform.get("/api/v1/nodes")
    wrote = await ask(platform, "POST", "/api/v1/nodes", json={})

    assert read.headers["ratelimit-policy"].startswith('"reads";q=1200')
    assert wrote.headers["ratelimit-policy"].startswith('"writes";q=300')


async def test_a_body_that_is_too_long_is_not_read(platform: Platform) -> None:
    response = await ask(platform, "POST", "/api/v1/nodes", content=b"x" * 1_000_001)

    assert response.status_code == 413


@pytest.mark.server
async def test_the_same_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    options = DemoOptions(nodes=6, folder=tmp_path, postgres=postgres_url)
    async with demonstration(tmp_path, ManualClock(), options=options) as platform:
        node, etag = await made(platform, lat=17.4, config={"height_cm": 300})
        path = f"/api/v1/nodes/{node['id']}"
        changed = await ask(
            platform, "PATCH", path, json={"label": "B"}, headers={"If-Match": etag}
        )
        items = [{**NODE, "label": "one"}, {**NODE, "community_id": "nowhere"}, NODE]
        partial = await ask(
            platform, "POST", "/api/v1/nodes/batch", json={"items": items, "mode": "partial"}
        )
        repeated = [
            await ask(
                platform, "POST", "/api/v1/nodes", json=NODE, headers={"Idempotency-Key": '"k"'}
            )
            for _ in range(2)
        ]
        searched = await platform.data("/api/v1/nodes", search="one")
        gone = await ask(
            platform, "DELETE", "/api/v1/nodes/batch", json={"items": [{"id": node["id"]}]}
        )
        await ask(platform, "DELETE", "/api/v1/nodes/tank-0001", headers={"If-Match": "*"})
        drift = await platform.parts.write(reconcile(dialect="postgresql"))
        chain = await platform.parts.read(entries())

    assert (changed.status_code, gone.status_code) == (200, 200)
    assert [each["status"] for each in partial.json()["data"]] == [201, 409, 201]
    assert repeated[0].content == repeated[1].content
    assert [found["label"] for found in searched] == ["one"]
    assert drift == []
    assert find_break(chain) is None
