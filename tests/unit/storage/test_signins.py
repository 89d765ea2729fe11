"""Ended sign-ins: what the row says, and how soon every process knows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evara_core.access.authentication import UserFault, UserRecord, identify
from evara_core.access.principal import Principal, Role
from evara_core.access.tokens import VerifiedToken
from evara_core.caching.cache import Cache
from evara_core.caching.memory import MemoryStore
from evara_core.errors import NotFoundError, UnauthenticatedError
from evara_core.storage.fleet import add_user
from evara_core.storage.signins import end_session, forget_ended_sessions, sign_out, user_record
from evara_core.storage.units import AsyncUnit
from evara_core.storage.user_cache import CachedUsers
from evara_core.testing.clock import ManualClock
from evara_core.testing.samples import START

WHO = Principal(user_id="asha", role=Role.SUPERADMIN)


def token(*, session_id: str | None = "s-1", issued_at=START) -> VerifiedToken:
    return VerifiedToken(
        subject="asha",
        session_id=session_id,
        aal="aal1",
        issued_at=issued_at,
        expires_at=issued_at + timedelta(hours=1),
    )


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


@pytest.fixture
async def people(engine):
    await run(engine, add_user(WHO, name="Asha", created_at=START))
    return engine


def fault(found: UserRecord | None, given: VerifiedToken) -> str | None:
    try:
        identify(given, found)
    except UnauthenticatedError as error:
        return error.reason
    return None


async def test_nobody_of_that_name_is_no_record(people) -> None:
    assert await run(people, user_record("ben")) is None


async def test_an_ended_session_ends_the_tokens_of_that_sign_in_only(people) -> None:
    assert await run(people, end_session("asha", "s-1", at=START))
    assert not await run(people, end_session("asha", "s-1", at=START))

    ended = await run(people, user_record("asha", "s-1"))
    other = await run(people, user_record("asha", "s-2"))
    none = await run(people, user_record("asha"))

    assert fault(ended, token()) == UserFault.SIGNED_OUT
    assert fault(other, token(session_id="s-2")) is None
    assert fault(none, token(session_id=None)) is None


async def test_who_is_signed_out_everywhere_needs_a_token_of_after_that(people) -> None:
    await run(people, sign_out("asha", at=START))

    found = await run(people, user_record("asha"))

    assert fault(found, token(session_id=None)) == UserFault.SIGNED_OUT
    assert fault(found, token(issued_at=START + timedelta(seconds=1))) is None


async def test_nobody_is_signed_out_who_is_not_there(people) -> None:
    with pytest.raises(NotFoundError):
        await run(people, sign_out("ben", at=START))


async def test_ended_sessions_are_forgotten_once_their_tokens_are_over(people) -> None:
    await run(people, end_session("asha", "s-1", at=START))
    await run(people, end_session("asha", "s-2", at=START + timedelta(days=2)))

    assert await run(people, forget_ended_sessions(START + timedelta(days=1))) == 1
    assert (await run(people, user_record("asha", "s-2"))).revoked_sessions == {"s-2"}


class Rows:
    def __init__(self) -> None:
        self.reads = 0
        self.record: UserRecord | None = UserRecord(principal=WHO)

    async def find(self, _: VerifiedToken) -> UserRecord | None:
        self.reads += 1
        return self.record


async def test_a_row_is_read_once_until_somebody_says_that_it_changed() -> None:
    rows, clock = Rows(), ManualClock()
    users = CachedUsers(rows.find, Cache(MemoryStore(clock=clock)))

    for _ in range(3):
        assert await users.find(token()) == rows.record
    rows.record = None
    await users.changed("asha")

    assert await users.find(token()) is None
    assert rows.reads == 2


async def test_a_change_that_nobody_told_counts_when_the_time_is_up() -> None:
    rows, clock = Rows(), ManualClock()
    users = CachedUsers(rows.find, Cache(MemoryStore(clock=clock)), ttl_s=10)
    await users.find(token())
    rows.record = None

    clock.advance(10)

    assert await users.find(token()) is None


async def test_a_change_during_the_look_is_not_outlived_by_what_was_read() -> None:
    rows, clock = Rows(), ManualClock()
    cache = Cache(MemoryStore(clock=clock))

    async def find(given: VerifiedToken) -> UserRecord | None:
        found = await rows.find(given)
        if rows.reads == 1:
            rows.record = None
            await users.changed("asha")
        return found

    users = CachedUsers(find, cache)
    await users.find(token())

    assert await users.find(token()) is None
