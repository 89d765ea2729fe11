"""`evara settings`, as it is called."""

from __future__ import annotations

from typing import Annotated

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson
from evara_core.cli.variables import render_variables, variables
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["settings"]


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="For a page.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the environment variables, their defaults and what they mean. Shows no value set."""
    if as_json:
        typer.echo(dump_json(variables()))
    elif markdown:
        typer.echo(render_variables(), nl=False)
    else:
        for each in variables():
            typer.echo(f"{typer.style(each.name, bold=True)} ({each.kind}; {each.default})")
            if each.meaning:
                typer.echo(f"    {each.meaning}")
