"""From simulated channels to what a client gets: every route, thinly but for real."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest
from sqlalchemy import update
from tests.app.conftest import Platform, demonstration, until

from evara_core.errors import ConfigurationError
from evara_core.storage.statements import Query
from evara_core.storage.tables import users
from evara_core.telemetry.state import NodeStatus
from evara_core.testing.clock import ManualClock
from fastapi_app.demo.run import DemoOptions
from fastapi_app.parts import kept_up


def switch_off(user_id: str):
    yield Query(update(users).where(users.c.user_id == user_id).values(is_active=False))


ROLES = ("superadmin", "distributor", "community_manager", "customer")


async def test_everybody_learns_who_they_are(platform: Platform) -> None:
    me = await platform.data("/api/v1/auth/me", "customer")

    assert me["name"] == "Asha Rao"
    assert (me["role"], me["customer_id"]) == ("customer", "k-asha")
    assert "nodes:read" in me["permissions"]
    assert "alerts:write" not in me["permissions"]
    assert me["token_expires_at"].endswith("Z")


async def test_nodes_show_what_their_channels_hold(platform: Platform) -> None:
    nodes = await platform.data("/api/v1/nodes", sort="label", limit=100)

    assert len(nodes) == 10
    assert [n["label"] for n in nodes] == sorted(n["label"] for n in nodes)
    tank = next(node for node in nodes if node["id"] == "tank-0001")
    assert set(tank) == {
        "id", "label", "kind", "category", "status", "location_name", "lat", "lng", "capacity_l",
        "distributor_id", "community_id", "customer_id", "created_at", "last_reading_at",
        "last_seen_at", "active_alerts", "health_score", "values",
    }  # fmt: skip
    assert tank["status"] == "Online"
    assert 0 < tank["values"]["level_percent"]["value"] < 100
    assert tank["values"]["level_percent"]["quality"] == "good"
    assert tank["last_reading_at"].endswith("Z")


async def test_pages_go_through_the_list_and_back(platform: Platform) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = (await platform.get("/api/v1/nodes", limit=4, sort="-status,label", **cursor)).json()
        seen += [node["id"] for node in body["data"]]
        pagination = body["meta"]["pagination"]
        if pagination["next_cursor"] is None:
            break
        cursor = {"cursor": pagination["next_cursor"]}
    back = (
        await platform.get(
            "/api/v1/nodes", limit=4, sort="-status,label", cursor=pagination["prev_cursor"]
        )
    ).json()

    assert len(seen) == len(set(seen)) == 10
    assert [node["id"] for node in back["data"]] == seen[4:8]
    assert "total" not in pagination


async def test_filters_search_and_fields(platform: Platform) -> None:
    tanks = await platform.data("/api/v1/nodes", kind="tank", fields="id,kind", limit=100)
    some = await platform.data("/api/v1/nodes", category=["borewell", "flow meter"], limit=100)
    found = await platform.data("/api/v1/nodes", search="lake view")
    wild = await platform.data("/api/v1/nodes", search="%")
    offline = await platform.get("/api/v1/nodes", status="Offline")

    assert len(tanks) == 6
    assert all(node == {"id": node["id"], "kind": "tank"} for node in tanks)
    assert {node["category"] for node in some} == {"borewell", "flow meter"}
    assert {node["location_name"] for node in found} == {"Lake View"}
    assert wild == []
    assert (offline.status_code, offline.json()["data"]) == (200, [])


async def test_a_node_tells_everything(platform: Platform) -> None:
    node = await platform.data("/api/v1/nodes/tank-0001")

    assert node["metrics"][0] == "level_percent"
    assert node["channel_id"] == 900_001
    assert node["expected_interval_s"] == 5.0
    assert node["config"]["height_cm"] > 0
    assert node["health_reasons"] == []


async def test_readings_are_the_newest_first(platform: Platform) -> None:
    readings = await platform.data("/api/v1/nodes/tank-0001/readings", limit=3)

    assert len(readings) == 3
    moments = [reading["measured_at"] for reading in readings]
    assert moments == sorted(moments, reverse=True)
    assert readings[0]["values"]["level_cm"]["quality"] == "good"


async def test_series_are_columns_that_continue(platform: Platform) -> None:
    first = await platform.data("/api/v1/nodes/tank-0001/series", limit=5)
    rest = await platform.data(
        "/api/v1/nodes/tank-0001/series", start=first["next_start"], metric="level_cm"
    )
    every = await platform.data("/api/v1/nodes/tank-0001/series", metric="level_cm")

    assert len(first["times"]) == 5
    assert {len(column) for column in first["values"].values()} == {5}
    assert "level_percent" in first["values"]
    assert first["times"] + rest["times"] == every["times"]
    assert rest["next_start"] is None
    assert set(rest["quality"]["level_cm"]) == {"good"}


async def test_stats_count_what_the_lists_show_for_each_viewer(platform: Platform) -> None:
    await platform.pass_time(40)

    totals = set()
    for role in ROLES:
        stats = await platform.data("/api/v1/dashboard/stats", role)
        nodes = await platform.data("/api/v1/nodes", role, limit=100)
        alerts = await platform.data("/api/v1/alerts", role, limit=100)
        for status in NodeStatus:
            shown = sum(node["status"] == status for node in nodes)
            assert stats[f"{status.lower()}_nodes"] == shown, (role, status)
        assert stats["total_nodes"] == len(nodes)
        assert stats["active_alerts"] == len(alerts)
        totals.add(len(nodes))
    assert len(totals) > 1


async def test_stats_come_from_the_cache_within_the_scope(platform: Platform) -> None:
    first = await platform.get("/api/v1/dashboard/stats")
    second = await platform.get("/api/v1/dashboard/stats")
    other = await platform.get("/api/v1/dashboard/stats", "customer")

    assert [r.json()["meta"]["cached"] for r in (first, second, other)] == [False, True, False]
    assert first.json()["data"] == second.json()["data"] != other.json()["data"]


async def test_an_alert_fires_is_heard_listed_and_acknowledged(platform: Platform) -> None:
    start = (await platform.data("/api/v1/stream/position"))["position"]
    async with platform.stream("customer", after=start) as stream:
        await platform.pass_time(40)
        fired = json.loads((await stream.has("alert")).data)

    alert = fired["data"]["alert"]
    assert (fired["v"], fired["data"]["kind"]) == (1, "fired")
    assert (alert["rule_id"], alert["node_id"], alert["severity"]) == (
        "tank-low",
        "tank-0001",
        "warning",
    )
    (listed,) = await platform.data("/api/v1/alerts", "customer")
    assert listed["id"] == alert["id"]
    assert listed["rule_name"] == "Water low"
    assert listed["node_label"] == alert["label"]
    assert (listed["state"], listed["acknowledged_at"]) == ("active", None)
    assert "%" in listed["sentence"]


async def test_acknowledging_is_told_to_others_and_done_once(platform: Platform) -> None:
    await platform.pass_time(40)
    (alert,) = await platform.data("/api/v1/alerts", "customer")
    path = f"/api/v1/alerts/{alert['id']}/acknowledge"
    async with platform.stream("distributor") as stream, platform.client("distributor") as client:
        await stream.is_answered()
        first = await client.post(path)
        platform.clock.advance(5)
        second = await client.post(path)
        heard = json.loads((await stream.has("alert")).data)["data"]

    assert first.status_code == second.status_code == 200
    assert first.json()["data"]["acknowledged_by"] == "u-north"
    assert first.json()["data"] == second.json()["data"]
    assert (heard["kind"], heard["alert"]["id"]) == ("acknowledged", alert["id"])


async def test_readings_flow_through_the_stream_in_the_documented_shape(
    platform: Platform,
) -> None:
    async with platform.stream() as stream:
        await stream.is_answered()
        await platform.pass_time(5)
        reading = json.loads((await stream.has("reading")).data)

    data = reading["data"]
    assert reading["key"] == data["node_id"]
    assert data["measured_at"].endswith("Z")
    assert all(set(value) == {"value", "quality"} for value in data["values"].values())


async def test_what_the_parts_count_is_for_operators_only(platform: Platform) -> None:
    told = await platform.data("/health/details", "superadmin")
    refused = await platform.get("/health/details", "customer")

    assert told["streams"]["refused"] == told["streams"]["slow"] == 0
    assert told["monitor"]["nodes"] == 10
    assert refused.status_code == 403


async def test_readiness_looks_at_what_is_needed(platform: Platform) -> None:
    live = await platform.get("/health/live", None)
    ready = await platform.get("/health/ready", None)
    await platform.parts.bus.aclose()
    unready = await platform.get("/health/ready", None)

    assert live.json()["data"] == {"status": "ok"}
    checks = ready.json()["data"]["checks"]
    assert {name: check["status"] for name, check in checks.items()} == {
        "database": "ok",
        "bus": "ok",
        "streams": "ok",
        "monitor": "ok",
        "notifications": "ok",
    }
    assert all(set(check) <= {"status", "latency_ms"} for check in checks.values())
    assert unready.status_code == 503
    assert unready.headers["retry-after"] == "5"
    assert unready.json()["errors"][0]["field"] == "bus"


async def test_the_page_and_its_files_ask_for_nothing_from_elsewhere(platform: Platform) -> None:
    page = await platform.get("/", None)
    script = await platform.get("/static/app.js", None)
    missing = await platform.get("/static/nothing.js", None)

    assert page.headers["content-type"].startswith("text/html")
    assert script.status_code == 200
    assert missing.status_code == 404
    assert missing.json()["status"] == "error"
    for response in (page, script, missing):
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


async def test_demo_tokens_are_for_this_machine_only(platform: Platform) -> None:
    mine = await platform.get("/demo/users", None)
    async with platform.client(None, Host="evil.example") as client:
        foreign = await client.get("/demo/users")

    data = mine.json()["data"]
    assert (data["mode"], data["speed"]) == ("simulator", 1.0)
    assert [user["role"] for user in data["users"]] == list(ROLES)
    assert foreign.status_code == 404


async def test_outside_a_demonstration_there_are_no_demo_tokens(platform: Platform) -> None:
    platform.parts.demo = None

    assert (await platform.get("/demo/users", None)).status_code == 404


async def test_the_interface_describes_itself(platform: Platform) -> None:
    described = (await platform.get("/openapi.json", None)).json()

    assert set(described["paths"]) >= {
        "/api/v1/auth/me",
        "/api/v1/nodes",
        "/api/v1/nodes/{node_id}",
        "/api/v1/nodes/{node_id}/readings",
        "/api/v1/nodes/{node_id}/series",
        "/api/v1/alerts",
        "/api/v1/alerts/{alert_id}/acknowledge",
        "/api/v1/dashboard/stats",
        "/api/v1/rules",
        "/api/v1/rules/{rule_id}",
        "/api/v1/stream",
        "/api/v1/stream/position",
    }


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/api/v1/stream"])
async def test_a_user_who_is_switched_off_is_out_at_once(platform: Platform, path: str) -> None:
    await platform.parts.write(switch_off("u-asha"))

    assert (await platform.get(path, "customer")).status_code == 401


async def test_tokens_expire_by_everybody_s_clock_and_not_by_the_application_s(
    platform: Platform,
) -> None:
    platform.clock.jump(platform.clock.now() + timedelta(days=2))

    assert (await platform.get("/api/v1/auth/me")).status_code == 200


@pytest.mark.server
async def test_the_same_on_postgresql(
    postgres_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    options = DemoOptions(nodes=10, folder=tmp_path, postgres=postgres_url)
    for is_fresh in (False, False, True):
        options = replace(options, is_fresh=is_fresh)
        async with demonstration(tmp_path, clock, options=options) as platform:
            await platform.pass_time(40)
            nodes = await platform.data("/api/v1/nodes", limit=100)
            stats = await platform.data("/api/v1/dashboard/stats")
            alerts = await platform.data("/api/v1/alerts", "customer")
            readings = await platform.data("/api/v1/nodes/tank-0001/series", metric="level_cm")

        assert len(nodes) == stats["total_nodes"] == 10
        assert {alert["rule_id"] for alert in alerts} >= {"tank-low"}
        assert len(set(readings["times"])) == len(readings["times"]) > 10


async def test_another_fleet_in_the_same_database_is_refused(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with demonstration(tmp_path, clock, nodes=3):
        pass
    (tmp_path / "state.json").unlink()

    with pytest.raises(ConfigurationError, match="--fresh"):
        async with demonstration(tmp_path, clock, nodes=5):
            pass


async def test_rights_are_looked_up_again_while_a_stream_is_open(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVARA_STREAM__RECHECK_S", "0.02")
    async with demonstration(tmp_path, clock) as platform, platform.stream("customer") as stream:
        await stream.is_answered()

        await platform.parts.write(switch_off("u-asha"))
        bye = await stream.has("bye")

    assert json.loads(bye.data) == {
        "code": "FORBIDDEN",
        "resume": False,
        "retry_ms": json.loads(bye.data)["retry_ms"],
    }


async def test_a_task_that_crashes_is_told_and_started_again(
    tmp_path: Path, clock: ManualClock
) -> None:
    pause_is_over = anyio.Event()

    async def sleep(_: float) -> None:
        await pause_is_over.wait()

    async with demonstration(tmp_path, clock) as platform:
        runs = []

        async def run() -> None:
            runs.append(len(runs))
            if len(runs) == 1:
                raise RuntimeError

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(kept_up, platform.parts, "rights", run, sleep=sleep))
            await until(lambda: platform.parts.crashed)
            crashed = await platform.get("/health/ready", None)
            pause_is_over.set()
            await until(lambda: len(runs) == 2)
        recovered = await platform.get("/health/ready", None)

    assert (crashed.status_code, crashed.json()["errors"][0]["field"]) == (503, "rights")
    assert recovered.status_code == 200
