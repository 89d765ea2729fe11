"""Live streams hear no more than their users may hear by now, whoever changed that, and where.

Each process looks up the rights of all who listen to it, in one question, every few seconds:
a change counts within 5 s, also when another process or a person at the database made it.
Where the rights cannot be looked up for too long, streams are let go: unknown means no access.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias

import anyio

from evara_core.errors import EvaraError
from evara_core.realtime.codes import ByeCode

if TYPE_CHECKING:
    from evara_core.clock import Clock
    from evara_core.realtime.hub import Hub

__all__ = ["LookUpTopics", "RightsWatch"]

_LOG = logging.getLogger(__name__)

LookUpTopics: TypeAlias = Callable[[Collection[str]], Awaitable[Mapping[str, Collection[str]]]]
"""Principal ids to the topics that each may hear now. Who is missing may hear nothing."""


class RightsWatch:
    """Narrows and ends the streams of a hub as rights change.

    Args:
        hub: Whose streams.
        look_up: Asks the store, in one question for all.
        clock: Only its `elapsed_s` is used.
        interval_s: Between two looks. With the look itself it must stay below 5 s.
        patience_s: For so long streams go on while the rights cannot be looked up.
        sleep: Waits, by *clock*.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        look_up: LookUpTopics,
        clock: Clock,
        interval_s: float = 3.0,
        patience_s: float = 30.0,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        self._hub = hub
        self._look_up = look_up
        self._clock = clock
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._sleep = sleep
        self._looked_at_s = clock.elapsed_s()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await self._sleep(self._interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once: at all who listen now."""
        listening = self._hub.principals
        asked_at_s = self._clock.elapsed_s()
        if not listening:
            self._looked_at_s = asked_at_s
            return
        try:
            allowed = await self._look_up(listening)
        except EvaraError as error:
            _LOG.warning("rights cannot be looked up (%s)", error.code)
            if asked_at_s - self._looked_at_s > self._patience_s:
                self._hub.let_all_go(ByeCode.UNAVAILABLE)
            return
        self._looked_at_s = asked_at_s
        for principal_id in listening:
            self._hub.revise(principal_id, allowed.get(principal_id, ()))
