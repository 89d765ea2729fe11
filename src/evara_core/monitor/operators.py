"""Hands what people said, in whatever process, to the engine that judges the node."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import anyio

from evara_core.errors import EvaraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.actions import OperatorAction
    from evara_core.alerts.episodes import Transition
    from evara_core.clock import Clock
    from evara_core.monitor.waiting import Sleep

__all__ = ["ActionStore", "Operated", "OperatorWatch"]

INTERVAL_S = 0.5
"""Between two looks: what somebody said is in effect within a second."""

BATCH = 500
"""Actions that one look reads at a time."""

_log = logging.getLogger(__name__)


class ActionStore(Protocol):
    """Where actions wait."""

    async def pending(self, *, after: int, limit: int) -> Sequence[tuple[int, OperatorAction]]:
        """Return what waits beyond the number *after*, with its numbers, in order.

        Raises:
            StorageUnavailableError: Not now.
        """
        ...

    async def settle(self, outcomes: Mapping[int, str | None], *, at: datetime) -> None:
        """Note what became of actions: None when done, else the code of why not.

        Raises:
            StorageUnavailableError: Perhaps noted, perhaps not.
        """
        ...


class Operated(Protocol):
    """What judges: `alerts.engine.AlertEngine` and `monitor.tenants.TenantJudge` are such."""

    def knows(self, node_id: str) -> bool:
        """Whether it judges a node."""
        ...

    def operate(self, action: OperatorAction, *, now: datetime) -> Sequence[Transition]:
        """Do what somebody wants; done already, change nothing."""
        ...


class OperatorWatch:
    """Brings actions from the store to the engine.

    Args:
        store: Where they wait.
        judge: What they are done to.
        act: `Monitor.act` of the monitor that *judge* judges for: it stores what comes of it.
        clock: Our time.
    """

    def __init__(
        self,
        *,
        store: ActionStore,
        judge: Operated,
        act: Callable[[Callable[[datetime], Sequence[Transition]]], Awaitable[object]],
        clock: Clock,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self._store = store
        self._judge = judge
        self._act = act
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except EvaraError as error:
                _log.warning("what people said cannot be looked up (%s); it waits", error.code)
            await self._sleep(INTERVAL_S)

    async def look(self) -> int:
        """Take in what waits for nodes that are judged here; return how many that were.

        A crash before they are noted as done lets them be taken in again, to no effect.

        Raises:
            StorageUnavailableError: They wait still.
        """
        taken, after = 0, 0
        while True:
            found = await self._store.pending(after=after, limit=BATCH)
            mine = [(number, each) for number, each in found if self._judge.knows(each.node_id)]
            if mine:
                await self._take(mine)
                taken += len(mine)
            if len(found) < BATCH:
                return taken
            after = found[-1][0]

    async def _take(self, actions: Sequence[tuple[int, OperatorAction]]) -> None:
        outcomes: dict[int, str | None] = {}

        def act(now: datetime) -> list[Transition]:
            told: list[Transition] = []
            for number, action in actions:
                try:
                    told += self._judge.operate(action, now=now)
                except EvaraError as error:
                    outcomes[number] = error.code
                else:
                    outcomes[number] = None
            return told

        await self._act(act)
        await self._store.settle(outcomes, at=self._clock.now())
