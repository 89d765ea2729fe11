"""Everything that one look at some nodes yields, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import to_thread
from sqlalchemy import select
from typing_extensions import override

from evara_core.access.tenancy import Tenancy
from evara_core.errors import ConflictError, InvalidInputError, NotFoundError
from evara_core.monitor.ports import IngestReport
from evara_core.monitor.shards import FencedIngestStore, shard_of
from evara_core.storage.buckets import Bucket, Period, bucket_of, buckets_of
from evara_core.storage.bulk import (
    among_listed,
    insert_rows,
    listed,
    storable_json,
    storable_text,
    update_rows,
)
from evara_core.storage.configs import STANDARD_CONFIGS
from evara_core.storage.counters import STATUS, Counts, add_counts, health_name
from evara_core.storage.engine import blocking_twin, is_observed
from evara_core.storage.episodes import Told, store_alert_states, store_transitions
from evara_core.storage.outbox import put_messages
from evara_core.storage.readings import insert_readings
from evara_core.storage.rollups import Mark, mark
from evara_core.storage.shards import in_shards, refuse_lost
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    node_operational_state,
    nodes,
    set_aside,
    thingspeak_mappings,
)
from evara_core.storage.units import AsyncUnit, Unit
from evara_core.storage.watched import watched
from evara_core.telemetry.codec import dump_state, dump_values
from evara_core.telemetry.models import SetAside

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import tzinfo

    from sqlalchemy import Engine, Executable
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.monitor.leases import Lease
    from evara_core.monitor.ports import NodeUpdate, Watched
    from evara_core.storage.configs import ConfigTables
    from evara_core.storage.statements import Statements
    from evara_core.telemetry.models import Reading
    from evara_core.telemetry.state import NodeState

__all__ = ["SqlIngestStore", "ingest"]

_LARGEST_BIGINT = 2**63 - 1
_LONGEST_BODY = 10_000
"""Characters. A reading of a whole channel has some hundreds."""


class SqlIngestStore(FencedIngestStore):
    """The reference schema, as the monitor writes to it."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        shard: int = 0,
        zone: tzinfo = UTC,
        configs: ConfigTables = STANDARD_CONFIGS,
        also: Callable[[Sequence[NodeUpdate]], Statements[None]] | None = None,
    ) -> None:
        """Write counters in rows of *shard*: give each process that ingests another one.

        Days of rollups begin at midnight in *zone*, which must not change later. *also* adds
        to the transaction of each lot, such as jobs: `storage.jobs`.
        """
        self._also = also
        self._engine, self._twin = engine, blocking_twin(engine)
        self._dialect = engine.dialect.name
        self._shard = shard
        self._zone = zone
        self._configs = configs

    @override
    async def watched(self) -> Sequence[Watched]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(watched(configs=self._configs))

    @override
    async def watched_in(self, shards: Collection[int], *, of: int) -> Sequence[Watched]:
        if not shards:
            return ()
        if self._dialect == "sqlite":
            found = await self.watched()
            return [one for one in found if shard_of(one.node.node_id, shards=of) in shards]
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(watched(in_shards(shards, of=of), configs=self._configs))

    @override
    async def ingest(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        return await self.ingest_under(updates, {})

    @override
    async def ingest_under(
        self, updates: Sequence[NodeUpdate], leases: Mapping[int, Lease]
    ) -> IngestReport:
        held = tuple(leases.values())
        try:
            return await self._ingest(updates, held)
        except InvalidInputError:
            isolated = [_isolated(update) for update in updates]
            if isolated == list(updates):
                raise
            return await self._ingest(isolated, held)

    async def _ingest(self, updates: Sequence[NodeUpdate], leases: Sequence[Lease]) -> IngestReport:
        flow = _fenced(
            ingest(updates, dialect=self._dialect, shard=self._shard, zone=self._zone),
            leases,
            self._also(updates) if self._also else None,
            dialect=self._dialect,
        )
        if self._twin is not None and not is_observed(self._engine):
            return await to_thread.run_sync(_run, self._twin, flow)
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(flow)


def _fenced(
    flow: Statements[IngestReport],
    leases: Sequence[Lease],
    also: Statements[None] | None,
    *,
    dialect: str,
) -> Statements[IngestReport]:
    report = yield from flow
    if also is not None:
        yield from also
    # Last, when all rows are locked: whoever claims from now on waits for us at these rows.
    yield from refuse_lost(leases, dialect=dialect)
    return report


def _run(engine: Engine, flow: Statements[IngestReport]) -> IngestReport:
    with Unit(engine) as unit:
        return unit.run(flow)


def _isolated(update: NodeUpdate) -> NodeUpdate:
    """Return *update* with those readings set aside that no database can hold."""
    aside = [reading for reading in update.readings if abs(reading.entry_id) > _LARGEST_BIGINT]
    if not aside:
        return update
    return replace(
        update,
        readings=tuple(reading for reading in update.readings if reading not in aside),
        set_aside=update.set_aside
        + tuple(
            SetAside(
                node_id=reading.node_id,
                received_at=reading.received_at,
                source=f"entry {reading.entry_id} of {reading.measured_at.isoformat()}",
                reason="entry_id_out_of_range",
                body=repr(reading)[:_LONGEST_BODY],
            )
            for reading in aside
        ),
    )


class _Held(NamedTuple):
    """A node whose state this transaction holds locked."""

    node_key: int
    tenancy: Tenancy
    channel_id: int | None
    mapping_revision: int | None
    status: str
    health_score: int | None
    newest: tuple[Any, Any]


def ingest(
    updates: Sequence[NodeUpdate], *, dialect: str, shard: int = 0, zone: tzinfo = UTC
) -> Statements[IngestReport]:
    """Store *updates*; run again with the same ones, it changes nothing.

    Args:
        updates: At most one of each node.
        dialect: Of the database.
        shard: Of the counters that are written.
        zone: Where a day begins, for the rollups.

    Raises:
        NotFoundError: A node is not known.
        ConflictError: A node's state is neither what an update found nor what it makes of
            it: somebody else wrote meanwhile.
    """
    held = yield from _hold(updates, dialect=dialect)
    counts = Counts()
    for update in updates:
        _refuse_stale(update, held)
    keys = {node_id: node.node_key for node_id, node in held.items()}
    fresh, others = _parted(updates, held)
    stored = yield from insert_readings(others, keys, dialect=dialect, fresh=fresh)
    yield from mark(_marks(updates, held, zone), dialect=dialect)
    aside = [one for update in updates for one in update.set_aside]
    yield from _keep(aside, keys, dialect=dialect)
    yield from _store_states(updates, held, counts, dialect=dialect)
    yield from store_alert_states(
        [(keys[update.node.node_id], alert) for update in updates for alert in update.alerts],
        dialect=dialect,
    )
    told = [
        Told(node.node_key, node.tenancy, transition)
        for update in updates
        for node in (held[update.node.node_id],)
        for transition in update.transitions
    ]
    yield from store_transitions(told, counts, dialect=dialect)
    yield from add_counts(counts, dialect=dialect, shard=shard)
    messages = [message for update in updates for message in update.messages]
    yield from put_messages(messages, dialect=dialect)
    duplicates = len(fresh) + len(others) - stored
    return IngestReport(stored=stored, duplicates=duplicates, set_aside=len(aside))


def _hold(updates: Sequence[NodeUpdate], *, dialect: str) -> Statements[dict[str, _Held]]:
    """Lock the states of the nodes, in one order, and end with what they were."""
    wanted = sorted({update.node.node_id for update in updates})
    if not wanted:
        return {}
    answer = yield Query(_holding(dialect), {"node_ids": listed(wanted, dialect=dialect)})
    rows: Sequence[Any] = answer.rows
    tenancies: dict[tuple[str, str | None, str | None], Tenancy] = {}
    held: dict[str, _Held] = {}
    # Taken apart by place: a row's names cost more than all else that is done with it here.
    for node_id, node_key, *place, channel_id, revision, status, health, at, entry_id in rows:
        distributor_id, community_id, customer_id = where = tuple(place)
        tenancy = tenancies.get(where)
        if tenancy is None:
            tenancy = tenancies[where] = Tenancy(
                distributor_id=distributor_id, community_id=community_id, customer_id=customer_id
            )
        newest = at, entry_id
        held[node_id] = _Held(node_key, tenancy, channel_id, revision, status, health, newest)
    if len(held) < len(wanted):
        raise NotFoundError("node")
    return held


@cache
def _holding(dialect: str) -> Executable:
    state = node_operational_state.c
    return (
        select(
            nodes.c.node_id,
            nodes.c.node_key,
            nodes.c.distributor_id,
            nodes.c.community_id,
            nodes.c.customer_id,
            thingspeak_mappings.c.channel_id,
            thingspeak_mappings.c.revision,
            state.status,
            state.health_score,
            state.last_reading_at,
            state.last_entry_id,
        )
        .join_from(nodes, node_operational_state)
        .join_from(
            nodes,
            thingspeak_mappings,
            thingspeak_mappings.c.node_key == nodes.c.node_key,
            isouter=True,
        )
        .where(among_listed(nodes.c.node_id, "node_ids", dialect=dialect))
        .order_by(nodes.c.node_key)
        .with_for_update(of=node_operational_state)
    )


def _refuse_stale(update: NodeUpdate, held: Mapping[str, _Held]) -> None:
    """Refuse what was decided on a state that somebody else has replaced.

    An update that was stored before finds its own result: the answer to the first commit was
    lost, and it is stored again to no effect.
    """
    node = held[update.node.node_id]
    is_remapped = update.mapping_revision not in {None, node.mapping_revision}
    if is_remapped or node.newest not in (_newest(update.before), _newest(update.state)):
        problem = f"node {update.node.node_id!r} was written by somebody else meanwhile"
        raise ConflictError(problem)


def _newest(state: NodeState) -> tuple[Any, Any]:
    return state.last_reading_at, state.last_entry_id


def _parted(
    updates: Sequence[NodeUpdate], held: Mapping[str, _Held]
) -> tuple[list[Reading], list[Reading]]:
    """Return the readings that are newer than all that is known of their node, and the others."""
    fresh: list[Reading] = []
    others: list[Reading] = []
    for update in updates:
        known = held[update.node.node_id].newest[0]
        if known is None or all(reading.measured_at > known for reading in update.readings):
            fresh += update.readings
        else:
            for reading in update.readings:
                (fresh if reading.measured_at > known else others).append(reading)
    return fresh, others


def _marks(updates: Sequence[NodeUpdate], held: Mapping[str, _Held], zone: tzinfo) -> set[Mark]:
    """Return the buckets that are to be rolled up: those that were written to and left behind."""
    marks: set[Mark] = set()
    writing: dict[Period, Bucket] = {}
    for update in updates:
        if not update.readings:
            continue
        node = held[update.node.node_id]
        moments = [reading.measured_at for reading in update.readings]
        if node.newest[0] is not None:
            moments.append(node.newest[0])
        earliest, latest = min(moments), max(moments)
        now = update.state.last_reading_at or latest
        for period in Period:
            # Most nodes write to the same hour and day.
            bucket = writing.get(period)
            if bucket is None or now not in bucket:
                bucket = writing[period] = bucket_of(now, period, zone)
            if earliest not in bucket or latest not in bucket:
                left = buckets_of(moments, period, zone) - {bucket}
                marks.update((node.node_key, other) for other in left)
    return marks


def _keep(aside: Sequence[SetAside], keys: Mapping[str, int], *, dialect: str) -> Statements[None]:
    if aside:
        rows: dict[str, list[Any]] = {
            "node_key": [keys.get(one.node_id) for one in aside],
            "node_id": [one.node_id for one in aside],
            "received_at": [one.received_at for one in aside],
            "source": [storable_text(one.source) for one in aside],
            "reason": [storable_text(one.reason) for one in aside],
            "body": [storable_text(one.body) for one in aside],
        }
        yield insert_rows(set_aside, rows, dialect=dialect, conflict="ON CONFLICT DO NOTHING")


def _store_states(
    updates: Sequence[NodeUpdate], held: Mapping[str, _Held], counts: Counts, *, dialect: str
) -> Statements[None]:
    newest = {update.node.node_id: update for update in updates}
    if not newest:
        return
    for node_id, update in newest.items():
        node = held[node_id]
        state = update.state
        if state.status != node.status:
            counts.move(node.tenancy, STATUS + node.status, STATUS + state.status)
        if state.health_score != node.health_score:
            health = health_name(state.health_score)
            counts.move(node.tenancy, health_name(node.health_score), health)
    states = [update.state for update in newest.values()]
    positions = [update.position for update in newest.values()]
    channels = [held[node_id].channel_id for node_id in newest]
    rows: dict[str, list[Any]] = {
        "node_key": [held[node_id].node_key for node_id in newest],
        "status": [state.status.value for state in states],
        "connectivity": [state.connectivity.value for state in states],
        "last_reading_at": [state.last_reading_at for state in states],
        "last_seen_at": [state.last_seen_at for state in states],
        "last_entry_id": [state.last_entry_id for state in states],
        "values": [dump_values(state.values).decode() for state in states],
        "active_alerts": [state.active_alerts for state in states],
        "health_score": [state.health_score for state in states],
        "health_reasons": [storable_json(state.health_reasons) for state in states],
        # The values have a column of their own.
        "document": [dump_state(state, without_values=True).decode() for state in states],
        "position_channel_id": [
            channel if position else None
            for channel, position in zip(channels, positions, strict=True)
        ],
        "position_entry_id": [position and position.entry_id for position in positions],
        "position_at": [position and position.created_at for position in positions],
        "position_held": [position and storable_json(position.held) for position in positions],
    }
    keep = ("position_channel_id", "position_entry_id", "position_at", "position_held")
    table = node_operational_state
    yield update_rows(table, rows, key=("node_key",), dialect=dialect, keep=keep)
