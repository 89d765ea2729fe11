"""What `evara upkeep` does with a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from evara_core._optional import provided_by
from evara_core.cli.storage import opened, stored_upkeep

with provided_by("cli", package="rich"):
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.monitor.upkeep import JobRun, JobStatus

__all__ = ["do_jobs", "job_status", "told_run", "told_status"]


def do_jobs(database: str, names: Sequence[str], *, with_progress: bool) -> list[JobRun | None]:
    """Do the jobs of these names, or those that are due; return their runs.

    One that another process is at is None.

    Raises:
        NotFoundError: There is no such job.
    """
    console = Console(stderr=True)
    console.quiet = not (with_progress and console.is_terminal)

    async def run() -> list[JobRun | None]:
        async with opened(database) as engine:
            upkeep = stored_upkeep(engine)
            wanted = list(names)
            if not wanted:
                wanted = [found.name for found in await upkeep.status() if found.is_due]
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=console) as progress:
                runs = []
                for name in wanted:
                    task = progress.add_task(name, total=1)
                    runs.append(await upkeep.run_job(name))
                    progress.update(task, completed=1)
            return runs

    return anyio.run(run)


def job_status(database: str) -> tuple[JobStatus, ...]:
    """Return how each job stands, whichever process does it."""

    async def run() -> tuple[JobStatus, ...]:
        async with opened(database) as engine:
            return await stored_upkeep(engine).status()

    return anyio.run(run)


def told_run(run: JobRun | None) -> str:
    """Return *run* in words."""
    if run is None:
        return "another process is at it"
    return f"{run.job} {'ok' if run.is_ok else 'FAILED'} in {run.took_s or 0:.1f} s: {run.told}"


def told_status(found: JobStatus) -> str:
    """Return *found* in words."""
    if found.last is None:
        return f"{found.name}: never done"
    moment = found.last.begun_at.isoformat(timespec="seconds")
    if found.last.took_s is None:
        return f"{found.name}: under way since {moment}"
    late = ", late" if found.is_late else ""
    return f"{told_run(found.last)} (begun {moment}{late})"
