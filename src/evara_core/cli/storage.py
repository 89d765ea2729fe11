"""`evara migrate` and `evara import`: bring a database to its schema, and exports into it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from evara_core._optional import provided_by
from evara_core.clock import SystemClock
from evara_core.monitor.imports import items_of
from evara_core.monitor.runner import Monitor
from evara_core.monitor.tenants import TenantJudge
from evara_core.monitor.upkeep import Upkeep
from evara_core.realtime.memory import MemoryBus
from evara_core.settings import read_settings
from evara_core.storage.engine import EngineLimits, engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.migrate import migrate
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.rule_watch import stored_rules
from evara_core.storage.upkeep_jobs import UpkeepPolicy, standard_jobs
from evara_core.storage.upkeep_log import SqlUpkeepLog
from evara_core.testing.source import MemorySource
from evara_core.thingspeak.export import ExportReader

with provided_by("cli", package="rich"):
    from rich.console import Console
    from rich.progress import wrap_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.monitor.imports import ImportReport

__all__ = ["import_file", "migrate_database", "opened", "stored_monitor", "stored_upkeep"]


def migrate_database(database: str) -> None:
    """Bring the database at this URL to the newest schema. Doing it again changes nothing."""

    async def run() -> None:
        async with opened(database):
            pass

    anyio.run(run)


def import_file(file: Path, node_id: str, database: str, *, with_progress: bool) -> ImportReport:
    """Store the export at *file* as readings of a node, the way of all readings.

    Returns:
        What became of each row.

    Raises:
        NotFoundError: There is no such node. Nothing was stored.
        InvalidExportError: It is no export.
        OSError: It cannot be opened.
    """
    total_bytes = file.stat().st_size

    async def run() -> ImportReport:
        async with opened(database) as engine:
            return await _import(file, total_bytes, node_id, engine, with_progress=with_progress)

    return anyio.run(run)


async def _import(
    file: Path, total_bytes: int, node_id: str, engine: AsyncEngine, *, with_progress: bool
) -> ImportReport:
    clock = SystemClock()
    monitor = await stored_monitor(engine, clock)
    with file.open("rb") as opened:
        console = Console(stderr=True)
        console.quiet = not (with_progress and console.is_terminal)
        with wrap_file(opened, total_bytes, description=file.name, console=console) as counted:
            reader = ExportReader(counted)
            items = items_of(reader, node_id=node_id, name=file.name, now=clock.now())
            report = await monitor.backfill(node_id, items)
    for repair in sorted(reader.report.repairs):
        console.print(f"put right: {repair}", highlight=False)
    return report


async def stored_monitor(engine: AsyncEngine, clock: Clock) -> Monitor:
    """Return a monitor over what *engine* holds, with its rules, that polls nothing."""
    zone = read_settings().time_zone()
    return Monitor(
        store=SqlIngestStore(engine, zone=zone),
        outbox=SqlOutboxStore(engine),
        source=MemorySource(),
        bus=MemoryBus(),
        judge=TenantJudge(await stored_rules(engine)),
        readings=SqlReadingStore(engine),
        clock=clock,
        zone=zone,
    )


def stored_upkeep(engine: AsyncEngine) -> Upkeep:
    """Return the upkeep of what *engine* holds, as the environment sets it."""
    settings = read_settings()
    jobs = standard_jobs(
        engine,
        UpkeepPolicy(**settings.upkeep.model_dump()),
        limits=EngineLimits(connection_budget=settings.database.connection_budget),
    )
    return Upkeep(jobs, SqlUpkeepLog(engine), clock=SystemClock())


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[AsyncEngine]:
    """Give the engine of *database*, brought to the newest schema."""
    engine = engine_for(database)
    try:
        await migrate(engine)
        yield engine
    finally:
        await engine.dispose()
