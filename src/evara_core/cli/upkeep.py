"""`evara upkeep`, as it is called."""

from __future__ import annotations

from typing import Annotated

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson, Database
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["upkeep"]


def upkeep(
    database: Database,
    jobs: Annotated[list[str] | None, typer.Argument(help="Names; none: what is due.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Only say how the jobs stand.")] = False,
    as_json: AsJson = False,
) -> None:
    """Sum up, make partitions, prove counters, delete what is old enough.

    What is kept for how long is in EVARA_UPKEEP__… Safe beside running processes. Exit status
    1: a job failed.
    """
    from evara_core.cli.upkeep_jobs import (  # noqa: PLC0415 - needs the extra `sql`
        do_jobs,
        job_status,
        told_run,
        told_status,
    )

    if status:
        found = job_status(database)
        lines = [told_status(one) for one in found]
        typer.echo(dump_json(found) if as_json else "\n".join(lines))
        raise typer.Exit(0 if all(one.is_ok for one in found) else 1)
    runs = do_jobs(database, jobs or (), with_progress=not as_json)
    lines = [told_run(run) for run in runs] or ["nothing is due"]
    typer.echo(dump_json(runs) if as_json else "\n".join(lines))
    if any(run is not None and run.is_ok is False for run in runs):
        raise typer.Exit(1)
