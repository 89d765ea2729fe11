"""`evara worker`, as it is called."""

from __future__ import annotations

from typing import Annotated

import anyio

from evara_core._optional import provided_by
from evara_core.cli.options import AsJson
from evara_core.errors import ConfigurationError
from evara_core.serialization import dump_json

with provided_by("cli", package="typer"):
    import typer

__all__ = ["worker"]


def worker(
    engine: Annotated[
        str, typer.Option(help="What does jobs: inline, procrastinate, docket or celery.")
    ] = "inline",
    database: Annotated[
        str, typer.Option(help="sqlite:///FILE or postgresql://…; EVARA_DATABASE__URL if not given")
    ] = "",
    redis: Annotated[str, typer.Option(help="redis://…; EVARA_REDIS_URL if not given")] = "",
    as_json: AsJson = False,
) -> None:
    """Poll, judge and notify for a fair share of the fleet, until SIGTERM or Ctrl-C.

    Start as many as you like: they divide the fleet among themselves, and take over from those
    that die. Limits are in EVARA_…; see docs/how-to/run-many-workers.
    """
    from evara_core.cli.working import run_worker  # noqa: PLC0415 - needs the extra `sql`
    from evara_core.settings import read_settings  # noqa: PLC0415 - with it

    settings = read_settings()
    change: dict[str, object] = {}
    if database:
        change["database"] = settings.database.model_copy(update={"url": _secret(database)})
    if redis:
        change["redis_url"] = _secret(redis)
    settings = settings.model_copy(update=change)

    def tell(status: dict[str, object]) -> None:
        if as_json:
            typer.echo(dump_json(status))
        else:
            typer.echo(
                f"{status['worker']}: {status['shards']} of {status['of']} shards,"
                f" {status['nodes']} nodes, {status['stored']:,} readings stored"
            )

    try:
        anyio.run(lambda: run_worker(settings, engine=engine, on_status=tell))
    except BaseExceptionGroup as group:
        errors = group.subgroup(ConfigurationError)
        if errors is None:
            raise
        raise _first(errors) from None


def _secret(url: str) -> object:
    from pydantic import SecretStr  # noqa: PLC0415 - with the settings

    return SecretStr(url)


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
