"""Looks at channels when they are due, a bounded number at once."""

from __future__ import annotations

import logging
import math
from enum import Enum, auto
from typing import TYPE_CHECKING

import anyio

from evara_core.errors import ChannelReset, EvaraError, UpstreamError, UpstreamTimeoutError
from evara_core.monitor.look import Look
from evara_core.monitor.pace import Pace
from evara_core.monitor.schedule import Lane
from evara_core.monitor.waiting import Signal, within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from evara_core.clock import Clock
    from evara_core.monitor.counters import Counters
    from evara_core.monitor.fleet import Fleet, Tracked
    from evara_core.monitor.ingest import Writer
    from evara_core.monitor.ports import Source
    from evara_core.monitor.schedule import Due, Schedule
    from evara_core.monitor.settings import MonitorSettings
    from evara_core.monitor.waiting import Sleep

__all__ = ["Poller"]

_log = logging.getLogger(__name__)

_LAG_WEIGHT = 0.05
"""Of the newest look in the running mean of lags."""


class _Outcome(Enum):
    NEWS = auto()
    NOTHING = auto()
    RESET = auto()
    FAILED = auto()


class Poller:
    """Takes looks at due nodes, and collects what they bring for the writer."""

    def __init__(
        self,
        *,
        source: Source,
        schedule: Schedule,
        fleet: Fleet,
        writer: Writer,
        clock: Clock,
        sleep: Sleep,
        settings: MonitorSettings,
        counters: Counters,
        is_ours: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._is_ours = is_ours
        self._source = source
        self._schedule = schedule
        self._fleet = fleet
        self._writer = writer
        self._clock = clock
        self._sleep = sleep
        self._settings = settings
        self._counters = counters
        self._woken = Signal()
        self._has_looks = Signal()
        self._is_enough = Signal()
        self._looks: list[Look] = []
        self._is_stopping = False
        self._pace = Pace(settings.concurrency)
        self._shares = {
            Lane.FAILING: settings.failing_concurrency,
            Lane.BEHIND: max(1, int(settings.catch_up_share * settings.concurrency)),
        }
        self.under_way = 0
        """Looks that have begun and not ended."""

        self.queued_rows = 0
        """Rows that wait for the writer, or are with it."""

    def wake(self) -> None:
        """Look at the schedule again: it has changed."""
        self._woken.set()

    @property
    def concurrency(self) -> int:
        """How many looks may be under way now: fewer while the source fails."""
        return self._pace.allowed

    def stop(self) -> None:
        """Begin no more looks; let `run` and `write` return when what is in hand is done."""
        self._is_stopping = True
        self._woken.set()
        self._is_enough.set()
        self._has_looks.set()

    async def run(self) -> None:
        """Take looks until `stop`."""
        async with anyio.create_task_group() as looking:
            while not self._is_stopping:
                for due in self._due():
                    self._begin(looking, due)
                await self._woken.wait(self._idle_s(), self._sleep)
            # Who has not answered by now is not waited for: nothing of it was taken.
            looking.cancel_scope.cancel()
        self._has_looks.set()

    async def write(self) -> None:
        """Bring what the looks have brought to the writer, until `stop`."""
        while not (self._is_stopping and not self._looks and not self.under_way):
            await self._has_looks.wait(math.inf, self._sleep)
            if self._looks and not self._is_stopping and not self._is_full():
                # Others that are under way may share the transaction.
                await self._is_enough.wait(self._settings.batch_age_s, self._sleep)
            looks, self._looks = self._looks, []
            if looks:
                await self._write(looks)

    def _due(self) -> Sequence[Due]:
        if self.queued_rows >= self._settings.queued_rows:
            return ()
        return self._schedule.take(
            self._clock.elapsed_s(),
            free=self._pace.allowed - self.under_way,
            shares=self._shares,
        )

    def _idle_s(self) -> float:
        """Return how long nothing can become due unless somebody wakes us."""
        is_full = self.queued_rows >= self._settings.queued_rows
        if is_full or self.under_way >= self._pace.allowed:
            return math.inf
        due_s = self._schedule.next_due_s(shares=self._shares)
        return max(0.0, due_s - self._clock.elapsed_s())

    def _is_full(self) -> bool:
        return self.queued_rows >= self._settings.batch_rows

    def _begin(self, looking: TaskGroup, due: Due) -> None:
        self.under_way += 1
        counters = self._counters
        counters.lag_s += _LAG_WEIGHT * (due.lag_s - counters.lag_s)
        looking.start_soon(self._look, due.node_id)

    async def _look(self, node_id: str) -> None:
        outcome = _Outcome.FAILED
        try:
            tracked = self._fleet.get(node_id)
            if tracked is not None and self._is_ours(node_id):
                outcome = await self._look_at(tracked)
        finally:
            self.under_way -= 1
            if outcome is not _Outcome.NEWS:
                self._done(
                    node_id,
                    is_failed=outcome is _Outcome.FAILED,
                    at_once=outcome is _Outcome.RESET,
                )
            self._has_looks.set()
            self._woken.set()

    async def _look_at(self, tracked: Tracked) -> _Outcome:
        node_id, after = tracked.node.node_id, tracked.position
        channel_id = tracked.mapping.channel_id
        looked_at = self._clock.now()
        ask = self._source.entries_since(channel_id, after, read_key=tracked.read_key)
        try:
            entries = await within(self._settings.look_timeout_s, self._sleep, ask)
        except ChannelReset as reset:
            self._counters.resets += 1
            _log.warning("%s", reset)
            await self._writer.begin_again(node_id)
            return _Outcome.RESET
        except TimeoutError:
            return self._failed(tracked, UpstreamTimeoutError("no answer in time"))
        except Exception as error:  # noqa: BLE001 - one bad node must not stop the others
            return self._failed(tracked, error)
        self._counters.looks += 1
        self._pace.answered()
        if not entries:
            self._writer.looked(tracked, looked_at)
            return _Outcome.NOTHING
        self._looks.append(
            Look(
                node_id=node_id,
                after=after,
                entries=entries,
                channel_id=channel_id,
                looked_at=looked_at,
                has_more=len(entries) >= self._settings.catch_up_rows,
            )
        )
        self.queued_rows += len(entries)
        if self._is_full():
            self._is_enough.set()
        return _Outcome.NEWS

    async def _write(self, looks: Sequence[Look]) -> None:
        await self._writer.take(looks)
        for look in looks:
            self.queued_rows -= len(look.entries)
            self._done(look.node_id, is_failed=False, at_once=look.has_more)
        self._woken.set()

    def _done(self, node_id: str, *, is_failed: bool, at_once: bool = False) -> None:
        now_s = self._clock.elapsed_s()
        self._schedule.done(node_id, now_s, is_failed=is_failed, at_once=at_once)

    def _failed(self, tracked: Tracked, error: Exception) -> _Outcome:
        self._counters.looks_failed += 1
        if isinstance(error, UpstreamError) and error.retryable and tracked.problem is None:
            # Of who failed before nothing new is learnt about the source.
            self._pace.failed()
        code = error.code if isinstance(error, EvaraError) else type(error).__name__
        problem = f"{code}: {error}" if str(error) else code
        self._counters.last_error = f"channel {tracked.mapping.channel_id}: {problem}"
        if tracked.problem is None:
            _log.warning("channel %d: %s", tracked.mapping.channel_id, problem)
        tracked.problem = problem
        return _Outcome.FAILED
