from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from evara_core.access.sealing import KeySealer, UnsealedSealer, new_sealing_key
from evara_core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PreconditionFailedError,
)
from evara_core.storage import receivers, routes
from evara_core.storage.deliveries import enable_receiver
from evara_core.storage.roster import load_roster, roster_stamp
from evara_core.storage.statements import Query
from evara_core.storage.tables import notification_receivers, receiver_states
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START

SEALER = KeySealer([new_sealing_key()])
HOOK = {"type": "webhook", "url": "https://example.org/hook"}
OPS = {"id": "ops", "channel": HOOK}
BOSS = {"id": "boss", "channel": {"type": "mail", "to": ["boss@example.org"]}}


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def put(engine, document, owner="d-1", **options):
    flow = receivers.put_receiver(
        document, owner, sealer=SEALER, new_secret=lambda: "whsec_new", now=START, **options
    )
    return await run(engine, flow)


async def put_route(engine, document, owner="d-1", **options):
    return await run(engine, routes.put_route(document, owner, now=START, **options))


async def test_two_tenants_may_give_the_same_name_and_see_their_own_only(fleet):
    await put(fleet, OPS, "d-1")
    await put(fleet, {**OPS, "wait": "1m"}, "d-2")
    await put(fleet, BOSS, None)

    mine = await run(fleet, receivers.receivers_of("d-1", sealer=SEALER))
    roster = await run(fleet, load_roster(SEALER))

    assert [(one.config.id, one.config.policy.wait) for one in mine] == [
        ("ops", timedelta(seconds=30))
    ]
    assert {one.id for one in roster.receivers} == {"boss", "d-1:ops", "d-2:ops"}
    assert roster.owners == {"d-1:ops": "d-1", "d-2:ops": "d-2"}
    with pytest.raises(NotFoundError):
        await run(fleet, receivers.receiver_of("boss", "d-1", sealer=SEALER))


async def test_a_webhook_is_given_a_secret_that_is_stored_sealed(fleet):
    stored = await put(fleet, OPS)
    async with AsyncUnit(fleet) as unit:
        answer = await unit.run(_rows())

    again = await put(fleet, {**OPS, "wait": "5s"})

    assert stored.issued == "whsec_new"
    assert b"whsec" not in answer[0].secrets
    assert "whsec" not in answer[0].document
    assert again.issued is None
    assert again.config.channel.secrets == {"secrets": ("whsec_new",)}
    assert (stored.revision, again.revision) == (1, 2)


def _rows():
    answer = yield Query(notification_receivers.select())
    return answer.rows


async def test_a_rotated_secret_stands_beside_the_one_before(fleet):
    await put(fleet, OPS)
    made = iter(["whsec_2", "whsec_3"])
    for _ in range(2):
        flow = receivers.rotate_secret(
            "ops", "d-1", sealer=SEALER, new_secret=lambda: next(made), now=START
        )
        rotated = await run(fleet, flow)

    assert rotated.issued == "whsec_3"
    assert rotated.config.channel.secrets["secrets"] == ("whsec_3", "whsec_2")


async def test_what_no_key_opens_is_left_out_and_said(fleet):
    await put(fleet, OPS)
    await put(fleet, BOSS)

    roster = await run(fleet, load_roster(UnsealedSealer()))

    assert [one.id for one in roster.receivers] == ["d-1:boss"]
    assert "receiver 'd-1:ops'" in roster.problems[0]


async def test_a_receiver_is_changed_by_who_knows_its_revision(fleet):
    await put(fleet, BOSS)

    with pytest.raises(PreconditionFailedError):
        await put(fleet, BOSS, revision=9)
    with pytest.raises(PreconditionFailedError):
        await put(fleet, OPS, revision=1)
    assert (await put(fleet, BOSS, revision=1)).revision == 2


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({**OPS, "id": "d-2:ops"}, "a name has no `:`"),
        ({**OPS, "escalate": {"after": "5m", "to": "nobody"}}, "'nobody', which is not there"),
        ({**OPS, "escalate": {"after": "5m", "to": "ops"}}, "comes back to 'ops'"),
        ({"id": "ops"}, "it has no 'channel'"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(fleet, document, problem):
    with pytest.raises(InvalidInputError) as caught:
        await put(fleet, document)

    assert problem in str(caught.value)
    assert await run(fleet, receivers.receivers_of("d-1", sealer=SEALER)) == []


async def test_a_receiver_that_is_needed_stays(fleet):
    await put(fleet, BOSS)
    await put_route(fleet, {"id": "all", "receivers": ["boss"]})

    with pytest.raises(ConflictError, match="there is no receiver 'boss'"):
        await run(fleet, receivers.delete_receiver("boss", "d-1"))
    await run(fleet, routes.delete_route("all", "d-1"))
    await run(fleet, receivers.delete_receiver("boss", "d-1"))
    with pytest.raises(NotFoundError):
        await run(fleet, receivers.delete_receiver("boss", "d-1"))


async def test_routes_name_receivers_of_their_owner_only(fleet):
    await put(fleet, BOSS, None)
    await put(fleet, OPS, "d-1")

    with pytest.raises(InvalidInputError, match="no receiver 'boss'"):
        await put_route(fleet, {"id": "r", "receivers": ["boss"]}, "d-1")
    await put_route(fleet, {"id": "r", "receivers": ["ops"], "position": 5}, "d-1")
    await put_route(fleet, {"id": "a", "receivers": ["ops"], "position": 9}, "d-1")
    [route, other] = await run(fleet, routes.routes_of("d-1"))
    roster = await run(fleet, load_roster(SEALER))

    assert (route.config.id, other.config.id) == ("r", "a")
    assert {one.route.owner for one in roster.routes} == {"d-1"}
    assert list(roster.routes[0].route.receivers) == ["d-1:ops"]
    with pytest.raises(NotFoundError):
        await run(fleet, routes.delete_route("r", "d-2"))


async def test_a_tenant_has_so_many_and_no_more(fleet, monkeypatch):
    monkeypatch.setattr(receivers, "MAX_RECEIVERS", 1)
    await put(fleet, BOSS)

    with pytest.raises(InvalidInputError, match="up to 1"):
        await put(fleet, OPS)
    await put(fleet, BOSS)


async def test_every_change_changes_the_stamp(fleet):
    stamps = [await run(fleet, roster_stamp())]
    await put(fleet, BOSS)
    stamps.append(await run(fleet, roster_stamp()))
    await put(fleet, BOSS)
    stamps.append(await run(fleet, roster_stamp()))
    await put_route(fleet, {"id": "r", "receivers": ["boss"]})
    stamps.append(await run(fleet, roster_stamp()))
    await run(fleet, _disabled("d-1:boss"))
    stamps.append(await run(fleet, roster_stamp()))
    disabled = (await run(fleet, load_roster(SEALER))).disabled
    await run(fleet, enable_receiver("d-1:boss"))
    stamps.append(await run(fleet, roster_stamp()))

    assert disabled == {"d-1:boss": "410"}
    assert all(before != after for before, after in itertools.pairwise(stamps))


def _disabled(name):
    yield Query(
        receiver_states.insert().values(receiver=name, disabled_at=START, disabled_reason="410")
    )
