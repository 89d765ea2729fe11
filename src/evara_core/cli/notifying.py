"""What `evara notify` does, on a database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import anyio

from evara_core.cli.storage import opened
from evara_core.clock import SystemClock
from evara_core.errors import MissingExtraError, NotFoundError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.channel_book import ChannelBook, send_test
from evara_core.monitor.notify_setup import notify_setup
from evara_core.settings import read_settings
from evara_core.storage.deliveries import (
    dead_letters,
    enable_receiver,
    replay,
    replay_all,
)
from evara_core.storage.roster import load_roster
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from evara_core.monitor.channel_book import MakeChannel
    from evara_core.monitor.delivery import Attempt, Delivery
    from evara_core.storage.statements import Statements

__all__ = ["enable", "given_up", "replay_given_up", "try_receiver"]

T = TypeVar("T")


def given_up(database: str, *, limit: int) -> list[Delivery]:
    """Return the dead letters of all, the newest first."""
    return _run(database, dead_letters(limit=limit))


def replay_given_up(database: str, *, receiver: str | None, event_id: str | None) -> int:
    """Let dead letters be tried again; return how many.

    Raises:
        NotFoundError: The one that is named is not there.
    """
    now = SystemClock().now()
    if event_id is None or receiver is None:
        return _run(database, replay_all(now=now, receiver=receiver))
    _run(database, replay(event_id, receiver, now=now))
    return 1


def enable(database: str, receiver: str) -> bool:
    """Let a receiver be called again that asked not to be; return whether it had."""
    return _run(database, enable_receiver(receiver))


def try_receiver(database: str, receiver: str) -> Attempt:
    """Send a test notification to a receiver of the database, or of the file that is set.

    Raises:
        NotFoundError: There is none.
        ConfigurationError: There is no way to it.
    """
    setup = notify_setup(read_settings().notify, environ=os.environ, more=_apprise())
    roster = setup.roster.plus(_run(database, load_roster(setup.sealer)))
    found = [one for one in roster.receivers if one.id == receiver]
    if not found:
        raise NotFoundError("receiver")
    clock = SystemClock()
    event_id = f"test-{TimeOrderedIds(clock=clock).new()}"

    async def send() -> Attempt:
        return await send_test(
            found[0],
            ChannelBook(setup.makers),
            event_id=event_id,
            now=clock.now(),
            is_tenants=receiver in roster.owners,
        )

    return anyio.run(send)


def _apprise() -> dict[str, MakeChannel]:
    try:
        from evara_core.adapters.apprise import apprise_channel  # noqa: PLC0415 - an extra
    except MissingExtraError:
        return {}
    return {"apprise": apprise_channel}


def _run(database: str, flow: Statements[T]) -> T:
    async def run() -> T:
        async with opened(database) as engine, AsyncUnit(engine) as unit:
            return await unit.run(flow)

    return anyio.run(run)
