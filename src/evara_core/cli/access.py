"""`evara access`: who may do what, and what keeps tenants apart."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson, Database
from evara_core.errors import InvalidInputError
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["app"]

app = typer.Typer(help="Who may see what.", no_args_is_help=True)


@app.callback()
def access() -> None:
    """Who may see what."""


class As(StrEnum):
    """What the login in the URL is meant to be."""

    APP = "app"
    SUPERADMIN = "superadmin"
    OWNER = "owner"


@app.command()
def rls(
    database: Database = "",
    show: Annotated[bool, typer.Option("--print", help="Print the SQL; ask no database.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Put the wall up, as the owner.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Does it stand? Status 1: no.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take it down, as the owner.")] = False,
    login: Annotated[As, typer.Option(help="With --check: what the URL logs in as.")] = As.APP,
    prefix: Annotated[str, typer.Option(help="What the names of roles begin with.")] = "evara",
    as_json: AsJson = False,
) -> None:
    """Row-level security of the reference schema. Put it up again after each migration."""
    from evara_core.cli import walls  # noqa: PLC0415 - needs the extra `sql`

    if show + apply + check + remove != 1:
        raise InvalidInputError("say one of --print, --apply, --check, --remove")
    if show:
        typer.echo(walls.as_script(prefix))
        return
    if apply or remove:
        count = walls.change(database, prefix, is_removed=remove)
        done = "down" if remove else "up"
        typer.echo(
            dump_json({"tables": count}) if as_json else f"the wall is {done}: {count} tables"
        )
        return
    faults = walls.faults(database, prefix, login)
    if as_json:
        typer.echo(dump_json(faults))
    elif faults:
        typer.echo("\n".join(map(str, faults)))
    else:
        typer.echo("the wall stands")
    if faults:
        raise typer.Exit(1)


@app.command()
def matrix(
    markdown: Annotated[bool, typer.Option("--markdown", help="For a page.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who may do what: built-in roles by permissions, and by the columns of each resource."""
    from evara_core.access import matrix as tables  # noqa: PLC0415 - as below
    from evara_core.access.roles import built_in_policy  # noqa: PLC0415 - as below
    from evara_core.storage.reference.columns import (  # noqa: PLC0415 - needs the extra `sql`
        reference_columns,
    )

    policy = built_in_policy()
    columns = reference_columns(policy)
    if as_json:
        shown = {
            "policy_version": policy.version,
            "permissions": tables.permission_marks(policy),
            "columns": tables.column_marks(columns),
        }
        typer.echo(dump_json(shown))
    elif markdown:
        typer.echo(tables.render_permissions(policy))
        typer.echo(tables.render_columns(columns), nl=False)
    else:
        typer.echo(tables.render_text(policy, columns), nl=False)


@app.command()
def explain(
    role: Annotated[str, typer.Argument(help="Such as distributor.")],
    permission: Annotated[str, typer.Argument(help="Such as nodes:write.")],
    as_json: AsJson = False,
) -> None:
    """Say in one sentence whether a role may do something, and why. Status 1: it may not."""
    from evara_core.access.principal import Principal  # noqa: PLC0415 - beside the policy
    from evara_core.access.roles import built_in_policy  # noqa: PLC0415 - only this needs it

    decision = built_in_policy().decide(Principal(user_id="", role=role), permission)
    typer.echo(dump_json(decision) if as_json else decision.explain())
    if not decision.allowed:
        raise typer.Exit(1)
