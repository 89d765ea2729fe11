"""Telemetry, what people say of alerts, rules as files, versions, and what runs the service."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from tests.app.conftest import Platform, demonstration, refusal, until

from evara_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NODE = "/api/v1/nodes/tank-0001"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with demonstration(tmp_path_factory.mktemp("demo"), ManualClock()) as platform:
        await platform.pass_time(40)
        yield platform


async def test_readings_come_in_pages_and_as_the_latest(platform: Platform) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = (await platform.get(f"{NODE}/telemetry", limit=5, **cursor)).json()
        seen += [each["measured_at"] for each in body["data"]]
        if (following := body["meta"]["pagination"]["next_cursor"]) is None:
            break
        cursor = {"cursor": following}
    latest = await platform.data(f"{NODE}/telemetry/latest")
    slim = await platform.data(f"{NODE}/telemetry", fields="measured_at", sort="measured_at")

    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) > 10
    assert latest["measured_at"] == seen[0]
    assert slim[0] == {"measured_at": seen[-1]}


async def test_an_export_holds_every_reading_once(platform: Platform) -> None:
    response = await platform.get(f"{NODE}/telemetry.csv")
    lines = list(csv.DictReader(io.StringIO(response.text)))
    series = await platform.data(f"{NODE}/series", metric="level_cm")

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="tank-0001.csv"'
    assert [float(line["level_cm"]) for line in lines] == series["values"]["level_cm"]
    assert {line["level_cm_quality"] for line in lines} == {"good"}


@pytest.mark.parametrize("by", ["hour", "day"])
async def test_summaries_agree_with_the_readings(platform: Platform, by: str) -> None:
    series = await platform.data(f"{NODE}/series", metric="level_cm")
    found = await platform.data(f"{NODE}/summaries", metric="level_cm", by=by)

    values = series["values"]["level_cm"]
    assert sum(piece["count"] for piece in found) == len(values)
    assert min(piece["minimum"] for piece in found) == min(values)
    assert max(piece["maximum"] for piece in found) == max(values)


async def test_an_alert_is_explained_shelved_and_resolved_when_it_may(platform: Platform) -> None:
    (alert,) = await platform.data("/api/v1/alerts", "customer")
    path = f"/api/v1/alerts/{alert['id']}"
    async with platform.client("distributor") as client:
        told = await client.get(path)
        shelved = await client.post(f"{path}/shelve", json={"hours": 2, "note": "being cleaned"})
        too_long = await client.post(f"{path}/shelve", json={"hours": 10_000})
        back = await client.post(f"{path}/unshelve")
        still_true = await client.post(f"{path}/resolve")
        unknown = await client.post("/api/v1/alerts/none/shelve", json={"hours": 1})
    audit = await platform.data("/api/v1/audit", "distributor", resource="alerts")

    assert told.json()["data"]["reason"]
    assert (shelved.status_code, back.status_code) == (202, 202)
    assert (too_long.status_code, refusal(too_long)["code"]) == (400, "VALIDATION_ERROR")
    assert (still_true.status_code, refusal(still_true)["code"]) == (409, "CONFLICT")
    assert unknown.status_code == 404
    assert [each["content"]["after"]["said"] for each in audit] == ["unshelved", "shelved"]


async def test_an_acknowledgement_is_taken_back(platform: Platform) -> None:
    (alert,) = await platform.data("/api/v1/alerts", "customer")
    path = f"/api/v1/alerts/{alert['id']}"
    async with platform.client("distributor") as client:
        seen = await client.post(f"{path}/acknowledge", json={"note": "on my way"})
        back = await client.post(f"{path}/unacknowledge")

    assert seen.json()["data"]["note"] == "on my way"
    assert back.json()["data"]["acknowledged_at"] is None


async def test_rules_go_out_as_a_file_and_come_in_again(platform: Platform) -> None:
    exported = await platform.get("/api/v1/rules/export", "distributor")
    mine = "rules:\n- {id: mine, kind: tank, when: level_percent < 3}\n"
    async with platform.client("distributor") as client:
        stored = await client.post("/api/v1/rules/import", content=mine)
        odd = await client.post("/api/v1/rules/import", content="rules:\n- {id: x, kind: tank}\n")
        broken = await client.post("/api/v1/rules/import", content="rules: [")
    changes = await platform.data("/api/v1/rules/changes", "distributor")

    assert "when:" in exported.text
    assert [rule["id"] for rule in stored.json()["data"]["stored"]] == ["d-north:mine"]
    assert (odd.status_code, broken.status_code) == (422, 400)
    assert changes[0]["changed_by"] == "u-north"


async def test_a_rule_is_tried_on_the_past(platform: Platform) -> None:
    trial = {
        "rule": {"kind": "tank", "when": "level_percent < 101", "hold": "0s"},
        "node_id": "tank-0001",
        "start": "2025-12-31T00:00:00Z",
        "end": "2026-01-02T00:00:00Z",
    }
    async with platform.client("distributor") as client:
        tried = await client.post("/api/v1/rules/backtest", json=trial)
        hidden = await client.post("/api/v1/rules/backtest", json={**trial, "node_id": "none"})

    data = tried.json()["data"]
    assert tried.status_code == 200, tried.text
    assert (len(data["episodes"]), data["node_id"]) == (1, "tank-0001")
    assert data["readings"] > 10
    assert hidden.status_code == 404


async def test_a_rule_is_changed_by_who_knows_its_state(platform: Platform) -> None:
    rule = {"kind": "tank", "when": "level_percent < 4"}
    async with platform.client("distributor") as client:
        first = await client.put("/api/v1/rules/tagged", json=rule)
        tag = {"If-Match": first.headers["etag"]}
        second = await client.put("/api/v1/rules/tagged", json=rule, headers=tag)
        late = await client.put("/api/v1/rules/tagged", json=rule, headers=tag)

    assert (first.status_code, second.status_code, late.status_code) == (200, 200, 412)


async def test_versions_answer_side_by_side(platform: Platform) -> None:
    one = await platform.get("/api/v1/dashboard/stats")
    two = await platform.get("/api/v2/dashboard/stats")
    async with platform.client(**{"X-API-Version": "2"}) as client:
        by_header = await client.get("/api/dashboard/stats")

    flat, nested = one.json()["data"], two.json()["data"]
    assert (one.json()["meta"]["version"], two.json()["meta"]["version"]) == ("1", "2")
    assert flat["online_nodes"] == nested["nodes_by_status"]["online"]
    assert "online_nodes" not in nested
    assert by_header.json()["data"] == nested
    assert two.headers["vary"] == "X-API-Version"


async def test_a_route_that_goes_away_says_until_when_and_who_calls_it(platform: Platform) -> None:
    old = await platform.get(f"{NODE}/readings", "customer")
    uses = await platform.data("/api/v1/deprecations")
    denied = await platform.get("/api/v1/deprecations", "distributor")
    metrics = await platform.get("/metrics")

    assert old.headers["deprecation"] == "@1793491200"
    assert old.headers["sunset"] == "Wed, 01 Dec 2027 00:00:00 GMT"
    assert 'rel="successor-version"' in old.headers["link"]
    assert uses[0]["principal_id"] == "u-asha"
    assert denied.status_code == 403
    assert 'evara_deprecated_calls_total{principal="u-asha"' in metrics.text
    assert 'route="/api/nodes/{node_id}/readings"' in metrics.text


async def test_device_types_may_be_kept_by_everybody(platform: Platform) -> None:
    first = await platform.get("/api/v1/public/device-types", None)
    async with platform.client(None, **{"If-None-Match": first.headers["etag"]}) as client:
        again = await client.get("/api/v1/public/device-types")

    assert first.headers["cache-control"] == "public, max-age=3600"
    assert {kind["name"] for kind in first.json()["data"]} >= {"tank", "deep", "flow"}
    assert (again.status_code, again.content) == (304, b"")


async def test_the_catalogue_of_errors_is_published(platform: Platform) -> None:
    listed = await platform.data("/api/v1/errors")

    assert {"CONFLICT", "RATE_LIMITED"} <= {entry["code"] for entry in listed}


async def test_a_snapshot_goes_with_its_place_in_the_stream(platform: Platform) -> None:
    await until(lambda: platform.parts.hub.position)
    mine = await platform.data("/api/v1/stream/snapshot", "customer")
    nodes = await platform.data("/api/v1/nodes", "customer", limit=100)

    assert [node["id"] for node in mine["data"]["nodes"]] == [node["id"] for node in nodes]
    assert mine["position"]
