"""PostgreSQL wakes the relay, and the relay manages without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import text

from evara_core.clock import SystemClock
from evara_core.monitor.counters import Counters
from evara_core.monitor.leases import LeaseHolder, LeaseSettings
from evara_core.monitor.relay import Relay
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.storage.engine import engine_for
from evara_core.storage.leases import SqlLeaseStore
from evara_core.storage.outbox import SqlOutboxStore, put_messages
from evara_core.storage.outbox_news import OutboxNews
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = pytest.mark.server

NEVER_S = 10_000.0


@pytest.fixture
async def engine(postgres_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(postgres_database_url)
    yield engine
    await engine.dispose()


def messages(*names: str) -> list[Message]:
    return [
        Message(message_id=name, kind="alert", key=name, topics=("platform",), body=b"{}")
        for name in names
    ]


async def put(engine: AsyncEngine, *names: str) -> None:
    async with AsyncUnit(engine) as unit:
        await unit.run(put_messages(messages(*names), dialect="postgresql"))


def relay_over(
    engine: AsyncEngine, bus: MemoryBus, *, holder: LeaseHolder | None = None, every_s: float
) -> Relay:
    return Relay(
        outbox=SqlOutboxStore(engine),
        bus=bus,
        clock=SystemClock(),
        sleep=anyio.sleep,
        settings=MonitorSettings(relay_interval_s=every_s),
        counters=Counters(),
        holder=holder,
    )


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for happens in the server
        await anyio.sleep(0.005)


async def published(bus: MemoryBus, count: int) -> list[str]:
    await until(lambda: len(bus._messages) >= count)
    return ids(bus)


def ids(bus: MemoryBus) -> list[str]:
    return [message.message_id for message in bus._messages]


async def test_a_commit_wakes_the_relay_of_another_process(engine: AsyncEngine) -> None:
    bus = MemoryBus()
    relay = relay_over(engine, bus, every_s=NEVER_S)
    news = OutboxNews(engine, on_news=relay.wake)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            tasks.start_soon(news.run)
            await until(lambda: news.is_listening)
            await put(engine, "a", "b")
            first = await published(bus, 2)
            await put(engine, *(f"many {number}" for number in range(300)))
            await published(bus, 302)
            tasks.cancel_scope.cancel()

    assert first == ["a", "b"]


async def test_a_lost_connection_is_made_again_and_nothing_is_missed(engine: AsyncEngine) -> None:
    bus = MemoryBus()
    relay = relay_over(engine, bus, every_s=NEVER_S)
    news = OutboxNews(engine, on_news=relay.wake, first_pause_s=0.05, longest_pause_s=0.05)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            tasks.start_soon(news.run)
            await until(lambda: news.is_listening)
            async with engine.connect() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        " AND query LIKE '%LISTEN%'"
                    )
                )
            await until(lambda: not news.is_listening)
            await put(engine, "while nobody listened")
            found = await published(bus, 1)
            tasks.cancel_scope.cancel()

    assert found == ["while nobody listened"]


async def test_without_news_the_relay_polls(engine: AsyncEngine) -> None:
    bus = MemoryBus()
    relay = relay_over(engine, bus, every_s=0.02)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            await put(engine, "a")
            found = await published(bus, 1)
            tasks.cancel_scope.cancel()

    assert found == ["a"]


async def test_of_two_relays_one_publishes_and_the_other_takes_over(engine: AsyncEngine) -> None:
    buses = {"first": MemoryBus(), "second": MemoryBus()}
    settings = LeaseSettings(ttl_s=1.0, renew_s=0.2, margin_s=0.2, retry_s=0.1)
    store = SqlLeaseStore(engine, clock=SystemClock())

    async def run(name: str, scope: anyio.CancelScope) -> None:
        holder = LeaseHolder(
            store, name="relay", holder=name, clock=SystemClock(), settings=settings
        )
        with scope:
            await relay_over(engine, buses[name], holder=holder, every_s=0.02).run()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            scopes = {name: anyio.CancelScope() for name in buses}
            tasks.start_soon(run, "first", scopes["first"])
            await put(engine, "a")
            await published(buses["first"], 1)
            tasks.start_soon(run, "second", scopes["second"])
            await put(engine, "b")
            await published(buses["first"], 2)
            before = len(buses["second"]._messages)
            scopes["first"].cancel()
            await put(engine, "c")
            # At least once: the first may have gone before it could mark what it published.
            await until(lambda: "c" in ids(buses["second"]))
            tasks.cancel_scope.cancel()

    assert before == 0
    assert ids(buses["second"])[-1:] == ["c"]
