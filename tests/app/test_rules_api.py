from __future__ import annotations

import pytest

LOW = {"kind": "tank", "when": "level_percent < 101", "label": "Always"}


async def put(platform, who, rule_id, document, **params):
    async with platform.client(who) as client:
        return await client.put(f"/api/v1/rules/{rule_id}", json=document, params=params)


async def test_a_tenants_rule_is_its_own(platform):
    answer = await put(platform, "distributor", "always", LOW)

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["owner"] == "tenant"
    mine = {rule["id"] for rule in await platform.data("/api/v1/rules", "distributor")}
    platforms = {rule["id"] for rule in await platform.data("/api/v1/rules")}
    assert mine - platforms == {answer.json()["data"]["id"]}


@pytest.mark.parametrize("who", ["customer", "community_manager"])
async def test_who_may_not_write_rules_does_not(platform, who):
    answer = await put(platform, who, "always", LOW)

    assert answer.status_code == 403


async def test_a_rule_that_is_none_is_refused(platform):
    answer = await put(platform, "distributor", "odd", {**LOW, "when": "level_percent <"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "INVALID_RULE"


async def test_the_same_revision_is_changed_once(platform):
    first = await put(platform, "distributor", "always", LOW)
    known = {"revision": first.json()["data"]["revision"]}
    second = await put(platform, "distributor", "always", LOW, **known)
    third = await put(platform, "distributor", "always", LOW, **known)

    assert (second.status_code, third.status_code) == (200, 412)
