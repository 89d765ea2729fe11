"""What `evara worker` runs: a monitor for its shards, the relay, notifications, upkeep."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from zlib import crc32

import anyio

from evara_core.clock import SystemClock
from evara_core.errors import ConfigurationError
from evara_core.monitor.jobs import EnqueueingBus, alert_jobs, notify_task, upkeep_tasks
from evara_core.monitor.leases import LeaseHolder, LeaseSettings
from evara_core.monitor.notify_setup import notify_setup
from evara_core.monitor.notifying import NotificationRunner
from evara_core.monitor.operators import OperatorWatch
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.monitor.shard_keeper import ShardedStore, ShardKeeper
from evara_core.monitor.shards import ShardSettings
from evara_core.monitor.tenants import RuleWatch, TenantJudge
from evara_core.monitor.upkeep import Upkeep
from evara_core.realtime.buses import open_bus
from evara_core.storage.deliveries import SqlDeliveryQueue
from evara_core.storage.engine import EngineLimits, engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.jobs import put_jobs
from evara_core.storage.leases import SqlLeaseStore
from evara_core.storage.migrate import migrate
from evara_core.storage.notify import SqlNotificationStore
from evara_core.storage.operations import SqlActionStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.rule_watch import stored_rule_watch, stored_rules
from evara_core.storage.shards import SqlShardStore
from evara_core.storage.upkeep_jobs import UpkeepPolicy, standard_jobs
from evara_core.storage.upkeep_log import SqlUpkeepLog
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.fastest import fastest_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.monitor.jobs import Task, WorkEngine
    from evara_core.monitor.ports import NodeUpdate
    from evara_core.realtime.ports import Bus
    from evara_core.settings import Settings
    from evara_core.storage.statements import Statements

__all__ = ["ENGINES", "Worker", "run_worker"]

ENGINES = ("inline", "procrastinate", "docket", "celery")

COUNTER_SHARDS = 16
"""Rows of each counter that processes write to, so that they do not wait for one another."""

STATUS_INTERVAL_S = 5.0
_PAUSE_AFTER_CRASH_S = 2.0
_CLOSE_WITHIN_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What runs in this process."""

    monitor: Monitor
    keeper: ShardKeeper
    notifications: NotificationRunner
    rule_watch: RuleWatch
    operator_watch: OperatorWatch
    upkeep: Upkeep
    engine: WorkEngine | None
    """None: jobs are done in the process, `inline`."""

    has_clock: bool = True
    """Whether the engine puts upkeep in by itself."""

    def status(self) -> dict[str, Any]:
        """Return how it stands, in one line of JSON."""
        shards, monitor, notify = (
            self.keeper.status(),
            self.monitor.status(),
            self.notifications.status(),
        )
        return {
            "worker": shards.holder,
            "shards": len(shards.held),
            "of": shards.of,
            "members": shards.members,
            "lost": shards.lost,
            "nodes": monitor.nodes,
            "looks": monitor.looks,
            "stored": monitor.stored,
            "longest_wait_s": round(monitor.longest_wait_s, 3),
            "commits_failed": monitor.commits_failed,
            "published": monitor.published,
            "notifies": notify.decides,
            "last_error": monitor.last_error or notify.last_error,
        }


async def run_worker(
    settings: Settings, *, engine: str, on_status: Callable[[dict[str, Any]], None]
) -> None:
    """Work until SIGINT or SIGTERM, and then end within seconds.

    *on_status* is told how it stands when it is ready, every few seconds, and in the end.

    Raises:
        ConfigurationError: It cannot start; the message says what to do.
    """
    async with opened_worker(settings, engine=engine) as worker:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_on_signal, worker)
            for name, run in _parts(worker):
                tasks.start_soon(_kept_up, name, run)
            tasks.start_soon(_tell, worker, on_status)
            await worker.monitor.run()
            worker.notifications.stop()
            tasks.cancel_scope.cancel()
        on_status({**worker.status(), "ended": True})


@asynccontextmanager
async def opened_worker(settings: Settings, *, engine: str) -> AsyncIterator[Worker]:
    """Give a worker over what *settings* name; it does nothing yet.

    Raises:
        ConfigurationError: The engine does not go with the settings.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_database(settings, engine))
        url, upstream = settings.redis_url, settings.thingspeak
        bus = await stack.enter_async_context(
            open_bus(
                None if url is None else url.get_secret_value(), history=settings.stream.history
            )
        )
        transport = fastest_transport(origin=upstream.base_url, connections=upstream.connections)
        client = await stack.enter_async_context(AsyncClient(transport=transport))
        yield await _assembled(settings, engine, database, bus, client, stack)


async def _assembled(
    settings: Settings,
    engine: str,
    database: AsyncEngine,
    bus: Bus,
    client: AsyncClient,
    stack: AsyncExitStack,
) -> Worker:
    clock = SystemClock()
    # Another one in each life of a process, and readable in the table of leases.
    holder = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
    setup = notify_setup(settings.notify, environ=os.environ)
    notices = SqlNotificationStore(database, sealer=setup.sealer)
    notifications = NotificationRunner(
        store=notices,
        queue=SqlDeliveryQueue(database),
        clock=clock,
        makers=setup.makers,
        roster=setup.roster,
        holder=holder,
    )
    jobs = standard_jobs(
        database,
        UpkeepPolicy(**settings.upkeep.model_dump()),
        limits=EngineLimits(connection_budget=settings.database.connection_budget),
    )
    upkeep = Upkeep(jobs, SqlUpkeepLog(database), clock=clock)
    tasks = [notify_task(notifications, notices), *upkeep_tasks(upkeep, jobs)]
    work_engine = await _work_engine(settings, engine, tasks, stack)
    is_in_database = engine == "procrastinate"
    feeds_engine = work_engine is not None and not is_in_database
    judge = TenantJudge(await stored_rules(database))
    store = _sharded(settings, database, holder, with_jobs=is_in_database)
    monitor = Monitor(
        store=store,
        outbox=SqlOutboxStore(database),
        readings=SqlReadingStore(database),
        source=ChannelSource(client),
        bus=EnqueueingBus(bus, work_engine) if work_engine and feeds_engine else bus,
        judge=judge,
        clock=clock,
        settings=MonitorSettings(**settings.monitor.model_dump()),
        zone=settings.time_zone(),
        relay_lease=_relay_lease(settings, database, holder),
    )
    return Worker(
        monitor=monitor,
        keeper=store.keeper,
        notifications=notifications,
        rule_watch=stored_rule_watch(database, monitor, judge),
        operator_watch=OperatorWatch(
            store=SqlActionStore(database), judge=judge, act=monitor.act, clock=clock
        ),
        upkeep=upkeep,
        engine=work_engine,
        has_clock=engine != "celery",
    )


def _sharded(
    settings: Settings, database: AsyncEngine, holder: str, *, with_jobs: bool
) -> ShardedStore:
    given, clock = settings.worker, SystemClock()
    keeper = ShardKeeper(
        SqlShardStore(database, clock=clock),
        holder=holder,
        clock=clock,
        settings=ShardSettings(
            shards=given.shards, ttl_s=given.ttl_s, renew_s=given.renew_s, margin_s=given.margin_s
        ),
    )
    store = SqlIngestStore(
        database,
        shard=crc32(holder.encode()) % COUNTER_SHARDS,
        zone=settings.time_zone(),
        also=_alert_jobs_of if with_jobs else None,
    )
    return ShardedStore(store, keeper)


def _relay_lease(settings: Settings, database: AsyncEngine, holder: str) -> LeaseHolder:
    given, clock = settings.worker, SystemClock()
    times = LeaseSettings(ttl_s=given.ttl_s, renew_s=given.renew_s, margin_s=given.margin_s)
    store = SqlLeaseStore(database, clock=clock)
    return LeaseHolder(store, name="relay", holder=holder, clock=clock, settings=times)


def _alert_jobs_of(updates: Sequence[NodeUpdate]) -> Statements[None]:
    return put_jobs(alert_jobs([message for update in updates for message in update.messages]))


def _parts(worker: Worker) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    jobs: list[tuple[str, Callable[[], Awaitable[None]]]] = []
    if worker.engine is not None:
        jobs.append(("jobs", worker.engine.run))
    if worker.engine is None or not worker.has_clock:
        jobs.append(("upkeep", worker.upkeep.run))
    return [
        *jobs,
        ("rules", worker.rule_watch.run),
        ("operators", worker.operator_watch.run),
        ("notifications", worker.notifications.run),
    ]


async def _kept_up(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 - whatever it was, it is logged and tried again
            _log.exception("%s crashed", name)
            await anyio.sleep(_PAUSE_AFTER_CRASH_S)
        else:
            return


async def _tell(worker: Worker, on_status: Callable[[dict[str, Any]], None]) -> None:
    while True:
        on_status(worker.status())
        await anyio.sleep(STATUS_INTERVAL_S)


async def _stop_on_signal(worker: Worker) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            worker.notifications.stop()
            worker.monitor.stop()


async def _work_engine(
    settings: Settings, engine: str, tasks: Sequence[Task], stack: AsyncExitStack
) -> WorkEngine | None:
    concurrency = settings.worker.concurrency
    if engine == "procrastinate":
        from evara_core.adapters.procrastinate import (  # noqa: PLC0415 - an extra
            ProcrastinateEngine,
        )

        url = settings.database.url.get_secret_value()
        made = ProcrastinateEngine(url, tasks, concurrency=concurrency)
        return await stack.enter_async_context(made)
    if engine == "docket":
        from evara_core.adapters.docket import DocketEngine  # noqa: PLC0415 - an extra

        assert settings.redis_url is not None, "looked at before"
        redis_url = settings.redis_url.get_secret_value()
        return await stack.enter_async_context(
            DocketEngine(redis_url, tasks, concurrency=concurrency)
        )
    if engine == "celery":
        from evara_core.adapters.celery import CeleryEngine  # noqa: PLC0415 - an extra

        assert settings.redis_url is not None, "looked at before"
        return CeleryEngine(settings.redis_url.get_secret_value(), tasks, concurrency=concurrency)
    return None


@asynccontextmanager
async def _database(settings: Settings, engine: str) -> AsyncIterator[AsyncEngine]:
    given = settings.database
    url = given.url.get_secret_value()
    if engine not in ENGINES:
        problem = f"there is no engine {engine[:20]!r}: choose {', '.join(ENGINES)}"
        raise ConfigurationError(problem)
    if engine == "procrastinate" and not url.startswith("postgres"):
        problem = "--engine procrastinate needs --database postgresql://…"
        raise ConfigurationError(problem)
    if engine in {"docket", "celery"} and settings.redis_url is None:
        problem = f"--engine {engine} needs --redis redis://…"
        raise ConfigurationError(problem)
    limits = EngineLimits(
        connection_budget=given.connection_budget,
        statement_timeout=timedelta(seconds=given.statement_timeout_s),
        lock_timeout=timedelta(seconds=given.lock_timeout_s),
        # Who freezes in a transaction holds its rows no longer than its shards.
        idle_in_transaction_timeout=timedelta(seconds=settings.worker.ttl_s),
    )
    made = engine_for(url, processes=given.processes, limits=limits)
    try:
        await migrate(made)
        yield made
    finally:
        with anyio.move_on_after(_CLOSE_WITHIN_S, shield=True):
            await made.dispose()
