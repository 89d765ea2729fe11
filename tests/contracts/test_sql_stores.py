"""The reference schema behind the ports, on SQLite and on PostgreSQL."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from evara_core.storage.counters import STATUS, reconcile
from evara_core.storage.fleet import NodeRecord, add_nodes
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.tables import (
    alert_history,
    communities,
    counters,
    customers,
    distributors,
    set_aside,
)
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.state import NodeStatus
from evara_core.testing.conformance.monitor import MonitorStoreContract
from evara_core.testing.conformance.telemetry import ReadingStoreContract
from evara_core.testing.samples import START


class SqlStore:
    def __init__(self, engine):
        self.engine = engine
        self.ingest = SqlIngestStore(engine)
        self.outbox = SqlOutboxStore(engine)
        self.readings = SqlReadingStore(engine)

    async def add_node(self, node, mapping, *, read_key=None):
        record = NodeRecord(node=node, created_at=START, mapping=mapping, read_key=read_key)
        async with AsyncUnit(self.engine) as unit:
            await unit.run(add_nodes([record], dialect=self.engine.dialect.name))

    async def status_counts(self):
        counts = {}
        async with self.engine.connect() as connection:
            for row in await connection.execute(select(counters)):
                if row.name.startswith(STATUS):
                    status = NodeStatus(row.name.removeprefix(STATUS))
                    counts[status] = counts.get(status, 0) + row.value
        return {status: count for status, count in counts.items() if count}

    async def set_aside(self):
        async with self.engine.connect() as connection:
            rows = await connection.execute(select(set_aside).order_by(set_aside.c.set_aside_id))
            return [
                SetAside(
                    node_id=row.node_id,
                    received_at=row.received_at,
                    source=row.source,
                    reason=row.reason,
                    body=row.body,
                )
                for row in rows
            ]

    async def active_episodes(self):
        wanted = select(alert_history.c.episode_id).where(alert_history.c.resolved_at.is_(None))
        async with self.engine.connect() as connection:
            return frozenset((await connection.execute(wanted)).scalars())

    @contextmanager
    def failing(self):
        def fail(connection):
            lost = ConnectionResetError("the database went away")
            raise OperationalError("COMMIT", {}, lost, connection_invalidated=True)

        event.listen(self.engine.sync_engine, "commit", fail)
        yield
        event.remove(self.engine.sync_engine, "commit", fail)


@pytest.fixture
async def store(engine):
    async with engine.begin() as connection:
        await connection.execute(
            distributors.insert(), {"distributor_id": "d-1", "name": "D", "created_at": START}
        )
        values = {"community_id": "c-1", "distributor_id": "d-1", "name": "C", "created_at": START}
        await connection.execute(communities.insert(), values)
        values = {"customer_id": "u-1", "distributor_id": "d-1", "name": "U", "created_at": START}
        await connection.execute(customers.insert(), values)
    yield SqlStore(engine)
    async with AsyncUnit(engine) as unit:
        drifts = await unit.run(reconcile(dialect=engine.dialect.name))
    assert drifts == []


class TestSqlStore(MonitorStoreContract):
    @pytest.fixture
    def store(self, store):
        return store


class TestSqlReadingStore(ReadingStoreContract):
    @pytest.fixture
    def readings(self, store):
        return store.readings

    @pytest.fixture
    def add_node(self, store):
        return store.add_node
