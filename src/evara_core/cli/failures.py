"""`evara failures`: what could not be understood or stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson, Database
from evara_core.errors import InvalidInputError
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

if TYPE_CHECKING:
    from evara_core.monitor.replay import Kept

__all__ = ["app"]

app = typer.Typer(
    help="Rows that could not be understood or stored: look at them, try them again.",
    no_args_is_help=True,
)

_OfNode = Annotated[str | None, typer.Option("--node", help="Only those of this node.")]
_Ids = Annotated[list[int], typer.Argument(help="Numbers, as `list` shows them.")]
_SomeIds = Annotated[list[int] | None, typer.Argument(help="Numbers, as `list` shows them.")]


@app.command("list")
def list_failures(
    database: Database,
    node: _OfNode = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are settled.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Rows on a page.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only rows older than this number.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was set aside, the newest first. The next page: --before the last number."""
    from evara_core.cli.set_aside import list_rows  # noqa: PLC0415 - needs the extra `sql`

    rows = list_rows(database, node_id=node, before_id=before, is_open=not every, limit=limit)
    if as_json:
        typer.echo(dump_json([_plain(row) for row in rows]))
        return
    for row in rows:
        one = row.aside
        moment = one.received_at.isoformat(timespec="seconds")
        typer.echo(f"{row.set_aside_id}  {moment}  {one.node_id}  {one.source}: {one.reason}")
    if not rows:
        typer.echo("nothing is set aside")


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="As `list` shows it.")],
    database: Database,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one row."""
    from evara_core.cli.set_aside import show_row  # noqa: PLC0415 - needs the extra `sql`

    row = show_row(database, number)
    if as_json:
        typer.echo(dump_json(row))
        return
    for name, value in row.items():
        typer.echo(f"{name}: {'' if value is None else value}")


@app.command()
def replay(
    database: Database,
    numbers: _SomeIds = None,
    node: _OfNode = None,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try rows again, the way of all readings. What is refused again stays open.

    Stop the monitor that looks after their nodes meanwhile.
    """
    from evara_core.cli.set_aside import replay_rows  # noqa: PLC0415 - needs the extra `sql`

    if not (numbers or node or every):
        problem = "say which rows: their numbers, --node ID, or --all"
        raise InvalidInputError(problem)
    report = replay_rows(database, node_id=node, ids=numbers or None, with_progress=not as_json)
    if as_json:
        typer.echo(dump_json(report))
        return
    typer.echo(
        f"{len(report.taken):,} rows taken: {report.stored:,} stored, "
        f"{report.duplicates:,} known already, {report.set_aside:,} set aside again"
    )
    for number, reason in sorted(report.left.items()):
        typer.echo(f"{number} stays: {reason}")


@app.command()
def dismiss(numbers: _Ids, database: Database, as_json: AsJson = False) -> None:
    """Let rows be. They are deleted when they are old enough."""
    from evara_core.cli.set_aside import dismiss_rows  # noqa: PLC0415 - needs the extra `sql`

    dismissed = dismiss_rows(database, numbers)
    typer.echo(
        dump_json({"dismissed": dismissed})
        if as_json
        else f"{dismissed:,} of {len(numbers):,} rows dismissed"
    )


def _plain(row: Kept) -> dict[str, object]:
    one = row.aside
    return {
        "id": row.set_aside_id,
        "node_id": one.node_id,
        "received_at": one.received_at,
        "source": one.source,
        "reason": one.reason,
        "body": one.body,
    }
