"""Rights that change count within seconds, and unknown rights are none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from evara_core.access.principal import Principal
from evara_core.errors import StorageUnavailableError
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.hub import Hub
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.rights import RightsWatch
from evara_core.realtime.subscription import Bye, Resync
from evara_core.storage.rights import topics_by_user
from evara_core.storage.tables import distributors, users
from evara_core.testing.simulated import SimulatedTime

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncEngine


class Rights:
    def __init__(self) -> None:
        self.topics: dict[str, tuple[str, ...]] = {"ann": ("platform",), "ben": ("community:1",)}
        self.questions: list[Collection[str]] = []
        self.is_away = False

    async def look_up(self, user_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        self.questions.append(user_ids)
        if self.is_away:
            raise StorageUnavailableError("away")
        return self.topics


async def test_a_change_counts_within_five_seconds() -> None:
    time, rights = SimulatedTime(), Rights()
    hub = Hub(MemoryBus(), clock=time)
    watch = RightsWatch(hub, look_up=rights.look_up, clock=time, sleep=time.sleep)
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        tasks.start_soon(watch.run)
        ann = await hub.subscribe(principal_id="ann", topics=["platform"])
        ben = await hub.subscribe(principal_id="ben", topics=["community:1"])
        await time.pass_by(10)

        del rights.topics["ann"]
        rights.topics["ben"] = ("community:2",)
        await time.pass_by(5)

        assert await ann.receive(wait_s=0) == [Bye(ByeCode.FORBIDDEN)]
        assert ben.topics == {"community:2"}
        assert await ben.receive(wait_s=0) == [Resync()]
        assert rights.questions[0] == {"ann", "ben"}
        await hub.aclose()
        tasks.cancel_scope.cancel()


async def test_streams_end_when_rights_are_unknown_for_long() -> None:
    time, rights = SimulatedTime(), Rights()
    hub = Hub(MemoryBus(), clock=time)
    watch = RightsWatch(hub, look_up=rights.look_up, clock=time, sleep=time.sleep, patience_s=10)
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        tasks.start_soon(watch.run)
        ann = await hub.subscribe(principal_id="ann", topics=["platform"])
        rights.is_away = True

        await time.pass_by(9)
        early = await ann.receive(wait_s=0)
        await time.pass_by(9)
        late = await ann.receive(wait_s=0)

        assert early == []
        assert late == [Bye(ByeCode.UNAVAILABLE)]
        assert ByeCode.UNAVAILABLE.is_resumable
        await hub.aclose()
        tasks.cancel_scope.cancel()


async def test_nobody_listens_nobody_is_asked() -> None:
    time, rights = SimulatedTime(), Rights()
    hub = Hub(MemoryBus(), clock=time)

    await RightsWatch(hub, look_up=rights.look_up, clock=time).look()

    assert rights.questions == []


async def test_the_database_is_asked_once_for_all(engine: AsyncEngine) -> None:
    facts = {"name": "n", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    async with engine.begin() as connection:
        await connection.execute(distributors.insert(), [{"distributor_id": "d1", **facts}])
        await connection.execute(
            users.insert(),
            [
                {
                    "user_id": "boss",
                    "distributor_id": "d1",
                    **facts,
                    "role": "superadmin",
                    "is_active": True,
                },
                {
                    "user_id": "dora",
                    "distributor_id": "d1",
                    **facts,
                    "role": "distributor",
                    "is_active": True,
                },
                {
                    "user_id": "gone",
                    "distributor_id": "d1",
                    **facts,
                    "role": "superadmin",
                    "is_active": False,
                },
                {
                    "user_id": "mute",
                    "distributor_id": "d1",
                    **facts,
                    "role": "auditor",
                    "is_active": True,
                },
            ],
        )

    def may_listen(who: Principal) -> bool:
        return who.role != "auditor"

    found = await topics_by_user(engine, may_listen=may_listen)(
        {"boss", "dora", "gone", "mute", "x"}
    )

    assert set(found) == {"boss", "dora"}
    assert found["boss"] == ("platform",)
