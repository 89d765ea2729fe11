"""Set up a demonstration and run it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import select

from evara_core.alerts.defaults import default_rules
from evara_core.clock import SystemClock
from evara_core.errors import ConfigurationError
from evara_core.settings import (
    DatabaseSettings,
    MonitorLimits,
    Settings,
    ThingSpeakSettings,
    read_settings,
)
from evara_core.storage.fleet import add_nodes
from evara_core.storage.migrate import migrate
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes
from evara_core.storage.units import AsyncUnit
from evara_core.thingspeak.simulator.loopback import loopback
from fastapi_app.application import create_app
from fastapi_app.build import open_engine, open_parts
from fastapi_app.demo.exports import file_digest
from fastapi_app.demo.fleet import PACE, interval_for, make_fleet, node_records
from fastapi_app.demo.folder import held_folder
from fastapi_app.demo.people import DemoTokens, add_people
from fastapi_app.demo.state import DemoState
from fastapi_app.parts import DemoUsers
from fastapi_app.serving import bound_socket, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.monitor.waiting import Sleep
    from evara_core.storage.fleet import NodeRecord
    from evara_core.storage.statements import Statements
    from evara_core.telemetry.mapping import FieldMapping
    from fastapi_app.parts import Parts

__all__ = ["DemoOptions", "demo_engine", "demo_parts", "demo_settings", "put_in", "run_demo", "say"]

_HISTORY = timedelta(minutes=1)
"""What has happened before anybody looks: no chart is empty, and no alert has fired yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line says."""

    nodes: int = 50
    port: int = 8000
    postgres: str | None = field(default=None, repr=False)
    is_fresh: bool = False
    replay: Path | None = None
    speed: float = 600.0
    map: Sequence[FieldMapping] = ()
    folder: Path = Path(".demo")


def say(text: str) -> None:
    """Tell whoever sits in front of it."""
    print(f"demo: {text}", flush=True)


async def run_demo(options: DemoOptions) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: It cannot start; the message says what to do.
    """
    at = bound_socket("127.0.0.1", options.port)
    with at, held_folder(options.folder, _name(options), is_fresh=options.is_fresh) as folder:
        if options.replay is not None:
            from fastapi_app.demo.replay import replay_parts  # noqa: PLC0415 - of the other mode

            prepared = replay_parts(options, folder)
        else:
            prepared = demo_parts(options, folder)
        async with prepared as parts:
            url = f"http://127.0.0.1:{at.getsockname()[1]}"
            await serve(create_app(parts), parts, at, on_ready=lambda: _welcome(parts, url))
        say("stopped; the same command goes on where it was")


@asynccontextmanager
async def demo_parts(
    options: DemoOptions,
    folder: Path,
    *,
    clock: Clock | None = None,
    sleep: Sleep | None = None,
) -> AsyncIterator[Parts]:
    """Yield the parts of a demonstration with a simulated fleet."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        state = _state(options, folder, now=clock.now())
        say(f"filling the simulator: {state.nodes} channels, seed {state.seed}")
        fleet = make_fleet(state, clock=clock)
        origin = await stack.enter_async_context(loopback(fleet.simulator))
        interval_s = float(state.interval_s)
        settings = demo_settings(options, folder, look_every_s=interval_s, origin=origin)
        engine = await stack.enter_async_context(demo_engine(options, settings))
        await put_in(engine, node_records(fleet, state), created_at=state.epoch)
        tokens = DemoTokens(clock=SystemClock())
        yield await stack.enter_async_context(
            open_parts(
                settings,
                engine=engine,
                verifier=tokens.verifier(),
                rules=default_rules(pace=PACE),
                clock=clock,
                sleep=sleep,
                demo=DemoUsers(mode="simulator", speed=lambda: 1.0, users=tokens.users),
            )
        )


def demo_settings(
    options: DemoOptions, folder: Path, *, look_every_s: float, origin: str = ""
) -> Settings:
    """Return the settings of the environment, with what a demonstration fixes."""
    url = options.postgres or f"sqlite:///{(folder / 'evara.db').resolve()}"
    settings = read_settings()
    return settings.model_copy(
        update={
            "database": DatabaseSettings(url=SecretStr(url)),
            "redis_url": None,
            "thingspeak": ThingSpeakSettings(base_url=origin),
            "monitor": MonitorLimits(
                poll_interval_s=look_every_s,
                min_poll_interval_s=look_every_s,
                sweep_interval_s=2.0,
                stop_grace_s=2.0,
            ),
        }
    )


@asynccontextmanager
async def demo_engine(options: DemoOptions, settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Yield an engine over the database of a demonstration, emptied if it is to be fresh."""
    say("preparing the database" + (" on PostgreSQL" if options.postgres else " (SQLite)"))
    async with open_engine(settings) as engine:
        if options.is_fresh and options.postgres:
            await migrate(engine, "base")
            await migrate(engine)
        yield engine


async def put_in(
    engine: AsyncEngine, records: Sequence[NodeRecord], *, created_at: datetime
) -> None:
    """Put in people and *records*, unless exactly these nodes are there already.

    Raises:
        ConfigurationError: There are other nodes.
    """
    async with AsyncUnit(engine) as unit:
        known = await unit.run(_node_ids())
        if not known:
            await unit.run(add_people(created_at=created_at))
            await unit.run(add_nodes(records, dialect=engine.dialect.name))
            say(f"put in {len(records)} nodes, their owners and 4 users")
            return
    if known != {record.node.node_id for record in records}:
        problem = f"the database holds {len(known)} other nodes: begin anew with --fresh"
        raise ConfigurationError(problem)
    say("going on where it was")


def _node_ids() -> Statements[set[str]]:
    answer = yield Query(select(nodes.c.node_id))
    return {row.node_id for row in answer.rows}


def _state(options: DemoOptions, folder: Path, *, now: datetime) -> DemoState:
    path = folder / "state.json"
    found = DemoState.load(path)
    if found is not None:
        return found
    made = DemoState(
        epoch=(now - _HISTORY).replace(microsecond=0),
        seed=1,
        nodes=options.nodes,
        interval_s=interval_for(options.nodes),
    )
    made.save(path)
    return made


def _name(options: DemoOptions) -> str:
    if options.replay is not None:
        name = f"replay-{options.replay.stem}-{file_digest(options.replay)}"
    else:
        name = f"fleet-{options.nodes}"
    if options.postgres:
        name += f"-postgres-{sha256(options.postgres.encode()).hexdigest()[:8]}"
    return name


def _welcome(parts: Parts, url: str) -> None:
    assert parts.demo is not None
    say(f"the page is at  {url}")
    say("sign in there, or call the interface with one of these tokens (good for hours):")
    for user in parts.demo.users():
        say(f"  {user.role:<18} {user.name}")
        print(f"Bearer {user.token}", flush=True)
    say(f"for example: curl -H 'Authorization: Bearer …' {url}/api/v1/nodes?limit=3")
    say("Ctrl-C stops it")
