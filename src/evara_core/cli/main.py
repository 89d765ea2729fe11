"""The `evara` command and its simplest commands."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from evara_core._optional import provided_by
from evara_core.cli import (
    access,
    audit,
    doctor,
    failures,
    history,
    notify,
    rules,
    settings,
    upkeep,
    worker,
)
from evara_core.cli.options import Database
from evara_core.errors import EvaraError
from evara_core.serialization import dump_json
from evara_core.thingspeak.simulator.serving import Serving, serve

with provided_by("cli", package="typer"):
    import typer

__all__ = ["app", "main"]

app = typer.Typer(
    name="evara",
    help="Tools for fleets of water sensors that report to ThingSpeak.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

app.add_typer(access.app, name="access")
app.add_typer(audit.app, name="audit")
app.add_typer(notify.app, name="notify")
app.add_typer(rules.app, name="rules")
app.add_typer(failures.app, name="failures")
app.command()(doctor.doctor)
app.command()(history.rederive)
app.command()(settings.settings)
app.command()(upkeep.upkeep)
app.command()(worker.worker)


@app.callback()
def evara() -> None:
    """Tools for fleets of water sensors that report to ThingSpeak."""


@app.command()
def simulate(
    nodes: Annotated[int, typer.Option(help="Channels, of tanks, borewells and flow meters.")] = 50,
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.")] = 8093,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    profile: Annotated[str, typer.Option(help="hosted, or rails: the open server.")] = "hosted",
    seed: Annotated[int, typer.Option(help="Another seed is other water.")] = 1,
    interval_s: Annotated[int, typer.Option("--interval", help="Seconds between reports.")] = 15,
    history_h: Annotated[float, typer.Option("--history", help="Hours of past rows.")] = 24.0,
    pace: Annotated[float, typer.Option(help="Seconds of water per second of reports.")] = 1.0,
    public: Annotated[bool, typer.Option("--public", help="Channels need no read key.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Show this export instead.")] = None,
    speed: Annotated[float, typer.Option(help="How fast the replay's clock runs.")] = 1.0,
    control: Annotated[bool, typer.Option(help="Take orders under /_control.")] = True,
) -> None:
    """Serve a ThingSpeak of your own, until Ctrl-C."""
    serving = Serving(
        host=host,
        port=port,
        profile=profile,
        nodes=nodes,
        seed=seed,
        interval_s=interval_s,
        history=timedelta(hours=history_h),
        pace=pace,
        public=public,
        replay=replay,
        speed=speed,
        has_control=control,
    )
    _run_until_stopped(serving)


@app.command()
def migrate(database: Database) -> None:
    """Bring a database to the newest schema. Doing it again changes nothing."""
    from evara_core.cli.storage import migrate_database  # noqa: PLC0415 - needs the extra `sql`

    migrate_database(database)
    typer.echo("the database has the newest schema")


@app.command("import")
def import_export(
    file: Annotated[Path, typer.Argument(help="A ThingSpeak export, as CSV.")],
    node: Annotated[str, typer.Option(help="The id of the node whose channel it is of.")],
    database: Database,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Store a ThingSpeak export as readings of a node, the way of all readings.

    Every row ends up stored, known already, or set aside with its reason. Doing it again
    stores nothing twice. Stop the monitor that looks after the node meanwhile.
    """
    from evara_core.cli.storage import import_file  # noqa: PLC0415 - needs the extra `sql`

    report = import_file(file, node, database, with_progress=not as_json)
    if as_json:
        typer.echo(dump_json(report))
        return
    typer.echo(
        f"{report.rows:,} rows: {report.stored:,} stored, {report.duplicates:,} known already, "
        f"{report.set_aside:,} set aside"
    )


def _run_until_stopped(serving: Serving) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows: Ctrl-C then cancels `run`
                loop.add_signal_handler(number, stop.set)
        await serve(serving, typer.echo, stop=stop)

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


def main() -> None:
    """Run the command line; a problem that we know is one line and exit status 2."""
    try:
        app()
    except (EvaraError, OSError) as error:
        typer.echo(f"evara: {error}", err=True)
        raise SystemExit(2) from error
