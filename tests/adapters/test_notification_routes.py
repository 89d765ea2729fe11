"""Receivers, routes and deliveries through FastAPI: who sees, changes and tries what."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from evara_core.access.principal import Principal
from evara_core.access.roles import built_in_policy
from evara_core.access.sealing import KeySealer, new_sealing_key
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.callers import Guard
from evara_core.adapters.fastapi.notifications import TESTS, notification_router
from evara_core.adapters.starlette.replies import Replies
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.channel_book import ChannelBook, standard_makers
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import add_distributor
from evara_core.storage.statements import Query
from evara_core.storage.tables import deliveries, receiver_states
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START
from evara_core.testing.tokens import TokenIssuer

USERS = {
    "root": Principal(user_id="root", role="superadmin"),
    "one": Principal(user_id="one", role="distributor", distributor_id="d-1"),
    "two": Principal(user_id="two", role="distributor", distributor_id="d-2"),
    "customer": Principal(
        user_id="customer", role="customer", distributor_id="d-1", customer_id="k"
    ),
}
HOOK = {"channel": {"type": "webhook", "url": "https://127.0.0.1:1/hook"}}
CALL = {"channel": {"type": "function", "name": "phone"}}


class Api:
    """The interface, called by somebody."""

    def __init__(self, client, issuer):
        self._client = client
        self._issuer = issuer

    async def __call__(self, who, method, path, json=None, status=200):
        headers = {"Authorization": f"Bearer {self._issuer.mint(who)}"}
        answer = await self._client.request(
            method, f"/notifications/{path}", json=json, headers=headers
        )
        assert answer.status_code == status, answer.text
        body = answer.json()
        return body["data"] if status == 200 else body["errors"][0]


@pytest.fixture
async def database(sqlite_database_url):
    engine = engine_for(sqlite_database_url)
    async with AsyncUnit(engine) as unit:
        for number in (1, 2):
            await unit.run(add_distributor(f"d-{number}", "D", created_at=START))
    yield engine
    await engine.dispose()


@pytest.fixture
def phoned():
    return []


@pytest.fixture
async def api(database, clock, phoned):
    async def phone(delivery):
        phoned.append(delivery.text)

    async def read(flow):
        async with AsyncUnit(database, reads_only=True) as unit:
            return await unit.run(flow)

    async def write(flow):
        async with AsyncUnit(database) as unit:
            return await unit.run(flow)

    async def find(token):
        return USERS.get(token.subject)

    issuer, replies = TokenIssuer(clock=clock), Replies(clock=clock)
    ids = TimeOrderedIds(clock=clock)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(
        notification_router(
            read=read,
            write=write,
            replies=replies,
            clock=clock,
            ids=ids,
            sealer=KeySealer([new_sealing_key()]),
            book=ChannelBook(standard_makers(functions={"phone": phone})),
        )
    )
    guard = Guard(verifier=issuer.verifier(), find_principal=find, policy=built_in_policy())
    install(app, replies=replies, ids=ids, guard=guard)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Api(client, issuer)


async def test_a_receiver_is_made_shown_without_its_secret_and_removed(api):
    made = await api("one", "PUT", "receivers/ops", HOOK)
    shown = await api("one", "GET", "receivers/ops")
    rotated = await api("one", "POST", "receivers/ops/rotate")
    [listed] = await api("one", "GET", "receivers")
    await api("one", "DELETE", "receivers/ops")

    assert made["issued_secret"].startswith("whsec_")
    assert rotated["issued_secret"] != made["issued_secret"]
    assert "issued_secret" not in shown
    assert "issued_secret" not in listed
    assert shown["channel"] == {**HOOK["channel"], "hidden": ["secrets"]}
    assert "whsec" not in str([shown, listed])
    assert await api("one", "GET", "receivers") == []


async def test_a_shown_receiver_can_be_sent_back(api):
    await api("one", "PUT", "receivers/ops", HOOK)
    shown = await api("one", "GET", "receivers/ops")
    document = {name: shown[name] for name in ("id", "channel")}

    again = await api("one", "PUT", "receivers/ops?revision=1", {**document, "wait": "5s"})

    assert (again["wait"], again["revision"]) == ("5s", 2)
    assert "issued_secret" not in again
    await api("one", "PUT", "receivers/ops?revision=1", document, status=412)


async def test_tenants_know_nothing_of_each_other(api):
    await api("one", "PUT", "receivers/ops", HOOK)
    await api("one", "PUT", "routes/all", {"receivers": ["ops"]})

    assert await api("two", "GET", "receivers") == []
    assert await api("two", "GET", "routes") == []
    assert await api("root", "GET", "receivers") == []
    for method, path in (
        ("GET", "receivers/ops"), ("DELETE", "receivers/ops"), ("POST", "receivers/ops/test"),
        ("POST", "receivers/ops/rotate"), ("POST", "receivers/ops/enable"),
        ("DELETE", "routes/all"), ("GET", "receivers/d-1:ops"),
    ):  # fmt: skip
        await api("two", method, path, status=404)
    await api("two", "PUT", "routes/x", {"receivers": ["ops"]}, status=400)
    await api("two", "PUT", "routes/x", {"receivers": ["d-1:ops"]}, status=400)


async def test_who_may_not_may_not(api):
    await api("customer", "GET", "receivers", status=403)
    await api("customer", "PUT", "receivers/ops", HOOK, status=403)
    await api("customer", "POST", "dead-letters/replay", status=403)


async def test_routes_are_listed_in_their_order(api):
    await api("one", "PUT", "receivers/ops", HOOK)
    await api("one", "PUT", "routes/later", {"receivers": ["ops"]})
    await api("one", "PUT", "routes/first", {"receivers": ["ops"], "position": 1})

    assert [route["id"] for route in await api("one", "GET", "routes")] == ["first", "later"]
    refused = await api("one", "DELETE", "receivers/ops", status=409)
    assert "route 'first'" in refused["message"] or refused["code"] == "CONFLICT"
    await api("one", "DELETE", "routes/first")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("receivers/ops", {"id": "other", **HOOK}),
        ("receivers/ops", []),
        ("receivers/ops", {"channel": {"type": "pigeon"}}),
        ("receivers/ops", {**HOOK, "text": "{"}),
        ("receivers/ops", {**HOOK, "text": "x" * 70_000}),
        ("routes/r", {"receivers": ["nobody"]}),
    ],
)
async def test_what_is_unsound_is_refused(api, path, body):
    await api("one", "PUT", path, body, status=400)


async def test_a_tenant_reaches_no_internal_address_and_no_function(api, phoned):
    await api("one", "PUT", "receivers/ops", HOOK)
    await api("one", "PUT", "receivers/phone", CALL)
    await api("root", "PUT", "receivers/phone", CALL)

    hook = await api("one", "POST", "receivers/ops/test")
    mine = await api("one", "POST", "receivers/phone/test")
    phone = await api("root", "POST", "receivers/phone/test")

    assert (hook["outcome"], hook["error"]) == ("refused", "the host has an internal address")
    assert mine["error"] == "receiver 'phone': channels of type function are not set up here"
    assert phone["outcome"] == "done"
    assert phoned == ["This is a test of receiver phone. No alert is behind it."]


async def test_tests_are_few(api, phoned):
    await api("root", "PUT", "receivers/phone", CALL)
    for _ in range(TESTS):
        await api("root", "POST", "receivers/phone/test")

    await api("root", "POST", "receivers/phone/test", status=429)
    assert len(phoned) == TESTS


async def test_dead_letters_are_listed_and_replayed_by_their_owner(api, database):
    await api("one", "PUT", "receivers/ops", HOOK)
    async with AsyncUnit(database) as unit:
        await unit.run(_put_deliveries())
    dead = await api("one", "GET", "dead-letters")
    log = await api("one", "GET", "deliveries?receiver=ops")
    older = await api("one", "GET", "deliveries?before=2025-01-01T00:00:00Z")

    foreign = await api("two", "POST", "dead-letters/replay")
    await api("two", "POST", "dead-letters/replay?receiver=ops&event_id=e1-1", status=404)
    one = await api("one", "POST", "dead-letters/replay?receiver=ops&event_id=e1-1")
    rest = await api("one", "POST", "dead-letters/replay?receiver=ops")

    assert [letter["receiver"] for letter in dead] == ["ops", "ops"]
    assert (len(log), older) == (2, [])
    assert [foreign["replayed"], one["replayed"], rest["replayed"]] == [0, 1, 1]
    assert await api("one", "GET", "dead-letters") == []


async def test_a_receiver_that_is_gone_is_shown_and_enabled_again(api, database):
    await api("one", "PUT", "receivers/ops", HOOK)
    async with AsyncUnit(database) as unit:
        await unit.run(_disable())
    shown = await api("one", "GET", "receivers/ops")

    enabled = await api("one", "POST", "receivers/ops/enable")

    assert shown["disabled_reason"] == "it answered 410"
    assert enabled == {"id": "ops", "was_disabled": True}
    assert (await api("one", "GET", "receivers/ops"))["disabled_at"] is None


def _put_deliveries():
    for number in (1, 2):
        yield Query(
            deliveries.insert().values(
                event_id=f"e{number}-1", receiver="d-1:ops", subject="s", text="t", body=b"{}",
                status="dead", attempts=1, due_at=START, error="no", settled_at=START,
                distributor_id="d-1", queued_at=START,
            )
        )  # fmt: skip


def _disable():
    yield Query(
        receiver_states.insert().values(
            receiver="d-1:ops", disabled_at=START, disabled_reason="it answered 410"
        )
    )
