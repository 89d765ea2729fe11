"""What must be refused: in the one shape, without a traceback, and without a word too much."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.app.conftest import refusal

from evara_core.clock import SystemClock
from evara_core.errors import StorageUnavailableError
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    import pytest
    from tests.app.conftest import Platform


async def test_tokens_of_others_are_worth_nothing(platform: Platform) -> None:
    clock = SystemClock()
    demo = {"issuer": "http://localhost/demo", "audience": "evara-demo", "kid": "demo"}
    forged = [
        TokenIssuer(clock=clock, **demo).mint("u-operator"),
        TokenIssuer(clock=clock).mint("u-operator"),
        platform.token("superadmin")[:-2] + "AA",
        platform.token("superadmin") + " ",
    ]
    for token in forged[:3]:
        async with platform.client(None, Authorization=f"Bearer {token}") as client:
            assert (await client.get("/api/v1/auth/me")).status_code == 401


async def test_cursors_are_good_for_their_own_query_and_caller_only(platform: Platform) -> None:
    page = (await platform.get("/api/v1/nodes", limit=2)).json()
    cursor = page["meta"]["pagination"]["next_cursor"]
    attempts = [
        await platform.get(
            "/api/v1/nodes", cursor=cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
        ),
        await platform.get("/api/v1/nodes", cursor="!!!"),
        await platform.get("/api/v1/nodes", cursor="x" * 1_000),
        await platform.get("/api/v1/nodes", cursor=cursor, sort="label"),
        await platform.get("/api/v1/nodes", cursor=cursor, status="Online"),
        await platform.get("/api/v1/nodes", "distributor", cursor=cursor),
        await platform.get("/api/v1/alerts", cursor=cursor),
    ]

    for response in attempts:
        assert response.status_code == 400
        assert refusal(response)["code"] in {"INVALID_CURSOR", "CURSOR_MISMATCH"}
    assert (await platform.get("/api/v1/nodes", cursor=cursor)).status_code == 200


async def test_what_is_not_mine_does_not_exist(platform: Platform) -> None:
    await platform.pass_time(40)
    everything = await platform.data("/api/v1/nodes", limit=100)
    mine = {node["id"] for node in await platform.data("/api/v1/nodes", "customer", limit=100)}
    foreign = next(node["id"] for node in everything if node["id"] not in mine)
    answers = [
        await platform.get(f"/api/v1/nodes/{node_id}{rest}", "customer")
        for node_id in (foreign, "never-was")
        for rest in ("", "/readings", "/series")
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {str(answer.json()["errors"]) for answer in answers} == {
        "[{'code': 'NOT_FOUND', 'message': 'no such node'}]"
    }


async def test_filters_and_searches_find_nothing_of_others(platform: Platform) -> None:
    everything = await platform.data("/api/v1/nodes", limit=100)
    mine = {node["id"] for node in await platform.data("/api/v1/nodes", "customer", limit=100)}
    foreign = next(node for node in everything if node["id"] not in mine)
    asked = [
        await platform.data("/api/v1/nodes", "customer", search=foreign["label"]),
        await platform.data("/api/v1/nodes", "customer", community_id="c-harbour"),
        await platform.data("/api/v1/nodes", "customer", customer_id="k-meena"),
        await platform.data("/api/v1/alerts", "customer", node_id=foreign["id"], state="all"),
    ]

    assert asked == [[], [], [], []]
    assert 0 < len(mine) < len(everything)


async def test_nobody_acknowledges_what_is_not_theirs_or_without_the_right(
    platform: Platform,
) -> None:
    await platform.pass_time(80)
    alerts = await platform.data("/api/v1/alerts", limit=100)
    mine = {alert["id"] for alert in await platform.data("/api/v1/alerts", "community_manager")}
    (own, *_) = mine
    foreign = next((alert["id"] for alert in alerts if alert["id"] not in mine), "never-was")

    async with platform.client("customer") as client:
        denied = await client.post(f"/api/v1/alerts/{own}/acknowledge")
    async with platform.client("community_manager") as client:
        hidden = await client.post(f"/api/v1/alerts/{foreign}/acknowledge")

    assert (denied.status_code, refusal(denied)["code"]) == (403, "FORBIDDEN")
    assert (hidden.status_code, refusal(hidden)["code"]) == (404, "NOT_FOUND")
    states = {alert["acknowledged_at"] for alert in await platform.data("/api/v1/alerts")}
    assert states == {None}


async def test_a_stream_carries_nothing_of_others(platform: Platform) -> None:
    mine = {node["id"] for node in await platform.data("/api/v1/nodes", "customer", limit=100)}
    async with platform.stream("customer") as customer, platform.stream() as everybody:
        await customer.is_answered()
        await everybody.is_answered()
        await platform.pass_time(40)
        await everybody.has("alert")

    def subjects(stream) -> set[str]:
        data = [json.loads(event.data)["data"] for event in stream.events]
        return {(each.get("alert") or each)["node_id"] for each in data}

    assert subjects(customer) == mine
    assert subjects(everybody) > mine


async def test_too_many_streams_of_one_user_are_refused(platform: Platform) -> None:
    hub = platform.parts.hub
    held = [
        await hub.subscribe(principal_id="u-asha", topics=["t"])
        for _ in range(platform.parts.settings.stream.clients_per_principal)
    ]

    response = await platform.get("/api/v1/stream", "customer")

    assert response.status_code == 429
    assert refusal(response)["code"] == "RATE_LIMITED"
    assert response.headers["retry-after"] == "10"
    for subscription in held:
        subscription.close()


async def test_other_methods_paths_and_bodies(platform: Platform) -> None:
    async with platform.client() as client:
        wrong_method = await client.delete("/api/v1/nodes")
        nowhere = await client.get("/api/v1/nothing")
        unborn = await client.get("/api/v3/nodes")
        traversal = await client.get("/static/..%2f..%2fparts.py")
        slash = await client.get("/api/v1/nodes/")

    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "GET")
    assert nowhere.status_code == traversal.status_code == 404
    assert slash.status_code in {307, 404}
    assert (unborn.status_code, refusal(unborn)["code"]) == (400, "UNSUPPORTED_VERSION")
    for response in (wrong_method, nowhere, traversal):
        refusal(response)


async def test_a_database_that_is_away_is_503_and_says_when_to_come_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(flow: Any) -> None:
        flow.close()
        raise StorageUnavailableError("postgresql://me:SESAME@db refused", 3.0)

    monkeypatch.setattr(platform.parts, "read", away, raising=False)

    response = await platform.get("/api/v1/nodes")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "3"
    assert "SESAME" not in response.text
    assert refusal(response)["code"] == "SERVICE_UNAVAILABLE"
