"""`evara rederive`, as it is called."""

from __future__ import annotations

from typing import Annotated

from evara_core._optional import provided_by
from evara_core.cli.moments import moment_in
from evara_core.cli.options import AsJson, Database
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["rederive"]


def rederive(
    node: Annotated[str, typer.Option(help="The id of the node.")],
    database: Database,
    start: Annotated[str | None, typer.Option("--from", help="Measured from here on.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Measured before this.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make stored readings anew by the mappings that now hold for them.

    After a mapping or a calibration was put right. Doing it again changes nothing.
    """
    from evara_core.cli.rederiving import rederive_node, told  # noqa: PLC0415 - extra `sql`

    report = rederive_node(
        node,
        database,
        start=moment_in(start),
        end=moment_in(end),
        is_dry_run=dry_run,
        with_progress=not as_json,
    )
    typer.echo(dump_json(report) if as_json else told(report))
