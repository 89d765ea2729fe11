"""`evara rules`: look at rules, and try them, before they are at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from evara_core._optional import provided_by
from evara_core.alerts.rule_files import documents_in, read_rules
from evara_core.alerts.timeline import timeline_from_document
from evara_core.errors import EvaraError, InvalidInputError

with provided_by("cli", package="typer"):
    import typer

__all__ = ["app"]

app = typer.Typer(help="Alert rules: check and test them.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(help="JSON, TOML or YAML (extra `yaml`).")]


@app.command()
def check(file: _File) -> None:
    """Say what is wrong with the rules in a file. Exit status 1: something is."""
    loaded = read_rules(file.read_text("utf-8"), _form(file))
    for refused in loaded.refused:
        typer.echo(f"{file}: {refused}", err=True)
    typer.echo(f"{len(loaded.rules)} rules are sound, {len(loaded.refused)} are not")
    if loaded.refused:
        raise typer.Exit(1)


@app.command()
def test(file: _File) -> None:
    """Play the timelines in a file to their rules. Exit status 1: one went another way."""
    failed = 0
    documents = documents_in(file.read_text("utf-8"), _form(file), key="timelines")
    for place, document in enumerate(documents):
        name, problems = _played(place, document)
        failed += bool(problems)
        typer.echo(f"{'FAILED' if problems else 'ok'}  {name}")
        for problem in problems:
            typer.echo(f"    {problem}")
    typer.echo(f"{len(documents) - failed} of {len(documents)} timelines went as expected")
    if failed or not documents:
        raise typer.Exit(1)


def _played(place: int, document: object) -> tuple[str, tuple[str, ...]]:
    if not isinstance(document, dict):
        return f"timeline {place + 1}", ("it is no mapping of names to values",)
    name = str(document.get("name", f"timeline {place + 1}"))
    try:
        return name, timeline_from_document(document).play().problems
    except EvaraError as error:
        return name, (str(error),)


def _form(file: Path) -> str:
    form = file.suffix.removeprefix(".").lower()
    if not form:
        problem = f"{file} has no suffix that says its format"
        raise InvalidInputError(problem)
    return form
