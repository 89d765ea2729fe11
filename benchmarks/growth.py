"""How cost grows with size: rows, nodes and clients, from few to many.

Each record has a `series`: what an answer costs at each size, of ours and of the usual way. What
is promised is that ours does not grow with what the answer does not show.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from benchmarks.reference_data import (
    Size,
    add_readings,
    fleet,
    make,
    node_id,
    path_of,
    settle,
)
from evara_core.access.principal import Principal, Role
from evara_core.query.ast import ALWAYS
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.readings import latest
from evara_core.storage.reference.nodes import node_resource
from evara_core.storage.series import raw_series
from evara_core.storage.statements import Statements
from evara_core.storage.units import Unit

END = datetime(2026, 1, 21, tzinfo=UTC)
NODES = 100
ALLOWED = 2.0
"""Times as much at the largest size as at the smallest: caches of the processor have their part."""

NOISE_US = 100.0

Series = dict[str, list[tuple[int, float]]]
"""By whose way: the size, and what an answer costs."""


def run(*, quick: bool, full: bool = False) -> list[dict[str, Any]]:
    rows = [1_000, 10_000, 100_000]
    rows += [] if quick else [1_000_000]
    rows += [10_000_000] if full else []
    fleets = [10, 100, 1_000, 10_000] + ([] if quick else [100_000])
    return [*by_rows(rows), *by_nodes(fleets)]


def timed_us(call: Callable[[], object], rounds: int = 15) -> float:
    call()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e6)
    return statistics.median(times)


def record(name: str, what: str, axis: str, series: Series, unit: str = "µs") -> dict[str, Any]:
    points = series["ours"]
    (least, first), (most, last) = points[0], points[-1]
    ratio = last / first
    return {
        "id": f"growth.{name}",
        "what": f"{what}: at {most:,} {axis}, against {least:,}",
        "value": last,
        "unit": unit,
        "floor": first,
        "ratio": ratio,
        "goal": f"<= {ALLOWED:g}",
        "met": ratio <= ALLOWED or (unit == "µs" and last - first < NOISE_US),
        "peers": {name: points[-1][1] for name, points in series.items() if name != "ours"},
        "axis": axis,
        "series": series,
    }


# --- rows ---------------------------------------------------------------------------------------


def asking(engine: Engine) -> Callable[[Statements[Any]], Any]:
    def asked(flow: Statements[Any]) -> Any:
        with Unit(engine, reads_only=True) as unit:
            return unit.run(flow)

    return asked


def by_rows(sizes: list[int]) -> list[dict[str, Any]]:
    charts: Series = {}
    newest: Series = {}
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'rows.db'}"
        make(url, Size(nodes=NODES, readings=sizes[0], active_alerts=NODES), end=END)
        engine, raw = blocking_engine_for(url), sqlite3.connect(path_of(url))
        there = sizes[0] // NODES
        for size in sizes:
            if size // NODES > there:
                add_readings(url, first=there, last=size // NODES, end=END)
                there = size // NODES
                settle(url)
            ask_rows(asking(engine), raw, size, charts, newest)
        raw.close()
        engine.dispose()
    return [
        record("chart", "a chart of twenty minutes of a node", "rows", charts),
        record("latest", "the newest values of twenty nodes", "rows", newest),
    ]


def ask_rows(
    asked: Callable[[Statements[Any]], Any],
    raw: sqlite3.Connection,
    size: int,
    charts: Series,
    newest: Series,
) -> None:
    few = [node_id(n) for n in range(1, 21)]
    # Ten readings, which there are at every size.
    since = END - timedelta(minutes=20)
    every = "SELECT measured_at, level_cm FROM readings WHERE node_key = 50"
    grouped = """SELECT node_key, MAX(measured_at + 0) FROM readings
        WHERE node_key <= 20 GROUP BY node_key"""
    ways: list[tuple[Series, str, Callable[[], Any]]] = [
        (charts, "ours", lambda: asked(
            raw_series(node_id(50), ["level_cm"], since, END, limit=2_000))),
        (charts, "all rows of the node, then cut", lambda: raw.execute(every).fetchall()[-10:]),
        (newest, "ours", lambda: asked(latest(few, dialect="sqlite"))),
        (newest, "MAX by GROUP BY", lambda: raw.execute(grouped).fetchall()),
    ]  # fmt: skip
    measure(ways, size)


def measure(ways: list[tuple[Series, str, Callable[[], Any]]], size: int) -> None:
    for series, name, call in ways:
        rounds = 15 if name == "ours" else 5
        series.setdefault(name, []).append((size, timed_us(call, rounds)))


# --- nodes --------------------------------------------------------------------------------------


def by_nodes(sizes: list[int]) -> list[dict[str, Any]]:
    pages: Series = {}
    stats: Series = {}
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'nodes.db'}"
        make(url, Size(nodes=sizes[0], readings=100, active_alerts=sizes[0]), end=END)
        engine, raw = blocking_engine_for(url), sqlite3.connect(path_of(url))
        there = sizes[0]
        for size in sizes:
            if size > there:
                wanted = Size(nodes=size, readings=size, active_alerts=size)
                with Unit(engine) as unit:
                    unit.run(fleet(wanted, END, "sqlite", first=there + 1))
                there = size
                settle(url)
            ask_nodes(asking(engine), raw, size, pages, stats)
        raw.close()
        engine.dispose()
    return [
        record("nodes", "a page of twenty nodes", "nodes", pages),
        record("stats", "the counts of the dashboard", "nodes", stats),
    ]


def ask_nodes(
    asked: Callable[[Statements[Any]], Any],
    raw: sqlite3.Connection,
    size: int,
    pages: Series,
    stats: Series,
) -> None:
    nodes, codec = node_resource(new_id=lambda: "n"), CursorCodec(keys=[b"k" * 32])
    everybody = Principal(user_id="u", role=Role.SUPERADMIN)
    query = parse_list_query(nodes.spec, [("limit", "20")])
    by_offset = f"""SELECT * FROM nodes JOIN node_operational_state USING (node_key)
        ORDER BY created_at DESC, node_id DESC LIMIT 20 OFFSET {max(0, size // 2 - 20)}"""
    counted = """SELECT COUNT(*), SUM(status = 'Online'), AVG(health_score)
        FROM nodes JOIN node_operational_state USING (node_key)"""
    ways: list[tuple[Series, str, Callable[[], Any]]] = [
        (pages, "ours", lambda: asked(nodes.page(query, codec, everybody))),
        (pages, "OFFSET in the middle, and COUNT", lambda: (
            raw.execute("SELECT COUNT(*) FROM nodes").fetchall(),
            raw.execute(by_offset).fetchall())),
        (stats, "ours", lambda: asked(dashboard_stats(ALWAYS))),
        (stats, "COUNT each time", lambda: raw.execute(counted).fetchall()),
    ]  # fmt: skip
    measure(ways, size)
