"""What `evara failures` does with the rows of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from evara_core._optional import provided_by
from evara_core.cli.storage import opened, stored_monitor
from evara_core.clock import SystemClock
from evara_core.query.ast import ALWAYS
from evara_core.storage.set_aside import dismiss, kept, replay_set_aside, set_aside_record
from evara_core.storage.units import AsyncUnit

with provided_by("cli", package="rich"):
    from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.monitor.replay import Kept, ReplayReport

__all__ = ["dismiss_rows", "list_rows", "replay_rows", "show_row"]


def list_rows(
    database: str, *, node_id: str | None, before_id: int | None, is_open: bool, limit: int
) -> list[Kept]:
    """Return rows that were set aside, the newest first."""

    async def run() -> list[Kept]:
        async with opened(database) as engine, AsyncUnit(engine, reads_only=True) as unit:
            return await unit.run(
                kept(
                    node_id=node_id,
                    before_id=before_id,
                    is_open=is_open,
                    limit=limit,
                    dialect=engine.dialect.name,
                )
            )

    return anyio.run(run)


def show_row(database: str, set_aside_id: int) -> dict[str, Any]:
    """Return all that is known of a row.

    Raises:
        NotFoundError: There is no such row.
    """

    async def run() -> dict[str, Any]:
        async with opened(database) as engine, AsyncUnit(engine, reads_only=True) as unit:
            return await unit.run(set_aside_record(set_aside_id, scope=ALWAYS))

    return anyio.run(run)


def replay_rows(
    database: str, *, node_id: str | None, ids: Sequence[int] | None, with_progress: bool
) -> ReplayReport:
    """Try open rows again, the way of all readings."""
    console = Console(stderr=True)
    console.quiet = not (with_progress and console.is_terminal)

    async def run() -> ReplayReport:
        clock = SystemClock()
        async with opened(database) as engine:
            monitor = await stored_monitor(engine, clock)
            with console.status("replaying"):
                return await replay_set_aside(
                    engine, monitor.backfill, clock=clock, node_id=node_id, ids=ids
                )

    return anyio.run(run)


def dismiss_rows(database: str, ids: Sequence[int]) -> int:
    """Let rows be; return how many were open."""

    async def run() -> int:
        async with opened(database) as engine, AsyncUnit(engine) as unit:
            at = SystemClock().now()
            return await unit.run(dismiss(ids, at=at, by="evara", dialect=engine.dialect.name))

    return anyio.run(run)
