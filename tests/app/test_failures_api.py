"""What was set aside, as operators of the platform look at it, try it again, or let it be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import insert, select
from tests.app.conftest import Platform, refusal
from tests.app.worlds import world

from evara_core.access.principal import Principal, Role
from evara_core.serialization import dump_json
from evara_core.storage.fleet import add_user
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes, readings, set_aside
from evara_core.testing.samples import START, entry
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from evara_core.storage.statements import Statements
    from evara_core.testing.clock import ManualClock

FAILURES = "/api/v1/failures"
NODE = "tank-0001"


def put_aside(*rows: dict[str, Any]) -> Statements[None]:
    key = select(nodes.c.node_key).where(nodes.c.node_id == NODE).scalar_subquery()
    for number, row in enumerate(rows, start=1):
        whole = {"node_id": NODE, "source": f"s{number}", "reason": "junk", **row}
        yield Query(insert(set_aside).values(node_key=key, **whole))


@pytest.fixture
async def aside(platform: Platform) -> list[int]:
    """A row that holds an entry, and a newer one that holds none; their numbers."""
    now = platform.clock.now()
    late = replace(entry(900_001), created_at=now - timedelta(hours=1))
    await platform.parts.write(
        put_aside(
            {"received_at": now - timedelta(minutes=2), "body": dump_json(late).decode()},
            {"received_at": now - timedelta(minutes=1), "body": "half a row"},
        )
    )
    found = await platform.data(FAILURES)
    return [row["id"] for row in reversed(found)]


async def post(platform: Platform, verb: str, ids: list[int], who: str = "superadmin") -> Any:
    async with platform.client(who) as client:
        return await client.post(f"{FAILURES}/{verb}", json={"ids": ids})


async def test_are_listed_in_pages_the_newest_first(platform: Platform, aside: list[int]) -> None:
    first = (await platform.get(FAILURES, limit=1)).json()
    cursor = first["meta"]["pagination"]["next_cursor"]
    second = await platform.data(FAILURES, limit=1, cursor=cursor)

    assert [row["id"] for row in (*first["data"], *second)] == aside[::-1]
    assert (second[0]["status"], second[0]["node_id"]) == ("open", NODE)
    assert refusal(await platform.get(FAILURES, colour="blue"))["code"] == "INVALID_PARAMETER"


async def test_one_is_shown_with_its_text_and_whose_it_is(
    platform: Platform, aside: list[int]
) -> None:
    found = await platform.data(f"{FAILURES}/{aside[1]}")
    node = await platform.data(f"/api/v1/nodes/{NODE}")

    assert (found["body"], found["distributor_id"]) == ("half a row", node["distributor_id"])
    assert (await platform.get(f"{FAILURES}/999999")).status_code == 404
    assert (await platform.get(f"{FAILURES}/{2**63}")).status_code == 400


async def test_a_replay_stores_what_it_can_and_leaves_the_rest_open(
    platform: Platform, aside: list[int]
) -> None:
    report = (await post(platform, "replay", aside)).json()["data"]
    again = (await post(platform, "replay", aside)).json()["data"]
    waiting = await platform.data(FAILURES, status="open")

    assert (report["stored"], report["taken"]) == (1, aside[:1])
    assert [row["id"] for row in report["left"]] == aside[1:]
    assert (again["stored"], again["taken"]) == (0, [])
    assert [row["id"] for row in waiting] == aside[1:]
    async with platform.parts.engine.connect() as connection:
        stored = select(readings.c.entry_id).where(readings.c.entry_id == 900_001)
        assert (await connection.scalars(stored)).all() == [900_001]


async def test_what_is_dismissed_is_open_no_more(platform: Platform, aside: list[int]) -> None:
    first = (await post(platform, "dismiss", [*aside, 999_999])).json()["data"]
    second = (await post(platform, "dismiss", aside)).json()["data"]
    dismissed = await platform.data(FAILURES, status="dismissed")

    assert (first, second) == ({"dismissed": 2}, {"dismissed": 0})
    assert {row["dismissed_by"] for row in dismissed} != {None}


async def test_who_did_it_is_in_the_audit_log_once_for_each_row(
    platform: Platform, aside: list[int]
) -> None:
    await post(platform, "replay", aside)
    await post(platform, "dismiss", aside)
    await post(platform, "dismiss", aside)

    told = await platform.data("/api/v1/audit", resource="failures", sort="at")

    became = {row["resource_id"]: row["content"]["after"]["status"] for row in told}
    assert became == {str(aside[0]): "replayed", str(aside[1]): "dismissed"}
    assert len(told) == 2


@pytest.mark.parametrize("who", ["distributor", "community_manager", "customer"])
async def test_are_for_operators_of_the_platform_only(
    platform: Platform, aside: list[int], who: str
) -> None:
    answers = [
        await platform.get(FAILURES, who),
        await platform.get(f"{FAILURES}/{aside[0]}", who),
        await post(platform, "replay", aside, who),
        await post(platform, "dismiss", aside, who),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert len(await platform.data(FAILURES, status="open")) == 2


@pytest.mark.parametrize("ids", [[], [0], [2**63], ["x"], list(range(1, 1_002)), None])
async def test_refuses_numbers_that_are_none(platform: Platform, ids: Any) -> None:
    response: httpx.Response = await post(platform, "dismiss", ids)

    assert 400 <= response.status_code < 500
    assert refusal(response)["code"] in {"INVALID_BODY", "VALIDATION_ERROR"}


async def test_a_process_without_a_monitor_says_so(
    sqlite_database_url: str, clock: ManualClock
) -> None:
    issuer = TokenIssuer(clock=clock)
    headers = {"Authorization": f"Bearer {issuer.mint('boss', claims={'session_id': 's'})}"}
    async with world(
        sqlite_database_url, Role.DISTRIBUTOR, issuer=issuer, clock=clock, has_others=False
    ) as place:
        boss = Principal(user_id="boss", role=Role.SUPERADMIN)
        await place.parts.write(add_user(boss, name="Boss", created_at=START))

        response = await place.ask("POST", f"{FAILURES}/replay", headers=headers, json={"ids": [1]})

    assert response.status_code == 409
    assert refusal(response)["code"] == "CONFLICT"
