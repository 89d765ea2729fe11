"""A simulator that is served until somebody stops it: what `evara simulate` does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.clock import Clock, ScaledClock, SystemClock
from evara_core.errors import ConfigurationError, InvalidExportError
from evara_core.thingspeak.export import read_export
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.fleet import FleetPlan, demo_fleet
from evara_core.thingspeak.simulator.loopback import loopback
from evara_core.thingspeak.simulator.profile import PROFILES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evara_core.thingspeak.simulator.channel import SimulatedChannel

__all__ = ["Serving", "make_simulator", "serve"]

_SHOWN = 5
_REPLAYED_ID = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What to serve, and where."""

    host: str = "127.0.0.1"
    port: int = 8093
    """0 takes a free one."""

    profile: str = "hosted"
    nodes: int = 50
    seed: int = 1
    interval_s: int = 15
    history: timedelta = timedelta(days=1)
    """How much of the past the channels have at the start."""

    pace: float = 1.0
    public: bool = False
    replay: Path | None = None
    """An export to show instead of a fleet."""

    speed: float = 1.0
    """Of the replay's clock."""

    has_control: bool = True


async def serve(
    serving: Serving, say: Callable[[str], None], *, stop: asyncio.Event, base: Clock | None = None
) -> None:
    """Serve until *stop* is set, after telling what there is.

    Args:
        serving: What, and where.
        say: Shows a line to the person who started it.
        stop: Ends it.
        base: The clock that goes by itself.

    Raises:
        ConfigurationError: There is no such profile, or a number makes no sense.
        InvalidExportError: The file to replay is no export, or has no rows.
        OSError: The file cannot be read, or the address is taken.
    """
    simulator = make_simulator(serving, clock=base or SystemClock())
    async with loopback(simulator, host=serving.host, port=serving.port) as url:
        for line in _introduction(simulator, url, has_control=serving.has_control):
            say(line)
        await stop.wait()


def make_simulator(serving: Serving, *, clock: Clock) -> Simulator:
    """Return the simulator that *serving* describes.

    Raises:
        ConfigurationError: There is no such profile, or a number makes no sense.
        InvalidExportError: The file to replay is no export, or has no rows.
        OSError: The file cannot be read.
    """
    _check(serving)
    profile = PROFILES[serving.profile]
    if serving.replay is not None:
        entries = [row for row in read_export(serving.replay) if isinstance(row, Entry)]
        if not entries:
            raise InvalidExportError(0, "it has no rows")
        origin = min(entry.created_at for entry in entries)
        simulator = Simulator(
            clock=ScaledClock(origin, speed=serving.speed, base=clock),
            profile=profile,
            seed=serving.seed,
            has_control=serving.has_control,
        )
        channel = simulator.replay(_REPLAYED_ID, entries)
        channel.name, channel.public = f"Replay of {serving.replay.name}", serving.public
        return simulator
    simulator = Simulator(
        clock=clock, profile=profile, seed=serving.seed, has_control=serving.has_control
    )
    plan = FleetPlan(
        epoch=clock.now() - serving.history,
        nodes=serving.nodes,
        seed=serving.seed,
        interval_s=serving.interval_s,
        pace=serving.pace,
        public_every=int(serving.public),
    )
    return demo_fleet(plan, clock=clock, simulator=simulator).simulator


def _check(serving: Serving) -> None:
    if serving.profile not in PROFILES:
        problem = f"no such profile: {serving.profile} (there are: {', '.join(sorted(PROFILES))})"
        raise ConfigurationError(problem)
    least = {"nodes": 1, "interval_s": 1}
    for name, value in least.items():
        if getattr(serving, name) < value:
            problem = f"{name}: at least {value}"
            raise ConfigurationError(problem)
    if serving.speed <= 0 or serving.pace <= 0:
        problem = "speed and pace: more than 0"
        raise ConfigurationError(problem)


def _introduction(simulator: Simulator, url: str, *, has_control: bool) -> Iterator[str]:
    channels = list(simulator.channels.values())
    yield f"ThingSpeak simulator ({simulator.service.profile.name}) at {url}"
    yield f"User key: {simulator.user_key}"
    yield "1 channel:" if len(channels) == 1 else f"{len(channels)} channels:"
    yield from (_line(channel) for channel in channels[:_SHOWN])
    if len(channels) > _SHOWN:
        yield f"  … and {len(channels) - _SHOWN} more"
    first = channels[0]
    key = "" if first.public else f"-H 'THINGSPEAKAPIKEY: {first.read_key}' "
    yield f"Try: curl {key}'{url}/channels/{first.channel_id}/feeds.json?results=2'"
    if has_control:
        yield f"Orders: {url}/_control"


def _line(channel: SimulatedChannel) -> str:
    access = "public" if channel.public else f"read key {channel.read_key}"
    return f"  {channel.channel_id}  {channel.name}: {access}, write key {channel.write_key}"
