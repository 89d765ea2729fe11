"""`evara notify`: try a receiver, and look after what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson, Database
from evara_core.errors import InvalidInputError
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

if TYPE_CHECKING:
    from evara_core.monitor.delivery import Delivery

__all__ = ["app"]

app = typer.Typer(help="Receivers of notifications, and what was given up.", no_args_is_help=True)
letters = typer.Typer(help="Notifications that were given up.", no_args_is_help=True)
app.add_typer(letters, name="dead-letters")

_Receiver = Annotated[str, typer.Argument(help="Its id; of a tenant's receiver: DISTRIBUTOR:ID.")]


@app.command("test")
def try_one(receiver: _Receiver, database: Database, as_json: AsJson = False) -> None:
    """Send a test notification at once. Exit status 1: it did not arrive."""
    from evara_core.cli.notifying import try_receiver  # noqa: PLC0415 - needs the extra `sql`

    attempt = try_receiver(database, receiver)
    if as_json:
        typer.echo(dump_json(attempt))
    elif attempt.outcome == "done":
        typer.echo(f"{receiver} took it")
    else:
        typer.echo(f"{receiver} did not take it: {attempt.error}", err=True)
    if attempt.outcome != "done":
        raise typer.Exit(1)


@app.command()
def enable(receiver: _Receiver, database: Database, as_json: AsJson = False) -> None:
    """Let a receiver be called again that asked never to be (HTTP 410)."""
    from evara_core.cli.notifying import enable as enable_one  # noqa: PLC0415 - the extra `sql`

    was_disabled = enable_one(database, receiver)
    if as_json:
        typer.echo(dump_json({"receiver": receiver, "was_disabled": was_disabled}))
        return
    typer.echo(f"{receiver} is called again" if was_disabled else f"{receiver} was not disabled")


@letters.command("list")
def list_letters(
    database: Database,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was given up, the newest first."""
    from evara_core.cli.notifying import given_up  # noqa: PLC0415 - needs the extra `sql`

    found = given_up(database, limit=limit)
    if as_json:
        typer.echo(dump_json([_plain(letter) for letter in found]))
        return
    for letter in found:
        typer.echo(
            f"{letter.event_id}  {letter.receiver}  {letter.attempts} attempts  "
            f"{letter.subject}: {letter.error}"
        )
    if not found:
        typer.echo("nothing was given up")


@letters.command()
def replay(
    database: Database,
    receiver: Annotated[str | None, typer.Option(help="Only those to this receiver.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this one, with --receiver.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try again what was given up, under its old event id. The running monitor sends it."""
    from evara_core.cli.notifying import replay_given_up  # noqa: PLC0415 - needs the extra `sql`

    if receiver is None and (event is not None or not every):
        problem = "say --receiver ID, --receiver ID --event EVENT, or --all"
        raise InvalidInputError(problem)
    count = replay_given_up(database, receiver=receiver, event_id=event)
    typer.echo(dump_json({"replayed": count}) if as_json else f"{count} will be tried again")


def _plain(letter: Delivery) -> dict[str, object]:
    return {
        "event_id": letter.event_id,
        "receiver": letter.receiver,
        "owner": letter.owner,
        "subject": letter.subject,
        "attempts": letter.attempts,
        "queued_at": letter.queued_at,
        "settled_at": letter.settled_at,
        "error": letter.error,
    }
