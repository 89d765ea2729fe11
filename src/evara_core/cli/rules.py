"""`evara rules`: look at rules, and try them, before they are at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from evara_core._optional import provided_by
from evara_core.alerts.rule_files import documents_in, dump_rules
from evara_core.alerts.rule_lines import read_rules_by_line
from evara_core.alerts.timeline import timeline_from_document
from evara_core.cli import backtest
from evara_core.cli.moments import moment_in
from evara_core.cli.options import AsJson, Database
from evara_core.errors import EvaraError, InvalidInputError
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

if TYPE_CHECKING:
    from evara_core.alerts.rules import AlertRule

__all__ = ["app"]

app = typer.Typer(help="Alert rules: check, test, try, store them.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(help="JSON, TOML or YAML (extra `yaml`).")]


@app.command()
def check(file: _File) -> None:
    """Say what is wrong with the rules in a file. Exit status 1: something is."""
    found = read_rules_by_line(file.read_text("utf-8"), _form(file))
    for fault in found.faults:
        typer.echo(f"{file}: {fault}", err=True)
    typer.echo(f"{len(found.rules)} rules are sound, {len(found.faults)} are not")
    if found.faults:
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


@app.command("backtest")
def try_on_the_past(
    file: _File,
    node: Annotated[str, typer.Option(help="The id of the node.")],
    database: Annotated[str | None, typer.Option(envvar="EVARA_DATABASE__URL")] = None,
    csv: Annotated[Path | None, typer.Option(help="A CSV: measured_at, then metrics.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="The first moment.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The moment to stop before.")] = None,
    other: Annotated[Path | None, typer.Option("--compare", help="Other rules.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it: FILE.svg or FILE.png.")] = None,
    kind: Annotated[str | None, typer.Option(help="With --csv: tank, deep, flow …")] = None,
    config: Annotated[list[str] | None, typer.Option(help="With --csv: name=number.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say when rules would have fired on stored readings or a CSV, and what it would have cost."""
    sets = [(each.name, _sound(each)) for each in (file, other) if each is not None]
    span = {"start": moment_in(start), "end": moment_in(end)}
    if csv is not None:
        asset = backtest.csv_node(node, sets[0][1], kind, config or [])
        trial = backtest.from_file(sets, asset, csv, **span, with_progress=not as_json)
    elif database is not None:
        trial = backtest.from_store(sets, node, database, **span, with_progress=not as_json)
    else:
        problem = "say where the readings are: --database URL or --csv FILE"
        raise InvalidInputError(problem)
    if plot is not None:
        backtest.save_plot(trial, plot)
    typer.echo(dump_json(backtest.document_of(trial)) if as_json else backtest.table_of(trial))


@app.command("import")
def import_rules(
    file: _File,
    database: Database,
    tenant: Annotated[str | None, typer.Option(help="A distributor; none: the platform.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove rules not in FILE.")] = False,
    by: Annotated[str, typer.Option(help="Who changes them, for the history.")] = "cli",
    as_json: AsJson = False,
) -> None:
    """Store the rules in a file, all or none. What is the same stays as it is."""
    from evara_core.cli.stored_rules import store_rules  # noqa: PLC0415 - needs the extra `sql`

    report = store_rules(_sound(file), database, tenant, prune=prune, by=by)
    if as_json:
        typer.echo(dump_json(report))
        return
    typer.echo(
        f"{len(report.added)} added, {len(report.changed)} changed, "
        f"{len(report.removed)} removed, {report.unchanged} as they were"
    )


@app.command("export")
def export_rules(
    database: Database,
    tenant: Annotated[str | None, typer.Option(help="A distributor; none: the platform.")] = None,
    form: Annotated[str, typer.Option("--format", help="yaml or json.")] = "yaml",
) -> None:
    """Print the rules of the platform, or of a tenant, as `import` takes them."""
    from evara_core.cli.stored_rules import stored_rules  # noqa: PLC0415 - needs the extra `sql`

    typer.echo(dump_rules(stored_rules(database, tenant), form=form), nl=False)


def _sound(file: Path) -> tuple[AlertRule, ...]:
    found = read_rules_by_line(file.read_text("utf-8"), _form(file))
    if found.faults:
        problem = "; ".join(f"{file}: {fault}" for fault in found.faults[:5])
        raise InvalidInputError(problem)
    return found.rules


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
