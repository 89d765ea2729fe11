"""From settings to parts: who opens what, and closes it again."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from evara_core.alerts.defaults import default_rules
from evara_core.clock import SystemClock
from evara_core.errors import ConflictError
from evara_core.monitor.notify_setup import notify_setup
from evara_core.monitor.notifying import NotificationRunner
from evara_core.monitor.operators import OperatorWatch
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.monitor.tenants import TenantJudge
from evara_core.monitor.upkeep import Upkeep
from evara_core.realtime.buses import open_bus
from evara_core.storage.deliveries import SqlDeliveryQueue
from evara_core.storage.engine import EngineLimits, engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.migrate import migrate
from evara_core.storage.notify import SqlNotificationStore
from evara_core.storage.operations import SqlActionStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.rule_watch import stored_rule_watch, stored_rules
from evara_core.storage.rules import add_missing
from evara_core.storage.units import AsyncUnit
from evara_core.storage.upkeep_jobs import UpkeepPolicy, standard_jobs
from evara_core.storage.upkeep_log import SqlUpkeepLog
from evara_core.telemetry.kinds import STANDARD_KINDS
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.fastest import fastest_transport
from fastapi_app.parts import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.access.tokens import TokenVerifier
    from evara_core.alerts.rules import AlertRule
    from evara_core.clock import Clock
    from evara_core.monitor.waiting import Sleep
    from evara_core.settings import Settings
    from evara_core.telemetry.kinds import KindRegistry
    from fastapi_app.parts import DemoUsers

__all__ = ["monitor_settings", "open_engine", "open_parts"]

_CLOSE_WITHIN_S = 1.0


@asynccontextmanager
async def open_engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Yield an engine whose database has the reference schema."""
    database = settings.database
    engine = engine_for(
        database.url.get_secret_value(), processes=database.processes, limits=_limits(settings)
    )
    try:
        await migrate(engine)
        yield engine
    finally:
        with anyio.move_on_after(_CLOSE_WITHIN_S, shield=True):
            await engine.dispose()


def _limits(settings: Settings) -> EngineLimits:
    database = settings.database
    return EngineLimits(
        connection_budget=database.connection_budget,
        statement_timeout=timedelta(seconds=database.statement_timeout_s),
        lock_timeout=timedelta(seconds=database.lock_timeout_s),
    )


@asynccontextmanager
async def open_parts(
    settings: Settings,
    *,
    engine: AsyncEngine,
    verifier: TokenVerifier,
    rules: Sequence[AlertRule] | None = None,
    kinds: KindRegistry = STANDARD_KINDS,
    clock: Clock | None = None,
    speed: float = 1.0,
    sleep: Sleep | None = None,
    demo: DemoUsers | None = None,
) -> AsyncIterator[Parts]:
    """Yield the parts of an application that also runs the monitor, if the settings say so.

    *rules* and *kinds* are the default ones unless told otherwise. *speed* is how many seconds
    of *clock* pass in one second, and *sleep* how the monitor waits if not at that speed.
    """
    clock = clock or SystemClock()
    rules = tuple(default_rules() if rules is None else rules)
    await _add_rules(engine, rules, now=clock.now())
    judge = TenantJudge(await stored_rules(engine))
    setup = notify_setup(settings.notify, environ=os.environ)
    sleep = sleep or _sleep_at(speed)
    url, upstream = settings.redis_url, settings.thingspeak
    transport = fastest_transport(origin=upstream.base_url, connections=upstream.connections)
    async with (
        open_bus(
            None if url is None else url.get_secret_value(), history=settings.stream.history
        ) as bus,
        AsyncClient(transport=transport) as client,
    ):
        monitor = Monitor(
            store=SqlIngestStore(engine, zone=settings.time_zone()),
            outbox=SqlOutboxStore(engine),
            readings=SqlReadingStore(engine),
            source=ChannelSource(client),
            bus=bus,
            judge=judge,
            clock=clock,
            kinds=kinds,
            settings=monitor_settings(settings, speed=speed),
            zone=settings.time_zone(),
            sleep=sleep,
        )
        if not settings.runs_monitor:
            yield Parts(
                settings=settings,
                engine=engine,
                bus=bus,
                verifier=verifier,
                rules=rules,
                clock=clock,
                demo=demo,
                sealer=setup.sealer,
            )
            return
        yield Parts(
            settings=settings,
            engine=engine,
            bus=bus,
            verifier=verifier,
            rules=rules,
            monitor=monitor,
            rule_watch=stored_rule_watch(engine, monitor, judge),
            clock=clock,
            demo=demo,
            operator_watch=OperatorWatch(
                store=SqlActionStore(engine), judge=judge, act=monitor.act, clock=clock
            ),
            sealer=setup.sealer,
            notifications=NotificationRunner(
                store=SqlNotificationStore(engine, sealer=setup.sealer),
                queue=SqlDeliveryQueue(engine),
                clock=clock,
                makers=setup.makers,
                roster=setup.roster,
                sleep=sleep,
            ),
            upkeep=Upkeep(
                standard_jobs(
                    engine,
                    UpkeepPolicy(**settings.upkeep.model_dump()),
                    limits=_limits(settings),
                ),
                SqlUpkeepLog(engine),
                clock=clock,
            ),
        )


async def _add_rules(engine: AsyncEngine, rules: Sequence[AlertRule], *, now: datetime) -> None:
    try:
        async with AsyncUnit(engine) as unit:
            await unit.run(add_missing(rules, now=now))
    except ConflictError:
        # Another process that starts at the same time was faster: now it finds them.
        async with AsyncUnit(engine) as unit:
            await unit.run(add_missing(rules, now=now))


def _sleep_at(speed: float) -> Sleep:
    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds / speed)

    return anyio.sleep if speed == 1 else sleep


def monitor_settings(settings: Settings, *, speed: float) -> MonitorSettings:
    """Return the monitor's settings in seconds of a clock that runs at *speed*."""
    found = MonitorSettings(**settings.monitor.model_dump())
    if speed == 1:
        return found
    durations = {
        name: getattr(found, name) * speed
        for name in MonitorSettings.__dataclass_fields__
        # A stop is in a hurry by everybody's clock.
        if name.endswith("_s") and name != "stop_grace_s"
    }
    return replace(found, **durations)
