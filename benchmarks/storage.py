"""Storing and asking, against what the databases can do at best.

Ingest is measured with all its bookkeeping: node states, positions, counters, marks for the
rollups and the outbox, in one transaction. Its floor is the same readings turned into rows by
hand and written by the fastest way that the database has, with nothing else. Both go into the
same table, by turns; what is told are medians.

A batch has 2,000 readings of 100 nodes: what a monitor stores when it catches up with devices
that report every 15 s after five minutes. Other shapes are among the peers: the fewer readings
of a node, the more of the work is bookkeeping.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import psycopg
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.reference_data import Size, add_readings, make, settle
from benchmarks.storage_data import RAW_STATS
from evara_core.access.tenancy import Tenancy
from evara_core.monitor.ports import NodeUpdate
from evara_core.query.ast import ALWAYS, Compare, Comparison, Condition
from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.engine import blocking_engine_for, engine_for
from evara_core.storage.fleet import NodeRecord, add_community, add_distributor, add_nodes
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.migrate import migrate
from evara_core.storage.partitions import make_partitions
from evara_core.storage.performing import perform
from evara_core.storage.readings import latest
from evara_core.storage.series import raw_series
from evara_core.storage.statements import Query, Statements
from evara_core.storage.tables import readings
from evara_core.storage.types import to_microseconds
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.models import Measured, Reading
from evara_core.telemetry.quality import Trace
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.samples import mapping_for, tank
from evara_core.testing.servers import start_postgres
from evara_core.thingspeak.models import Position

START = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = ("level_cm", "level_percent", "volume_l", "battery_v", "temperature_c")
COLUMNS = ("node_key", "measured_at", "entry_id", "received_at", *METRICS)
BATCH = 2_000
DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB"}
DURABLE |= {"max_wal_size": "4GB", "autovacuum": "on"}
ROOMY = {"shared_buffers": "2GB", "max_wal_size": "8GB", "work_mem": "16MB"}
ROOMY |= {"max_parallel_workers_per_gather": "0"}


NODES = 1_000


def run(*, quick: bool, full: bool = False) -> list[dict[str, Any]]:
    rounds = 8 if quick else 40
    return [
        anyio.run(ingest_on_postgresql, rounds),
        anyio.run(ingest_on_sqlite, rounds),
        *questions(rounds=30 if quick else 200, times=10 if full else 2 if quick else 4),
    ]


# --- ingest ---------------------------------------------------------------------------------


class Fleet:
    """Nodes that report, batch after batch."""

    def __init__(self, nodes: int, per_node: int) -> None:
        self.nodes, self.per_node = nodes, per_node
        self.states = [NodeState() for _ in range(nodes)]
        self.reported = 0

    @property
    def name(self) -> str:
        return f"{self.nodes}x{self.per_node}"

    def node_id(self, number: int) -> str:
        return f"n{self.name}-{number}"

    def tenancy(self, number: int) -> Tenancy:
        return Tenancy(
            distributor_id=f"d-{number % 10}", community_id=f"c-{number % 10}-{number % 5}"
        )

    def seed(self, dialect: str) -> Statements[None]:
        yield from add_nodes(
            [
                NodeRecord(
                    node=tank(self.node_id(n), tenancy=self.tenancy(n)),
                    created_at=START,
                    mapping=mapping_for(n + 1),
                )
                for n in range(self.nodes)
            ],
            dialect=dialect,
        )

    def batch(self) -> list[NodeUpdate]:
        first = self.reported + 1
        self.reported += self.per_node
        return [self._update(number, first) for number in range(self.nodes)]

    def _update(self, number: int, first: int) -> NodeUpdate:
        node = tank(self.node_id(number), tenancy=self.tenancy(number))
        found = tuple(_reading(node.node_id, n) for n in range(first, first + self.per_node))
        newest = found[-1]
        before = self.states[number]
        after = NodeState(
            status=NodeStatus.ONLINE,
            connectivity=Connectivity.ONLINE,
            last_reading_at=newest.measured_at,
            last_seen_at=newest.received_at,
            last_entry_id=newest.entry_id,
            values=newest.values,
            health_score=90 + (number + first) % 5 // 4,
            traces={
                name: Trace(
                    at=newest.measured_at,
                    value=50.25,
                    changed_at=newest.measured_at,
                    mean=50.1,
                    variance=0.2,
                )
                for name in METRICS
            },
        )
        self.states[number] = after
        body = {
            "node_id": node.node_id,
            "measured_at": newest.measured_at,
            "status": after.status,
            "values": {name: value.value for name, value in newest.values.items()},
        }
        message = Message(
            message_id=f"{self.name}-{number:06}-{first:012}",
            kind="reading",
            key=node.node_id,
            topics=node.tenancy.topics,
            body=dump_json(body),
        )
        return NodeUpdate(
            node=node,
            readings=found,
            position=Position(
                entry_id=newest.entry_id,
                created_at=newest.measured_at,
                held=((1, "50.2"), (2, "3.9")),
            ),
            before=before,
            state=after,
            messages=(message,),
        )


def _reading(node_id: str, number: int) -> Reading:
    measured_at = START + timedelta(seconds=15 * number)
    return Reading(
        node_id=node_id,
        measured_at=measured_at,
        entry_id=number,
        received_at=measured_at + timedelta(seconds=2),
        values={name: Measured(50.0 + number % 100 / 10) for name in METRICS},
    )


def tenants() -> Statements[None]:
    for d in range(10):
        yield from add_distributor(f"d-{d}", "D", created_at=START)
        for c in range(5):
            yield from add_community(f"c-{d}-{c}", "C", distributor_id=f"d-{d}", created_at=START)


async def prepared(engine: AsyncEngine, shapes: list[Fleet]) -> None:
    await migrate(engine)
    async with AsyncUnit(engine) as unit:
        await unit.run(tenants())
        for fleet in shapes:
            await unit.run(fleet.seed(engine.dialect.name))


def shapes() -> list[Fleet]:
    return [Fleet(BATCH // per_node, per_node) for per_node in (20, 1, 4, 100)]


async def timed(what: Any) -> float:
    started = time.perf_counter()
    await what
    return time.perf_counter() - started


async def ingest_on_postgresql(rounds: int) -> dict[str, Any]:
    server = start_postgres(settings=DURABLE)
    try:
        engine = engine_for(server.url)
        main, *others = fleets = shapes()
        await prepared(engine, fleets)
        async with AsyncUnit(engine) as unit:
            await unit.run(make_partitions(START))
        store = SqlIngestStore(engine)
        raw = await asyncpg.connect(server.url)
        took: dict[str, list[float]] = {"ours": [], "copy": [], "made": [], "core": []}

        async def copy_rows(rows: list[tuple[Any, ...]]) -> None:
            async with raw.transaction():
                await raw.copy_records_to_table("readings", records=rows, columns=COLUMNS)

        async def copy(batch: list[NodeUpdate]) -> None:
            await copy_rows(rows_by_hand(batch, 1_000_000))

        async def core(batch: list[NodeUpdate]) -> None:
            rows = rows_by_hand(batch, 2_000_000)
            values = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
            async with engine.begin() as connection:
                await connection.execute(insert(readings), values)

        for number in range(rounds + 2):
            batch = main.batch()
            made = rows_by_hand(batch, 3_000_000)

            async def made_before(_: list[NodeUpdate], made: Any = made) -> None:
                await copy_rows(made)

            ways = [
                ("ours", store.ingest),
                ("copy", copy),
                ("made", made_before),
                ("core", core),
            ]
            for name, way in ways if number % 2 else ways[::-1]:
                seconds = await timed(way(batch))
                if number >= 2:
                    took[name].append(seconds)
        peers = {
            "COPY, the rows made beforehand": per_s(took["made"]),
            "SQLAlchemy Core insert(), readings only": per_s(took["core"]),
        }
        for fleet in others:
            times = [await timed(store.ingest(fleet.batch())) for _ in range(max(5, rounds // 4))]
            peers[f"ours, {fleet.per_node} readings of each of {fleet.nodes} nodes"] = per_s(times)
        await raw.close()
        await engine.dispose()
    finally:
        server.remove()
    return ingest_record(
        "postgresql", "COPY of the same readings", took["ours"], took["copy"], peers
    )


async def ingest_on_sqlite(rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        engine = engine_for(f"sqlite:///{path}")
        main, *others = fleets = shapes()
        await prepared(engine, fleets)
        store = SqlIngestStore(engine)
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = NORMAL")
        took: dict[str, list[float]] = {"ours": [], "hand": [], "made": []}

        for number in range(rounds + 2):
            batch = main.batch()
            made = rows_by_hand(batch, 2_000_000, to_microseconds)

            async def by_hand(batch: list[NodeUpdate]) -> None:
                executemany(raw, rows_by_hand(batch, 1_000_000, to_microseconds))

            async def prepared_before(_: list[NodeUpdate], made: Any = made) -> None:
                executemany(raw, made)

            ways = [("ours", store.ingest), ("hand", by_hand), ("made", prepared_before)]
            for name, way in ways if number % 2 else ways[::-1]:
                seconds = await timed(way(batch))
                if number >= 2:
                    took[name].append(seconds)
        peers = {"stdlib executemany, the rows made beforehand": per_s(took["made"])}
        for fleet in others:
            times = [await timed(store.ingest(fleet.batch())) for _ in range(max(5, rounds // 4))]
            peers[f"ours, {fleet.per_node} readings of each of {fleet.nodes} nodes"] = per_s(times)
        raw.close()
        await engine.dispose()
    floor = "stdlib executemany of the same readings"
    return ingest_record("sqlite", floor, took["ours"], took["hand"], peers)


def rows_by_hand(
    batch: list[NodeUpdate], offset: int, encode: Callable[[datetime], Any] = lambda at: at
) -> list[tuple[Any, ...]]:
    """What anybody has to do who has readings and a driver. Of nodes that nobody else writes to."""
    keys = {update.node.node_id: offset + n for n, update in enumerate(batch)}
    return [
        (
            keys[reading.node_id],
            encode(reading.measured_at),
            reading.entry_id,
            encode(reading.received_at),
            *(measured.value for measured in reading.values.values()),
        )
        for update in batch
        for reading in update.readings
    ]


def executemany(raw: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    places = ", ".join("?" * len(COLUMNS))
    raw.execute("BEGIN IMMEDIATE")
    raw.executemany(f"INSERT INTO readings ({', '.join(COLUMNS)}) VALUES ({places})", rows)
    raw.execute("COMMIT")


def per_s(times: list[float]) -> float:
    return BATCH / statistics.median(times)


def ingest_record(
    database: str, floor: str, ours: list[float], best: list[float], peers: dict[str, float]
) -> dict[str, Any]:
    ratio = per_s(ours) / per_s(best)
    return {
        "id": f"storage.ingest.{database}",
        "what": f"{database}: 2,000 readings of 100 nodes with all bookkeeping, against {floor}",
        "value": per_s(ours),
        "unit": "readings/s",
        "floor": per_s(best),
        "ratio": ratio,
        "goal": ">= 0.5",
        "met": ratio >= 0.5,
        "peers": {floor: per_s(best), **peers},
    }


# --- questions ------------------------------------------------------------------------------

D_7: Condition = Compare("distributor_id", Comparison.EQ, "d-7")
END = START + timedelta(days=20)
FEW = 1_000
"""Readings of each of the 1,000 nodes at first: a day and a half, one each two minutes."""

QUESTIONS: dict[str, tuple[str, float, Callable[[], Statements[Any]]]] = {
    "stats": ("dashboard stats of the platform", 1.0, lambda: dashboard_stats(ALWAYS)),
    "stats_tenant": (
        "dashboard stats of one of 20 distributors",
        1.0,
        lambda: dashboard_stats(D_7),
    ),
    "latest": (
        "latest values of 20 nodes",
        2.0,
        lambda: latest([f"n-{n}" for n in range(1, 21)], dialect="postgresql"),
    ),
    "chart": (
        "chart of 24 h of a node",
        5.0,
        lambda: raw_series(
            "n-500", ["level_cm", "battery_v"], END - timedelta(days=1), END, limit=2_000
        ),
    ),
}


def questions(*, rounds: int, times: int) -> list[dict[str, Any]]:
    """Ask a million readings, then so many times as many: ten millions in a full run."""
    with large_database(times) as (url, more):
        few = {name: asked(url, flow, rounds) for name, (_, _, flow) in QUESTIONS.items()}
        total = more()
        many = {name: asked(url, flow, rounds) for name, (_, _, flow) in QUESTIONS.items()}
        raw = raw_times(url)
    found = []
    for name, (what, limit_ms, _) in QUESTIONS.items():
        in_database, in_all, pages = many[name]
        before, _, pages_before = few[name]
        found += [
            {
                "id": f"storage.{name}",
                "what": f"{what}, {total:,} readings, 50,000 active alerts: in the database",
                "value": in_database,
                "unit": "ms",
                "floor": None,
                "ratio": None,
                "goal": f"< {limit_ms:g}",
                "met": in_database < limit_ms,
                "peers": {"with Python and the wire": in_all, **raw.get(name, {})},
            },
            {
                "id": f"storage.{name}.flat",
                "what": f"{what}: pages touched with {total:,} readings, against a million",
                "value": pages,
                "unit": "pages",
                "floor": pages_before,
                "ratio": pages / pages_before,
                "goal": "<= 1.5, and no slower by more than half or 0.1 ms",
                "met": pages <= 1.5 * pages_before
                and (in_database <= 1.5 * before or in_database - before < 0.1),
                "peers": {
                    "ms in the database": in_database,
                    "ms in the database with a million readings": before,
                },
            },
        ]
    return found


@contextmanager
def large_database(times: int) -> Iterator[tuple[str, Callable[[], int]]]:
    server = start_postgres(settings=ROOMY)
    try:
        make(server.url, Size(nodes=NODES, readings=NODES * FEW), end=END)

        def more() -> int:
            add_readings(server.url, first=FEW, last=times * FEW, end=END)
            settle(server.url)
            return NODES * times * FEW

        yield server.url, more
    finally:
        server.remove()


def asked(url: str, flow: Callable[[], Statements[Any]], rounds: int) -> tuple[float, float, int]:
    """Milliseconds in the database (planning and execution) and in all, and pages, at the median.

    Times below a tenth of a millisecond double by chance from one run to the next: of caches
    that something else has filled, of the clock of the processor. How many pages of tables and
    indexes an answer touches is the same in every run, and it is what would grow.
    """
    engine = blocking_engine_for(url)
    in_database, in_all, pages = [], [], []
    with engine.connect() as connection:
        for _ in range(rounds):
            spent_ms, touched = 0.0, 0

            def explained(question: Query) -> Any:
                nonlocal spent_ms, touched
                compiled = question.statement.compile(
                    dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
                )
                plan = connection.exec_driver_sql(
                    f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {compiled}",
                    compiled.construct_params(),
                ).scalar_one()[0]
                spent_ms += plan["Planning Time"] + plan["Execution Time"]
                touched += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
                return perform(connection, question)

            drive(flow(), explained)
            in_database.append(spent_ms)
            pages.append(touched)
            started = time.perf_counter()
            drive(flow(), lambda question: perform(connection, question))
            in_all.append((time.perf_counter() - started) * 1e3)
    engine.dispose()
    return (*map(statistics.median, (in_database, in_all)), statistics.median_low(pages))


def drive(flow: Statements[Any], ask: Callable[[Any], Any]) -> None:
    try:
        wanted = next(flow)
        while True:
            wanted = flow.send(ask(wanted))
    except StopIteration:
        pass


def raw_times(url: str) -> dict[str, dict[str, float]]:
    """How long the usual statements take for the same answers."""
    found: dict[str, dict[str, float]] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        for name, statements in RAW_STATS.items():
            for what, sql in statements.items():
                times = []
                for _ in range(5):
                    plan = connection.execute(
                        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"
                    ).fetchone()[0][0]
                    times.append(plan["Planning Time"] + plan["Execution Time"])
                found.setdefault(name, {})[what] = statistics.median(times)
    return found
