"""A genuine export, played as if its device were reporting now, only faster."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import func, select

from evara_core.clock import SystemClock
from evara_core.errors import EvaraError
from evara_core.settings import ThingSpeakSettings
from evara_core.storage.fleet import NodeRecord
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    alert_history,
    node_operational_state,
    nodes,
    readings,
    set_aside,
)
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.mapping import ChannelMapping
from evara_core.telemetry.models import Node, SetAside
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.loopback import loopback
from fastapi_app.build import open_parts
from fastapi_app.demo.clocks import ReplayClock
from fastapi_app.demo.exports import KINDS, load_export, meaning_of, rules_for
from fastapi_app.demo.people import DemoTokens, tenancy_of
from fastapi_app.demo.run import demo_engine, demo_settings, put_in, say
from fastapi_app.parts import DemoUsers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.monitor.runner import Monitor
    from evara_core.monitor.waiting import Sleep
    from evara_core.storage.statements import Statements
    from fastapi_app.demo.exports import Export, Meaning
    from fastapi_app.demo.run import DemoOptions
    from fastapi_app.parts import Parts

__all__ = ["CHANNEL_ID", "NODE_ID", "Counts", "counts_of", "replay_parts"]

NODE_ID = "replay-1"
CHANNEL_ID = 900_001
LOOK_EVERY_S = 1.0
"""Between two looks at the channel, by everybody's clock."""

_REPORT_EVERY_S = 5.0
_LOG = logging.getLogger(__name__)


class Counts:
    """What became of the rows of a file so far."""

    def __init__(self, rows: int, stored: int, aside: int, fired: int, resolved: int) -> None:
        self.rows = rows
        self.stored = stored
        self.aside = aside
        self.fired = fired
        self.resolved = resolved

    @property
    def is_complete(self) -> bool:
        """Whether every row is accounted for."""
        return self.stored + self.aside >= self.rows

    def __str__(self) -> str:
        return (
            f"{self.stored:,} of {self.rows:,} rows stored, {self.aside:,} set aside;"
            f" alerts fired {self.fired}, resolved {self.resolved}"
        )


@asynccontextmanager
async def replay_parts(
    options: DemoOptions,
    folder: Path,
    *,
    clock: Clock | None = None,
    sleep: Sleep | None = None,
) -> AsyncIterator[Parts]:
    """Yield the parts of a demonstration with one node that an export feeds.

    Raises:
        InvalidInputError: The file is no export, or `--map` makes no sense.
        ConfigurationError: It cannot start.
    """
    assert options.replay is not None
    export = load_export(options.replay)
    meaning = meaning_of(export, options.map)
    _introduce(export, meaning, options)
    settings = demo_settings(options, folder, look_every_s=LOOK_EVERY_S)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(demo_engine(options, settings))
        replayed = ReplayClock(await _start_at(engine, export), export.last_at, speed=options.speed)
        simulator = Simulator(clock=clock or replayed)
        channel = simulator.replay(CHANNEL_ID, export.entries)
        origin = await stack.enter_async_context(loopback(simulator))
        records = [_record(export, meaning, channel.read_key)]
        await put_in(engine, records, created_at=export.first_at)
        settings = settings.model_copy(update={"thingspeak": ThingSpeakSettings(base_url=origin)})
        tokens = DemoTokens(clock=SystemClock())
        parts = await stack.enter_async_context(
            open_parts(
                settings,
                engine=engine,
                verifier=tokens.verifier(),
                rules=rules_for(meaning, export, look_every_s=LOOK_EVERY_S * options.speed),
                kinds=KINDS,
                clock=clock or replayed,
                speed=options.speed,
                sleep=sleep,
                demo=DemoUsers(mode="replay", speed=lambda: replayed.speed, users=tokens.users),
            )
        )
        await stack.enter_async_context(_reporting(parts, export))
        yield parts


@asynccontextmanager
async def _reporting(parts: Parts, export: Export) -> AsyncIterator[None]:
    """Keep what cannot be read, and tell what becomes of the rows, now and then and at the end."""
    assert parts.monitor is not None
    await _put_aside(parts.monitor, export)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_report, parts.engine, export)
        yield
        tasks.cancel_scope.cancel()
    say(f"so far: {await counts_of(parts.engine, export)}")


async def counts_of(engine: AsyncEngine, export: Export) -> Counts:
    """Return what became of the rows of *export* so far."""
    rows = len(export.entries) + len(export.unreadable)
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(_counts(rows))


def _introduce(export: Export, meaning: Meaning, options: DemoOptions) -> None:
    span = export.last_at - export.first_at
    say(f"{export.name}: {len(export.entries):,} rows from {export.first_at:%Y-%m-%d} on")
    if export.unreadable:
        say(f"{len(export.unreadable):,} rows cannot be read; they are kept with the reason")
    mapped = ", ".join(
        f"field{each.field}={each.metric}" + (f":{each.unit}" if each.unit else "")
        for each in meaning.fields
    )
    say(f"shown as a {meaning.kind} ({meaning.because}): {mapped}")
    takes = timedelta(seconds=round(span.total_seconds() / options.speed))
    say(f"{span.days} days pass in {takes} (h:mm:ss) at --speed {options.speed:g}")


def _record(export: Export, meaning: Meaning, read_key: str) -> NodeRecord:
    node = Node(
        node_id=NODE_ID,
        label=export.name.partition(".")[0].replace("-", " ").capitalize(),
        kind=meaning.kind,
        category="OHT" if meaning.kind == "tank" else meaning.kind,
        tenancy=tenancy_of(0),
        config=meaning.config,
        expected_interval_s=export.usual_gap_s,
    )
    return NodeRecord(
        node=node,
        created_at=export.first_at,
        mapping=ChannelMapping(channel_id=CHANNEL_ID, fields=meaning.fields),
        read_key=read_key,
        location_name=export.name,
    )


async def _start_at(engine: AsyncEngine, export: Export) -> datetime:
    """Return where the clock stood when the last batch was stored; at first, before all rows."""
    async with AsyncUnit(engine, reads_only=True) as unit:
        seen = await unit.run(_last_seen())
    return seen or export.first_at - timedelta(minutes=1)


def _last_seen() -> Statements[datetime | None]:
    answer = yield Query(
        select(node_operational_state.c.last_seen_at)
        .join_from(node_operational_state, nodes)
        .where(nodes.c.node_id == NODE_ID)
    )
    return answer.rows[0].last_seen_at if answer.rows else None


async def _put_aside(monitor: Monitor, export: Export) -> None:
    """Keep what cannot be read. The same rows again are kept once."""
    if export.unreadable:
        await monitor.backfill(
            NODE_ID,
            [
                SetAside(
                    node_id=NODE_ID,
                    received_at=export.first_at,
                    source=f"{export.name} line {row.line}",
                    reason=row.reason,
                    body=row.text,
                )
                for row in export.unreadable
            ],
        )


async def _report(engine: AsyncEngine, export: Export) -> None:
    told = ""
    while True:
        await anyio.sleep(_REPORT_EVERY_S)
        try:
            counts = await counts_of(engine, export)
        except EvaraError as error:
            _LOG.warning("rows cannot be counted: %s", error)
            continue
        if str(counts) != told:
            told = str(counts)
            say(("all rows are in: " if counts.is_complete else "") + told)


def _counts(rows: int) -> Statements[Counts]:
    stored = select(func.count()).select_from(readings).scalar_subquery()
    aside = select(func.count()).select_from(set_aside).scalar_subquery()
    fired = select(func.count()).select_from(alert_history).scalar_subquery()
    resolved = (
        select(func.count())
        .select_from(alert_history)
        .where(alert_history.c.resolved_at.is_not(None))
        .scalar_subquery()
    )
    answer = yield Query(select(stored, aside, fired, resolved))
    return Counts(rows, *map(int, answer.rows[0]))
