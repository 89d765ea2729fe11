"""The reference data set: 1,000 nodes, 10 million readings, 50,000 active alerts.

`make` fills an empty database of either kind. Tenants, users and nodes go through the library;
what is large goes by COPY on PostgreSQL and by `executemany` on SQLite. The same size and end
give the same rows each time.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Self

import psycopg
from sqlalchemy import select

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import Tenancy
from evara_core.storage.counters import reconcile
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_distributor,
    add_nodes,
    add_user,
)
from evara_core.storage.migrate import migrate_connection
from evara_core.storage.partitions import make_partitions
from evara_core.storage.statements import Query, Statements
from evara_core.storage.tables import nodes as nodes_table
from evara_core.storage.types import to_microseconds
from evara_core.storage.units import Unit
from evara_core.testing.samples import mapping_for, tank

DISTRIBUTORS = 20
COMMUNITIES_EACH = 5
USERS = 100
STEP = timedelta(minutes=2)
RULES = 50
"""Each node has one open episode of each of them: 1,000 nodes, 50,000 active alerts."""

RESOLVED_PER_ACTIVE = 4
COLUMNS = (
    "node_key", "measured_at", "entry_id", "received_at",
    "level_cm", "level_percent", "volume_l", "battery_v", "temperature_c",
)  # fmt: skip
EPISODE = (
    "episode_id", "rule_id", "node_key", "distributor_id", "community_id", "severity", "fired_at",
    "fired_reason", "fired_sentence", "fired_facts", "resolved_at",
)  # fmt: skip
AT_ONCE = 5_000
"""Nodes in one statement."""

FIRST_ENTRY = 100_000_000
"""Entry ids count down from here, so that more readings can be added before the first ones."""

Progress = Callable[[str, int, int], None]
"""What is being made, how much of it is there, how much there will be."""


def silent(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    nodes: int = 1_000
    readings: int = 10_000_000
    active_alerts: int = 50_000

    @property
    def per_node(self) -> int:
        return self.readings // self.nodes

    @property
    def rules(self) -> int:
        return max(1, self.active_alerts // self.nodes)


def make(url: str, size: Size, *, end: datetime, progress: Progress | None = None) -> None:
    """Fill the empty database at *url*; the newest reading of each node is of *end*."""
    told = progress or silent
    engine = blocking_engine_for(url)
    dialect = engine.dialect.name
    with engine.begin() as connection:
        migrate_connection(connection)
    told("nodes", 0, size.nodes)
    with Unit(engine) as unit:
        if dialect == "postgresql":
            unit.run(make_partitions(end - size.per_node * STEP, ahead=3))
        unit.run(people(end))
        unit.run(fleet(size, end, dialect))
        keys = unit.run(keys_of())
    told("nodes", size.nodes, size.nodes)
    with writer(url) as write:
        write.states(keys.values())
        total = size.nodes * size.rules * (1 + RESOLVED_PER_ACTIVE)
        write.rows("alert_history", EPISODE, episodes(keys, size, end), total, told)
    add_readings(url, keys=keys, first=0, last=size.per_node, end=end, progress=told)
    told("counters", 0, 1)
    with Unit(engine) as unit:
        unit.run(reconcile(dialect=dialect))
    engine.dispose()
    settle(url)
    told("counters", 1, 1)


def add_readings(
    url: str,
    *,
    keys: dict[str, int] | None = None,
    first: int,
    last: int,
    end: datetime,
    progress: Progress | None = None,
) -> int:
    """Add the *first* to the *last* reading of each node, counted backwards from *end*.

    Backwards, so that the newest day stays the same while the past grows.
    """
    if keys is None:
        engine = blocking_engine_for(url)
        with Unit(engine) as unit:
            keys = unit.run(keys_of())
        engine.dispose()
    rows = (last - first) * len(keys)
    made = readings(sorted(keys.values()), first, last, end)
    with writer(url) as write:
        write.rows("readings", COLUMNS, made, rows, progress or silent)
    return rows


def settle(url: str) -> None:
    """Let the planner know what is there."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(path_of(url))
        connection.execute("ANALYZE")
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as postgres:
            postgres.execute("VACUUM ANALYZE")


# --- what goes through the library --------------------------------------------------------------


def node_id(number: int) -> str:
    return f"n-{number}"


def tenancy_of(number: int) -> Tenancy:
    distributor, community = number % DISTRIBUTORS, number % COMMUNITIES_EACH
    return Tenancy(distributor_id=f"d-{distributor}", community_id=f"c-{distributor}-{community}")


def principal_of(number: int) -> Principal:
    """One in ten sees all, two in ten a distributor's nodes, the others a community's."""
    user_id = f"u-{number}"
    owner = tenancy_of(number)
    if number % 10 == 0:
        return Principal(user_id=user_id, role=Role.SUPERADMIN)
    if number % 10 < 3:
        return Principal(
            user_id=user_id, role=Role.DISTRIBUTOR, distributor_id=owner.distributor_id
        )
    return Principal(
        user_id=user_id,
        role=Role.COMMUNITY_MANAGER,
        distributor_id=owner.distributor_id,
        community_id=owner.community_id,
    )


def people(at: datetime) -> Statements[None]:
    for d in range(DISTRIBUTORS):
        yield from add_distributor(f"d-{d}", f"Distributor {d}", created_at=at)
        for c in range(COMMUNITIES_EACH):
            yield from add_community(
                f"c-{d}-{c}", f"Community {d}.{c}", distributor_id=f"d-{d}", created_at=at
            )
    for number in range(USERS):
        yield from add_user(principal_of(number), name=f"User {number}", created_at=at)


def fleet(size: Size, end: datetime, dialect: str, *, first: int = 1) -> Statements[None]:
    """Put in the nodes from the *first* on, not too many at once."""
    for start in range(first, size.nodes + 1, AT_ONCE):
        numbers = range(start, min(size.nodes + 1, start + AT_ONCE))
        yield from add_nodes([node_record(n, end) for n in numbers], dialect=dialect)


def node_record(number: int, end: datetime) -> NodeRecord:
    return NodeRecord(
        node=tank(node_id(number), tenancy=tenancy_of(number)),
        created_at=end - timedelta(days=400) + timedelta(minutes=number // 2),
        mapping=mapping_for(number),
        location_name=f"Tower {number}",
        latitude=17.3 + number % 97 / 100,
        longitude=78.4 + number % 89 / 100,
        capacity_l=10_000.0,
    )


def keys_of() -> Statements[dict[str, int]]:
    columns = nodes_table.c
    answer = yield Query(select(columns.node_id, columns.node_key).order_by(columns.node_key))
    return {row.node_id: row.node_key for row in answer.rows}


# --- rows ---------------------------------------------------------------------------------------


def readings(
    keys: Sequence[int], first: int, last: int, end: datetime
) -> Iterator[tuple[Any, ...]]:
    """In the order in which they are stored fastest: time by time, all nodes of each."""
    for n in range(first, last):
        at, entry_id = end - n * STEP, FIRST_ENTRY - n
        for key in keys:
            level = float((n + key) % 200)
            yield (key, at, entry_id, at, level, level / 2, level * 50, 3.9, 25.0 + n % 7)


def episodes(keys: dict[str, int], size: Size, end: datetime) -> Iterator[tuple[Any, ...]]:
    """Of each node and rule one that is open, and before it four that are over."""
    begun = end - timedelta(days=40)
    for n in range(size.rules * (1 + RESOLVED_PER_ACTIVE)):
        rule_id, is_open = f"rule-{n % size.rules}", n >= size.rules * RESOLVED_PER_ACTIVE
        fired_at = begun + n * timedelta(minutes=10)
        severity = ("info", "warning", "critical")[n % 3]
        for name, key in keys.items():
            owner = tenancy_of(int(name.partition("-")[2]))
            yield (
                f"e-{n}-{key}", rule_id, key, owner.distributor_id, owner.community_id, severity,
                fired_at, "condition", "level is low", "{}",
                None if is_open else fired_at + timedelta(minutes=5),
            )  # fmt: skip


# --- writing ------------------------------------------------------------------------------------


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def writer(url: str) -> SqliteWriter | PostgresWriter:
    return SqliteWriter(path_of(url)) if url.startswith("sqlite") else PostgresWriter(url)


BLOCK = 20_000
"""Rows between two looks at the progress."""

STATES = """
UPDATE node_operational_state SET connectivity = 'online', health_score = 60 + node_key % 40,
    status = CASE node_key % 5 WHEN 3 THEN 'Offline' WHEN 4 THEN 'Alert' ELSE 'Online' END
"""


class PostgresWriter:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def states(self, _: object) -> None:
        self._connection.execute(STATES)

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        rows: Iterator[tuple[Any, ...]],
        total: int,
        told: Progress,
    ) -> None:
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        done = 0
        with self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            while block := list(islice(rows, BLOCK)):
                copy.write("".join(map(copy_line, block)))
                done += len(block)
                told(table, done, total)


def copy_line(row: tuple[Any, ...]) -> str:
    return "\t".join(["\\N" if value is None else str(value) for value in row]) + "\n"


class SqliteWriter:
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def states(self, _: object) -> None:
        self._connection.execute(STATES)

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        rows: Iterator[tuple[Any, ...]],
        total: int,
        told: Progress,
    ) -> None:
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
        done = 0
        while block := list(islice(rows, BLOCK)):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(sql, map(sqlite_row, block))
            self._connection.execute("COMMIT")
            done += len(block)
            told(table, done, total)


def sqlite_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([to_microseconds(v) if isinstance(v, datetime) else v for v in row])


# --- from the command line ----------------------------------------------------------------------


class Bar:
    """A progress bar on standard error; nothing where nobody looks."""

    WIDTH = 30

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last = ""

    def __call__(self, what: str, done: int, of: int) -> None:
        filled = self.WIDTH * done // max(1, of)
        bar = "#" * filled + "." * (self.WIDTH - filled)
        seconds = time.monotonic() - self._started
        line = f"{what:14} [{bar}] {done:>12,} of {of:,}  {seconds:.0f} s"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line}" + ("\n" if done == of else ""))
        elif done == of:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


def make_data(url: str, *, readings: int, alerts: int, nodes: int) -> None:
    """What `./dev bench --make-data URL` does."""
    size = Size(nodes=nodes, readings=readings, active_alerts=alerts)
    make(url, size, end=datetime.now(UTC).replace(microsecond=0), progress=Bar())
