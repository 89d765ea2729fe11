"""The one writer: takes looks and the passing of time, and makes them true in the store.

Nothing else writes to the store while it does, so a node is never moved on by two at once.
Each lot is one transaction. When one fails, memory is brought back to what the store holds,
and the lot is taken again from there; a lot that the store keeps refusing is cut up until
the entry is found that it refuses, and that entry is set aside with the reason.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from evara_core.errors import ConflictError, EvaraError, NotFoundError, StorageUnavailableError
from evara_core.monitor.decide import put_aside, taken_by_entries, taken_by_time
from evara_core.monitor.look import Look, halves, packed, pardoned, refused
from evara_core.monitor.ports import IngestReport
from evara_core.monitor.rewritten import without_rewritten
from evara_core.monitor.waiting import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.episodes import Transition
    from evara_core.clock import Clock
    from evara_core.ids import IdSource
    from evara_core.monitor.counters import Counters
    from evara_core.monitor.fleet import Fleet, Tracked
    from evara_core.monitor.ports import IngestStore, Judge, NodeUpdate, Watched
    from evara_core.monitor.settings import MonitorSettings
    from evara_core.monitor.waiting import Sleep
    from evara_core.telemetry.detectors.ports import Detector
    from evara_core.telemetry.models import Reading
    from evara_core.telemetry.ports import ReadingStore

__all__ = ["RECENT_READINGS", "Writer"]

RECENT_READINGS = 20_000
"""Readings of one node that are given to the rules after a restart: a week of one every 30 s,
which is as much as they remember."""

_INSTANT = timedelta(microseconds=1)

_log = logging.getLogger(__name__)

_PATIENCE = 2
"""How often a lot may fail, for another reason than an absent store, before it is cut up."""


class Writer:
    """Moves nodes on, in memory and in the store, together."""

    def __init__(
        self,
        *,
        store: IngestStore,
        readings: ReadingStore | None,
        judge: Judge,
        fleet: Fleet,
        ids: IdSource,
        clock: Clock,
        sleep: Sleep,
        settings: MonitorSettings,
        counters: Counters,
        detectors: Mapping[str, Sequence[Detector]] = MappingProxyType({}),
        on_fleet: Callable[[], None],
        on_news: Callable[[], None],
    ) -> None:
        self._store = store
        self._readings = readings
        self._judge = judge
        self._fleet = fleet
        self._ids = ids
        self._clock = clock
        self._sleep = sleep
        self._settings = settings
        self._counters = counters
        self._detectors = detectors
        self._on_fleet = on_fleet
        self._on_news = on_news
        self._one_at_a_time = anyio.Lock()
        self._backoff = Backoff(settings.first_backoff_s, settings.max_backoff_s)
        self._ahead: set[str] | None = None
        self._taken: list[tuple[Tracked, Look]] = []
        """Nodes whose memory may be ahead of the store; None: nothing has been read yet."""

        self._shield: anyio.CancelScope | None = None
        self._deadline = math.inf
        self._fault: str | None = None
        """What went wrong last, in words, if it is not known to be over. Told once."""

        self._faults = 0

    async def take(self, looks: Sequence[Look]) -> IngestReport:
        """Store what *looks* brought; return when each entry is stored or set aside.

        While the store is away this waits. A look whose node has moved on or is gone is
        dropped: its entries are in its channel still, or were stored.
        """
        total = IngestReport(stored=0, duplicates=0, set_aside=0)
        lots = deque((lot, 0) for lot in packed(looks, rows=self._settings.batch_rows))
        while lots:
            lot, failures = lots.popleft()
            try:
                async with self._one_at_a_time:
                    await self._agree()
                    report = await self._commit(await self._compared(self._updates(lot)))
                    self._listened()
            except (StorageUnavailableError, ConflictError, NotFoundError) as error:
                # The nodes are read again: who is gone or has moved on is then left out.
                lots.appendleft((lot, failures))
                await self._pause(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, no entry may be lost by it
                if lot[0].refusal is not None:
                    # It does not even take the refusal: it is not the entry's fault.
                    lots.appendleft(([pardoned(lot[0])], failures))
                    await self._pause(error)
                    continue
                self._failed(error)
                if failures + 1 < _PATIENCE:
                    lots.appendleft((lot, failures + 1))
                    await self._sleep(self._backoff.failed())
                else:
                    smaller = halves(lot) or [[refused(lot[0], error)]]
                    lots.extendleft((part, _PATIENCE - 1) for part in reversed(smaller))
            else:
                total = total.plus(report)
                if not failures:
                    self._recovered()
        self._recovered()
        return total

    async def sweep(self) -> None:
        """Store what the passing of time changed. A failure is left to the next sweep."""
        try:
            async with self._one_at_a_time:
                await self._agree()
                updates = self._updates_by_time()
                if updates:
                    await self._commit(updates)
                    self._recovered()
        except (StorageUnavailableError, ConflictError, NotFoundError) as error:
            await self._pause(error)
        except Exception as error:  # noqa: BLE001 - there will be another sweep
            self._failed(error)

    async def act(self, act: Callable[[datetime], Sequence[Transition]]) -> Sequence[Transition]:
        """Let *act* change something in the judge, and store what comes of it.

        Raises:
            StorageUnavailableError: Nothing was changed.
        """
        async with self._one_at_a_time:
            await self._agree()
            self._ahead = {tracked.node.node_id for tracked in self._fleet}
            try:
                transitions = act(self._clock.now())
            except EvaraError:
                # Refused before anything changed.
                self._ahead = set()
                raise
            await self._commit(self._updates_by(transitions, self._clock.now()))
        return transitions

    async def refresh(self) -> bool:
        """Read the list of nodes again; return whether the store was there."""
        try:
            async with self._one_at_a_time:
                await self._read_fleet()
        except StorageUnavailableError as error:
            self._away(error)
            return False
        return True

    async def begin_again(self, node_id: str) -> None:
        """Forget how far a node's channel was read: it is not what it was.

        The store learns of it with the first entries that come from there.
        """
        async with self._one_at_a_time:
            tracked = self._fleet.get(node_id)
            if tracked is not None:
                tracked.position = None

    def hurry(self) -> None:
        """Let commits end within the grace of a stop, also the one that is under way."""
        self._deadline = anyio.current_time() + self._settings.stop_grace_s
        if self._shield is not None:
            self._shield.deadline = self._deadline

    def break_s(self, tracked: Tracked) -> float:
        """Return for how long a node's source may be silent before it counts as away."""
        return 3 * self.interval_s(tracked) + self._settings.look_timeout_s

    def interval_s(self, tracked: Tracked) -> float:
        """Return how often a node is looked at."""
        wanted = max(tracked.node.expected_interval_s, self._settings.min_poll_interval_s)
        return min(wanted, self._settings.poll_interval_s)

    def looked(self, tracked: Tracked, at: datetime, *, has_more: bool = False) -> None:
        """Note that a node's source, asked at *at*, has answered and all of it is taken."""
        tracked.problem = None
        tracked.is_behind = has_more
        tracked.reach = tracked.reach.looked(at, break_s=self.break_s(tracked))

    def _listened(self) -> None:
        """Count the looks of a commit: until it is made, what they brought is not heard."""
        for tracked, look in self._taken:
            if look.looked_at is not None:
                self.looked(tracked, look.looked_at, has_more=look.has_more)

    def _updates(self, lot: Sequence[Look]) -> list[NodeUpdate]:
        self._ahead = {look.node_id for look in lot}
        self._taken, updates = [], []
        for look in lot:
            tracked = self._fleet.get(look.node_id)
            if tracked is None or not tracked.has_use_for(look):
                self._counters.looks_dropped += 1
                continue
            now = self._clock.now()
            if look.refusal is not None:
                updates.append(put_aside(tracked, look, now=now))
                continue
            self._excuse(tracked, look, now)
            updates.append(
                taken_by_entries(
                    tracked,
                    look,
                    judge=self._judge,
                    ids=self._ids,
                    now=now,
                    policy=self._settings.silence,
                    detectors=self._detectors.get(tracked.node.kind, ()),
                )
            )
            self._taken.append((tracked, look))
        return updates

    def _excuse(self, tracked: Tracked, look: Look, now: datetime) -> None:
        """Hold no silence against a node that ended while nobody listened."""
        before, asked_at = tracked.reach.looked_at or tracked.reach.begun_at, look.looked_at
        longest_s = self.interval_s(tracked) + self._settings.look_timeout_s
        if before and asked_at and (asked_at - before).total_seconds() > longest_s:
            self._judge.wait(tracked.node.node_id, until=now + _INSTANT)

    async def _compared(self, updates: Sequence[NodeUpdate]) -> Sequence[NodeUpdate]:
        if self._readings is None:
            return updates
        compared = []
        for update in updates:
            tracked = self._fleet.get(update.node.node_id)
            if tracked is not None and tracked.translator is not None:
                translator, now = tracked.translator, self._clock.now()
                update = await without_rewritten(  # noqa: PLW2901 - the same one, less some
                    update, self._readings, translator=translator, now=now
                )
            compared.append(update)
        return compared

    def _updates_by_time(self) -> list[NodeUpdate]:
        now = self._clock.now()
        horizon = self._let_wait(now)
        self._ahead = {tracked.node.node_id for tracked in self._fleet}
        return self._updates_by(self._judge.tick(now=horizon), now)

    def _updates_by(self, transitions: Sequence[Transition], now: datetime) -> list[NodeUpdate]:
        by_node: defaultdict[str, list[Transition]] = defaultdict(list)
        for transition in transitions:
            by_node[transition.node_id].append(transition)
        updates = []
        for tracked in self._fleet:
            update = taken_by_time(
                tracked,
                by_node.get(tracked.node.node_id, ()),
                judge=self._judge,
                ids=self._ids,
                now=now,
                break_s=self.break_s(tracked),
                policy=self._settings.silence,
            )
            if update is not None:
                updates.append(update)
        self._ahead = {update.node.node_id for update in updates}
        return updates

    def _let_wait(self, now: datetime) -> datetime:
        """Return up to when it may be judged by what is absent; let nodes wait that it may not.

        What came in the last interval may not have been looked at yet, so judging up to now
        would take it for absent.
        """
        settings = self._settings
        longest_s = max((self.interval_s(tracked) for tracked in self._fleet), default=0.0)
        horizon = now - timedelta(seconds=longest_s)
        for tracked in self._fleet:
            node_id, reach = tracked.node.node_id, tracked.reach
            seen_at = tracked.state.last_seen_at
            if reach.looked_at is None or reach.looked_at < horizon or tracked.is_behind:
                until = horizon + timedelta(seconds=2 * settings.sweep_interval_s)
                self._judge.wait(node_id, until=until)
            elif reach.since is not None and (seen_at is None or reach.since > seen_at):
                # Nobody listened before: its silence counts from here.
                grace_s = settings.silence.stale_after * tracked.node.expected_interval_s
                self._judge.wait(node_id, until=reach.since + timedelta(seconds=grace_s))
        return horizon

    async def _commit(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        """Store *updates*; a cancellation waits until it is known what became of them."""
        if not updates:
            self._ahead = set()
            return IngestReport(stored=0, duplicates=0, set_aside=0)
        report: IngestReport | None = None
        with anyio.CancelScope(shield=True, deadline=self._deadline) as self._shield:
            report = await self._store.ingest(updates)
        if report is None:
            raise StorageUnavailableError("the commit did not end in time")
        self._ahead = set()
        self._committed(updates, report)
        return report

    async def _agree(self) -> None:
        """Bring memory to what the store holds, unless it is there.

        Raises:
            StorageUnavailableError: Not now.
        """
        if self._ahead is None or self._ahead:
            await self._read_fleet()

    async def _read_fleet(self) -> None:
        try:
            watched = await self._store.watched()
            recent = {
                found.node.node_id: await self._recent(found)
                for found in self._fleet.unknown(watched, self._ahead)
            }
        except StorageUnavailableError:
            raise
        except Exception as error:
            # Whatever it is, it is not the fault of what is to be stored.
            raise StorageUnavailableError(_words(error)) from error
        self._fleet.take_over(watched, now=self._clock.now(), anew=self._ahead, recent=recent)
        self._ahead = set()
        self._on_fleet()

    async def _recent(self, found: Watched) -> Sequence[Reading]:
        """Return the stored readings that the rules look back on."""
        newest, span_s = found.state.last_reading_at, self._judge.looks_back_s(found.node.kind)
        if self._readings is None or newest is None or span_s <= 0:
            return ()
        start = newest - timedelta(seconds=span_s)
        return await self._readings.between(
            found.node.node_id, start, newest + _INSTANT, limit=RECENT_READINGS
        )

    async def _pause(self, error: Exception) -> None:
        self._away(error)
        await self._sleep(self._backoff.failed())

    def _committed(self, updates: Sequence[NodeUpdate], report: IngestReport) -> None:
        counters = self._counters
        if counters.is_store_away:
            _log.warning("the store is back after %d failures", self._backoff.failures)
            counters.is_store_away = False
        self._backoff.succeeded()
        counters.committed(updates, report, at=self._clock.now())
        if any(update.messages for update in updates):
            self._on_news()

    def _failed(self, error: Exception) -> None:
        words = self._counters.last_error = _words(error)
        self._counters.commits_failed += 1
        self._faults += 1
        if words != self._fault:
            self._fault = words
            _log.error("a lot could not be stored", exc_info=error)

    def _recovered(self) -> None:
        if self._fault is not None:
            _log.warning("storing goes on after %d failures: %s", self._faults, self._fault)
            self._fault, self._faults = None, 0

    def _away(self, error: Exception) -> None:
        self._counters.last_error = _words(error)
        self._counters.commits_failed += 1
        if not self._counters.is_store_away:
            _log.warning("cannot store (%s); what is new stays in the channels", _words(error))
            self._counters.is_store_away = True


def _words(error: Exception) -> str:
    code = error.code if isinstance(error, EvaraError) else type(error).__name__
    return f"{code}: {error}"
