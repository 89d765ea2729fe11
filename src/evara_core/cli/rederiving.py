"""`evara rederive`: stored readings made anew by the mappings that now hold for them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from evara_core._optional import provided_by
from evara_core.cli.storage import opened
from evara_core.settings import read_settings
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.rederiving import rederive

with provided_by("cli", package="rich"):
    from rich.console import Console
    from rich.progress import Progress

if TYPE_CHECKING:
    from evara_core.storage.rederiving import RederiveReport

__all__ = ["rederive_node", "told"]


def rederive_node(
    node_id: str,
    database: str,
    *,
    start: datetime | None,
    end: datetime | None,
    is_dry_run: bool,
    with_progress: bool,
) -> RederiveReport:
    """Make the readings of a node anew that were measured in start <= moment < end.

    Raises:
        NotFoundError: There is no such node.
        InvalidMappingError: It has no mapping, or that makes no sense.
    """
    console = Console(stderr=True)
    console.quiet = not (with_progress and console.is_terminal)
    zone = read_settings().time_zone()

    async def run() -> RederiveReport:
        async with opened(database) as engine:
            newest = (await SqlReadingStore(engine).latest([node_id])).get(node_id)
            last = end if end is not None or newest is None else newest.measured_at
            with Progress(console=console) as progress:
                task = progress.add_task(node_id, total=None if last is None else 1.0)
                first: list[datetime] = []

                def on_lot(_: RederiveReport, at: datetime) -> None:
                    first.append(start or at)
                    if last is not None and last > first[0]:
                        done = (at - first[0]) / (last - first[0])
                        progress.update(task, completed=min(1.0, done))

                return await rederive(
                    engine,
                    node_id,
                    start=start,
                    end=end,
                    is_dry_run=is_dry_run,
                    zone=zone,
                    on_lot=on_lot,
                )

    return anyio.run(run)


def told(report: RederiveReport) -> str:
    """Return *report* in words."""
    would = "would change" if report.is_dry_run else "changed"
    lines = [f"{report.readings:,} readings: {report.changed:,} {would}"]
    for name, change in sorted(report.metrics.items()):
        before, after = (
            "nothing" if one is None or one.value is None else f"{one.value:g}"
            for one in (change.before, change.after)
        )
        lines.append(
            f"    {name}: {change.readings:,}, the first at {change.first_at.isoformat()}"
            f" from {before} to {after}"
        )
    if report.left:
        lines.append(f"    {report.left:,} stay: no mapping speaks of their channel any more")
    return "\n".join(lines)
