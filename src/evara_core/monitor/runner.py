"""The whole monitor in one task: poll, ingest, sweep, relay."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

import anyio
from anyio import TASK_STATUS_IGNORED

from evara_core.errors import InvalidMappingError, NotFoundError, StorageUnavailableError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.counters import MAX_LAGS, Counters, MonitorStatus
from evara_core.monitor.fleet import Fleet
from evara_core.monitor.imports import ImportReport, lots_of
from evara_core.monitor.ingest import Writer
from evara_core.monitor.poll import Poller
from evara_core.monitor.relay import Relay
from evara_core.monitor.schedule import Schedule
from evara_core.monitor.settings import MonitorSettings
from evara_core.monitor.shard_keeper import ShardedStore
from evara_core.monitor.waiting import Backoff, Signal
from evara_core.telemetry.detectors.standard import standard_detectors
from evara_core.telemetry.kinds import STANDARD_KINDS, KindRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from anyio.abc import TaskStatus

    from evara_core.alerts.episodes import Transition
    from evara_core.clock import Clock
    from evara_core.ids import IdSource
    from evara_core.monitor.leases import LeaseHolder
    from evara_core.monitor.ports import IngestStore, Judge, OutboxStore, Source
    from evara_core.monitor.waiting import Sleep
    from evara_core.realtime.ports import Bus
    from evara_core.telemetry.detectors.ports import Detector
    from evara_core.telemetry.models import SetAside
    from evara_core.telemetry.ports import ReadingStore
    from evara_core.thingspeak.models import Entry

__all__ = ["Monitor"]


class Monitor:
    """Looks after all nodes of a store.

    Only one monitor may look after a node at a time: several share a fleet by a `ShardedStore`
    each (docs/how-to/run-many-workers). Whatever it is killed in, nothing is
    lost and no alert is told twice: all that it knows is in the store with the readings.
    """

    def __init__(
        self,
        *,
        store: IngestStore,
        outbox: OutboxStore,
        source: Source,
        bus: Bus,
        judge: Judge,
        clock: Clock,
        readings: ReadingStore | None = None,
        ids: IdSource | None = None,
        kinds: KindRegistry = STANDARD_KINDS,
        detectors: Mapping[str, Sequence[Detector]] | None = None,
        zone: tzinfo = UTC,
        settings: MonitorSettings = MonitorSettings(),
        sleep: Sleep = anyio.sleep,
        relay_lease: LeaseHolder | None = None,
    ) -> None:
        """Put a monitor together; it does nothing before `run`.

        Args:
            store: Where everything goes, in one transaction per lot. A `ShardedStore`: this
                monitor looks after the nodes of the shards that it holds, which change as
                others come and go.
            outbox: The same store, as the relay reads it.
            source: Where entries come from.
            bus: Where messages go after the commit.
            judge: What decides alerts.
            clock: Our time.
            readings: The same store as its readers see it: rules that look back are given
                what is stored after a restart. None: they begin anew.
            ids: Of messages; None: ordered by time.
            kinds: What nodes can be.
            detectors: By kind of node: what they find is `evidence.<name>` in the conditions
                of rules. None: `standard_detectors(zone)`; an empty mapping: none.
            zone: Where the nodes are: when it is night there.
            settings: The limits.
            sleep: Waits, by *clock*.
            relay_lease: Where several processes share the outbox: who publishes.
        """
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._counters = Counters()
        self._fleet = Fleet(judge, kinds)
        self._schedule = Schedule(max_backoff_intervals=settings.max_backoff_intervals)
        self._stopped = anyio.Event()
        self._shards = store.keeper if isinstance(store, ShardedStore) else None
        self._relay = Relay(
            outbox=outbox,
            bus=bus,
            clock=clock,
            sleep=sleep,
            settings=settings,
            counters=self._counters,
            holder=relay_lease,
        )
        self._writer = Writer(
            store=store,
            readings=readings,
            judge=judge,
            fleet=self._fleet,
            ids=ids or TimeOrderedIds(clock=clock),
            clock=clock,
            sleep=sleep,
            settings=settings,
            counters=self._counters,
            detectors=standard_detectors(zone) if detectors is None else detectors,
            on_fleet=self._reschedule,
            on_news=self._relay.wake,
        )
        self._poller = Poller(
            source=source,
            schedule=self._schedule,
            fleet=self._fleet,
            writer=self._writer,
            clock=clock,
            sleep=sleep,
            settings=settings,
            counters=self._counters,
            is_ours=(lambda _: True) if self._shards is None else self._shards.is_ours,
        )

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Work until `stop`, or until cancelled.

        Both wait for the batch that is being stored, for at most `stop_grace_s`.
        """
        async with anyio.create_task_group() as parts:
            if self._shards is not None:
                parts.start_soon(self._shards.run)
            parts.start_soon(self._refresh)
            parts.start_soon(self._sweep)
            parts.start_soon(self._relay.run)
            parts.start_soon(self._poller.run)
            parts.start_soon(self._end, parts.cancel_scope)
            task_status.started()
            await self._poller.write()
            await self._relay.flush()
            parts.cancel_scope.cancel()

    def stop(self) -> None:
        """Begin no more looks; let `run` return when what is in hand is stored."""
        self._stopped.set()

    def wake_relay(self) -> None:
        """Look at the outbox at once: somebody else put something in."""
        self._relay.wake()

    async def backfill(self, node_id: str, items: Iterable[Entry | SetAside]) -> ImportReport:
        """Take history of a node from elsewhere, such as an export: the way of all readings.

        In lots of a bounded size, oldest first as *items* has them. Rows older than what is
        known are stored and decide nothing. Nobody is told of it; alerts that began and
        ended in it are in the store. It moves no position: the channel is read as before.

        Raises:
            NotFoundError: The node is not watched.
            InvalidMappingError: Its mapping makes no sense.
            StorageUnavailableError: The store cannot say which nodes there are. Once begun,
                an import waits for the store instead.
        """
        tracked = self._fleet.get(node_id)
        if tracked is None:
            if not await self._writer.refresh():
                raise StorageUnavailableError("the list of nodes cannot be read")
            tracked = self._fleet.get(node_id)
        if tracked is None:
            raise NotFoundError("node")
        if tracked.translator is None:
            raise InvalidMappingError(tracked.problem)
        total = ImportReport()
        for look in lots_of(node_id, items, rows=self._settings.batch_rows):
            report = await self._writer.take([look])
            total = total.plus(look, report)
        return total

    async def act(self, act: Callable[[datetime], Sequence[Transition]]) -> Sequence[Transition]:
        """Let *act* change something in the judge, and store and tell what comes of it.

        Such as ``lambda now: engine.acknowledge("tank-1", "low", by="ann", now=now)``, or
        `replace_rules`. What *act* raises comes through; nothing has changed then.

        Raises:
            StorageUnavailableError: Nothing was changed.
        """
        return await self._writer.act(act)

    def status(self) -> MonitorStatus:
        """Return how it stands."""
        now_s = self._clock.elapsed_s()
        overdue, longest_wait_s = self._schedule.waiting(now_s)
        return MonitorStatus(
            nodes=len(self._fleet),
            unreadable={t.node.node_id: t.problem for t in self._fleet if t.problem is not None},
            under_way=self._poller.under_way,
            concurrency=self._poller.concurrency,
            queued_rows=self._poller.queued_rows,
            overdue=overdue,
            longest_wait_s=longest_wait_s,
            lags_s=self._schedule.lags(now_s, limit=MAX_LAGS),
            **asdict(self._counters),
        )

    async def _refresh(self) -> None:
        backoff = Backoff(self._settings.first_backoff_s, self._settings.max_backoff_s)
        changed = Signal() if self._shards is None else self._shards.changed
        while True:
            if await self._writer.refresh():
                backoff.succeeded()
                await changed.wait(self._settings.refresh_interval_s, self._sleep)
            else:
                await self._sleep(backoff.failed())

    async def _sweep(self) -> None:
        while True:
            await self._sleep(self._settings.sweep_interval_s)
            await self._writer.sweep()

    async def _end(self, everything: anyio.CancelScope) -> None:
        try:
            await self._stopped.wait()
        finally:
            # Also when we are cancelled: a commit must not hold that up for long.
            self._writer.hurry()
        self._poller.stop()
        await anyio.sleep(self._settings.stop_grace_s)
        everything.cancel()

    def _reschedule(self) -> None:
        now_s = self._clock.elapsed_s()
        readable = {t.node.node_id: t for t in self._fleet if t.translator is not None}
        for node_id in self._schedule.node_ids - readable.keys():
            self._schedule.remove(node_id)
        for node_id, tracked in readable.items():
            self._schedule.add(
                node_id,
                interval_s=self._writer.interval_s(tracked),
                now_s=now_s,
                is_urgent=tracked.is_urgent,
            )
        self._poller.wake()
