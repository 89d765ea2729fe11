"""The reference application under load, on PostgreSQL and on SQLite, beside the original design.

A hundred users ask for the dashboard, for nodes and for alerts, 3 : 2 : 1, each with a token of
its own. One API process; the monitor brings in 1,000 nodes a minute beside it; database and load
generator share the machine. What is told are medians of several rounds, which ours and the
original design take in turns, on the same server and the same data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.load.cycles import polling
from benchmarks.load.generator import Found, ask
from benchmarks.reference_data import Bar, Size, make
from evara_core.testing.servers import start_postgres

ROOT = Path(__file__).resolve().parents[2]
RATE = 800.0
"""Requests a second, of all users together, at which the promised times hold."""

ORIGINAL_RATE = 50.0
"""What a hundred users with pauses of 1 to 3 s ask: the original's load test."""

POSTGRES = {"shared_buffers": "512MB", "fsync": "on", "max_wal_size": "2GB"}


def run(*, quick: bool, full: bool = False) -> list[dict[str, Any]]:
    if quick:
        # The alerts are what counting them costs; on SQLite it is measured in the longer runs.
        size, seconds, rounds = Size(readings=50_000, active_alerts=20_000), 1.5, 1
    else:
        size, seconds, rounds = Size(readings=10_000_000 if full else 300_000), 4.0, 3
    server = start_postgres(settings=POSTGRES)
    try:
        found = on_database("postgresql", server.url, size, seconds, rounds)
    finally:
        server.remove()
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'load.db'}"
            found += on_database("sqlite", url, size, seconds, 3 if full else 1)
    found.append(polling(quick=quick))
    return found


# --- processes ------------------------------------------------------------------------------


@dataclass(slots=True)
class Served:
    """A process that answers."""

    port: int
    tokens: list[str]
    process: psutil.Process

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def rss_mb(self) -> float:
        return self.process.memory_info().rss / 2**20


@contextmanager
def started(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def served(module: str, *arguments: str) -> Iterator[Served]:
    with started(module, *arguments) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} did not start")
        ready = json.loads(line)
        yield Served(ready["port"], ready["tokens"], psutil.Process(child.pid))


def database_cpu_s() -> float:
    """Of all that PostgreSQL runs below this process."""
    spent = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name().startswith("postgres"):
                times = child.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue
    return spent


# --- rounds ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Rounds:
    """What one server was found to do, in several rounds."""

    found: dict[str, list[Found]] = field(default_factory=dict)
    cpu_ms: list[float] = field(default_factory=list)
    database_ms: list[float] = field(default_factory=list)
    rss_mb: float = 0.0

    def take(self, name: str, server: Served, **options: Any) -> None:
        before, before_database = server.cpu_s(), database_cpu_s()
        found = ask(server.port, server.tokens, **options)
        self.found.setdefault(name, []).append(found)
        if found.requests and name == "full":
            # What the warm-up asked is in it, at the same rate.
            share = found.wall_s / (found.wall_s + options.get("warm_up_s", 1.0))
            self.cpu_ms.append((server.cpu_s() - before) * share / found.requests * 1e3)
            spent = database_cpu_s() - before_database
            self.database_ms.append(spent * share / found.requests * 1e3)
        self.rss_mb = max(self.rss_mb, server.rss_mb())

    def ms(self, name: str, task: str, percent: float) -> float:
        return median(found.percentile(task, percent) for found in self.found[name])

    def spread(self, name: str, task: str, percent: float) -> list[float]:
        values = [found.percentile(task, percent) for found in self.found[name]]
        return [min(values), max(values)]

    def per_s(self, name: str) -> float:
        return median(found.per_s for found in self.found[name])

    @property
    def errors(self) -> int:
        return sum(found.errors for each in self.found.values() for found in each)

    @property
    def requests(self) -> int:
        return sum(found.requests for each in self.found.values() for found in each)


def on_database(
    name: str, url: str, size: Size, seconds: float, rounds: int
) -> list[dict[str, Any]]:
    make(url, size, end=datetime.now(UTC).replace(microsecond=0), progress=Bar())
    ours, theirs = Rounds(), Rounds()
    with ExitStack() as stack:
        api = stack.enter_context(served("benchmarks.load.server", url))
        ours.take("cold", api, per_s=ORIGINAL_RATE, seconds=2.0, warm_up_s=0)
        original = stack.enter_context(served("benchmarks.baseline.app", url))
        ingest = stack.enter_context(started("benchmarks.load.ingest", url))
        time.sleep(1.0)
        sides: list[tuple[Rounds, Served]] = [(ours, api), (theirs, original)]
        for number in range(rounds):
            for rows, server in sides if number % 2 else sides[::-1]:
                rows.take("calm", server, per_s=ORIGINAL_RATE, seconds=seconds)
                if rows is ours:
                    rows.take("paced", server, per_s=RATE, seconds=seconds)
                rows.take("full", server, seconds=seconds)
        if ingest.poll() is not None:
            raise RuntimeError("ingest ended")
    return records(name, size, ours, theirs)


# --- records --------------------------------------------------------------------------------


def records(name: str, size: Size, ours: Rounds, theirs: Rounds) -> list[dict[str, Any]]:
    label = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[name]
    beside = (
        f"{label}, {size.nodes:,} nodes, {size.readings:,} readings,"
        f" {size.active_alerts:,} active alerts, ingest of all nodes each minute beside"
    )
    found = [
        times(name, beside, "dashboard", 20.0, ours, theirs),
        times(name, beside, "nodes", 40.0, ours, theirs),
        times(name, beside, "alerts", 40.0, ours, theirs),
    ]
    per_s = ours.per_s("full")
    found += [
        {
            "id": f"load.throughput.{name}",
            "what": f"requests a second of one API process, 100 users without pauses ({beside})",
            "value": per_s,
            "unit": "1/s",
            "floor": None,
            "ratio": None,
            **gain(f"requests a second, {label}", per_s, theirs.per_s("full"), more=True),
            "goal": "> 800",
            "met": per_s > 800,
            "spread": [min(f.per_s for f in ours.found["full"]),
                       max(f.per_s for f in ours.found["full"])],
            "peers": {
                "original design": theirs.per_s("full"),
                "CPU ms per request, API process": middle(ours.cpu_ms),
                "CPU ms per request, original design": middle(theirs.cpu_ms),
                "CPU ms per request, database": middle(ours.database_ms),
                "CPU ms per request, database under the original design":
                    middle(theirs.database_ms),
                "RSS MB": ours.rss_mb,
                "RSS MB, original design": theirs.rss_mb,
                **{f"P95 ms {task}": ours.ms("full", task, 95)
                   for task in ("dashboard", "nodes", "alerts")},
            },
        },
        {
            "id": f"load.errors.{name}",
            "what": f"errors among {ours.requests:,} requests ({label})",
            "value": ours.errors,
            "unit": "errors",
            "floor": 0,
            "ratio": None,
            "goal": "0",
            "met": ours.errors == 0,
            "peers": {"original design": theirs.errors},
        },
        *original_targets(name, label, ours, theirs),
    ]  # fmt: skip
    return found


def times(
    name: str, beside: str, task: str, limit_ms: float, ours: Rounds, theirs: Rounds
) -> dict[str, Any]:
    p95 = ours.ms("paced", task, 95)
    return {
        "id": f"load.{task}.{name}",
        "what": f"P95 of {task} at {RATE:g} requests a second of 100 users ({beside})",
        "value": p95,
        "unit": "ms",
        "floor": None,
        "ratio": None,
        # At a load that both can bear.
        **gain(
            f"P95 of {task} at 50 requests a second, ms, {name}",
            ours.ms("calm", task, 95),
            theirs.ms("calm", task, 95),
        ),
        "goal": f"< {limit_ms:g}",
        "met": p95 < limit_ms,
        "spread": ours.spread("paced", task, 95),
        "peers": {
            "P50": ours.ms("paced", task, 50),
            "P99": ours.ms("paced", task, 99),
            "P50, cold, 50 requests a second": ours.ms("cold", task, 50),
            "P95, cold, 50 requests a second": ours.ms("cold", task, 95),
            "P50, 50 requests a second": ours.ms("calm", task, 50),
            "P95, 50 requests a second": ours.ms("calm", task, 95),
            "P50, 50 requests a second, original design": theirs.ms("calm", task, 50),
            "P95, 50 requests a second, original design": theirs.ms("calm", task, 95),
        },
    }


def middle(values: list[float]) -> float:
    return median(values) if values else float("nan")


def gain(of: str, ours: float, theirs: float, *, more: bool = False) -> dict[str, Any]:
    """How many times better ours is than the original design."""
    over, under = (ours, theirs) if more else (theirs, ours)
    better = over / under if under else float("nan")
    return {"gain": better, "gain_of": of, "gain_ours": ours, "gain_theirs": theirs}


def original_targets(
    name: str, label: str, ours: Rounds, theirs: Rounds
) -> Iterator[dict[str, Any]]:
    """What the original design wanted to reach some day, at its own load."""
    wanted: tuple[tuple[str, float], ...] = (("dashboard", 200.0), ("nodes", 500.0))
    for task, limit_ms in wanted:
        p95 = ours.ms("calm", task, 95)
        yield {
            "id": f"load.original.{task}.{name}",
            "what": f"the original's target: P95 of {task}, 100 users who pause 1 to 3 s ({label})",
            "value": p95,
            "unit": "ms",
            "floor": None,
            "ratio": None,
            "goal": f"< {limit_ms:g}",
            "met": p95 < limit_ms,
            "peers": {"original design, here": theirs.ms("calm", task, 95)},
        }
