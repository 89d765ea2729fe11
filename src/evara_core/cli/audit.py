"""`evara audit`: who did what, and whether anybody has touched the log since."""

from __future__ import annotations

from typing import Annotated

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson, Database
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["app"]

app = typer.Typer(help="The log of what was done.", no_args_is_help=True)

_Key = Annotated[
    str,
    typer.Option(
        envvar="EVARA_API__AUDIT_KEY",
        show_default=False,
        help="What entries are signed with. Better in the environment than here.",
    ),
]


@app.callback()
def audit() -> None:
    """The log of what was done."""


@app.command()
def verify(
    database: Database = "",
    key: _Key = "",
    head: Annotated[
        str, typer.Option(help="A head that was noted before, as it was printed: NUMBER:DIGEST.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check every link of the chain. Status 1: it is broken, and the first wrong entry is named."""
    from evara_core.cli import auditing  # noqa: PLC0415 - needs the extra `sql`

    report = auditing.verify(
        database, key=key, noted=auditing.head_in(head), with_progress=not as_json
    )
    typer.echo(dump_json(report) if as_json else auditing.told(report))
    if report.fault is not None:
        raise typer.Exit(1)


@app.command("list")
def list_entries(
    database: Database = "",
    actor: Annotated[str | None, typer.Option(help="Of this user only.")] = None,
    resource: Annotated[str | None, typer.Option(help="Of this kind only: nodes.")] = None,
    row: Annotated[str | None, typer.Option("--id", help="Of the row with this id only.")] = None,
    distributor: Annotated[str | None, typer.Option(help="Of this tenant's rows only.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From 2026-01-31 or 2026-01-31T06:00 on.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Entries, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List entries of the audit log, the newest first."""
    from evara_core.cli import auditing  # noqa: PLC0415 - needs the extra `sql`
    from evara_core.cli.moments import moment_in  # noqa: PLC0415 - beside it

    found = auditing.list_entries(
        database,
        {
            "actor_id": actor,
            "resource": resource,
            "resource_id": row,
            "distributor_id": distributor,
        },
        since=moment_in(since),
        limit=limit,
    )
    if as_json:
        typer.echo(dump_json(found))
    else:
        typer.echo("\n".join(map(auditing.as_line, found)) or "no entries")
