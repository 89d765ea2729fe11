"""`evara doctor`, as it is called."""

from __future__ import annotations

from typing import Annotated, Final

import anyio

from evara_core._optional import provided_by
from evara_core.cli.findings import Finding, Verdict
from evara_core.cli.options import AsJson
from evara_core.clock import SystemClock
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["doctor"]

_MARKS: Final = {
    Verdict.OK: ("ok  ", "green"),
    Verdict.WARNING: ("mind", "yellow"),
    Verdict.FAILURE: ("FAIL", "red"),
}


def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask ThingSpeak or the issuer of tokens.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at what this installation stands on, and say what to do.

    Settings (EVARA_…), files, database and schema, connections, clocks, Redis, upkeep, the
    issuer's keys, ThingSpeak. Nothing is changed. Exit status 1: something does not work.
    """
    from evara_core.cli.examining import examine  # noqa: PLC0415 - needs the extra `sql`

    clock = SystemClock()

    async def run() -> list[Finding]:
        return await examine(clock, offline=offline)

    found = anyio.run(run)
    if as_json:
        typer.echo(dump_json(found))
    else:
        for finding in found:
            _tell(finding)
    if any(finding.verdict is Verdict.FAILURE for finding in found):
        raise typer.Exit(1)


def _tell(finding: Finding) -> None:
    mark, colour = _MARKS[finding.verdict]
    typer.echo(f"{typer.style(mark, fg=colour)}  {finding.subject}: {finding.told}")
    if finding.advice:
        typer.echo(f"      {finding.advice}")
