"""Run suites, each in a process of its own: one that fails or hangs takes no other along."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import evara_core
from benchmarks.report.figures import combined

ROOT = Path(__file__).resolve().parents[1]
QUICK, USUAL, FULL = "quick", "usual", "full"
BUDGET_S = {QUICK: 175.0, USUAL: 690.0, FULL: 7_200.0}
"""For all suites together. Once two thirds are gone, those that are left are run quickly."""

LIMIT_S = {QUICK: 120.0, USUAL: 300.0, FULL: 1_800.0}
"""For one suite. Beyond it, it is ended, and the report says so."""

HURRY_AT = 0.67
VERSIONS = (
    "aiohttp", "asyncpg", "cryptography", "fastapi", "httpx", "orjson", "psycopg", "pydantic",
    "redis", "sqlalchemy", "starlette", "uvicorn", "uvloop", "websockets",
)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What came of all suites."""

    promises: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    quick_suites: list[str] = field(default_factory=list)

    def report(self, level: str) -> dict[str, Any]:
        return {
            "machine": machine(),
            "level": level,
            "quick": level == QUICK,
            "quick_suites": self.quick_suites,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "promises": self.promises,
            "broken": self.broken,
        }


def run_all(names: list[str], level: str, rounds: int, tell: Any) -> Outcome:
    """Run suites by turns: each of them once in each of the *rounds*."""
    outcome, began = Outcome(), time.monotonic()
    found: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in names}
    for number in range(rounds):
        for place, name in enumerate(names, start=1):
            used = time.monotonic() - began
            left = BUDGET_S[level] * rounds - used
            if left <= 0:
                outcome.broken.setdefault(name, "not run: the time for all suites was up")
                continue
            is_late = level == USUAL and used > HURRY_AT * BUDGET_S[level] * rounds
            how = QUICK if is_late else level
            tell(f"[{used:4.0f} s] {place}/{len(names)} {name}" + (" (quickly)" * is_late))
            started = time.monotonic()
            records, error = run_one(name, how, min(LIMIT_S[level], max(left, 10.0)))
            spent = time.monotonic() - started
            outcome.seconds[name] = outcome.seconds.get(name, 0.0) + spent
            if how == QUICK and name not in outcome.quick_suites:
                outcome.quick_suites.append(name)
            if error:
                outcome.broken[name] = error
                tell(f"  {name} could not be run: {error.strip().splitlines()[-1]}")
            for record in records:
                tell(line(record))
            tell(f"  {spent:.0f} s" + (f", round {number + 1}" if rounds > 1 else ""))
            found[name].append([{"suite": name, **record} for record in records])
    for name in names:
        outcome.promises += combined(found[name])
    return outcome


def run_one(name: str, level: str, limit_s: float) -> tuple[list[dict[str, Any]], str]:
    """Return what a suite found, and why it could not be run, if so."""
    with tempfile.TemporaryDirectory() as folder:
        told, said = Path(folder) / "records.json", Path(folder) / "said"
        with said.open("w") as sink:
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks", "--child", str(told), "--level", level, name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=sink,
                stdout=sink,
                start_new_session=True,
            )
            try:
                child.wait(limit_s)
                late = ""
            except subprocess.TimeoutExpired:
                late = f"ended after {limit_s:.0f} s"
            except BaseException:
                end(child)
                raise
            finally:
                end(child)
        if late:
            return [], late
        if not told.exists():
            return [], said.read_text()[-2_000:] or f"exit status {child.returncode}"
        answer = json.loads(told.read_text())
        return answer["records"], answer["error"]


def end(child: subprocess.Popen[bytes]) -> None:
    """End a suite and what it started: they are a process group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, how)
        except ProcessLookupError:
            break
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.1)
    child.wait()


def run_here(name: str, level: str, told: Path) -> None:
    """Run a suite in this process and write down what it found."""
    answer: dict[str, Any] = {"records": [], "error": ""}
    try:
        run = importlib.import_module(f"benchmarks.{name}").run
        options: dict[str, bool] = {"quick": level == QUICK}
        if "full" in inspect.signature(run).parameters:
            options["full"] = level == FULL
        answer["records"] = run(**options)
    except Exception:  # noqa: BLE001 - it stands in the report
        answer["error"] = traceback.format_exc()
    told.write_text(json.dumps(answer, default=float))


# --- telling ------------------------------------------------------------------------------------


def line(record: dict[str, Any]) -> str:
    ratio = "" if record.get("ratio") is None else f", ratio {plain(record['ratio'])}"
    peers = record.get("peers") or {}
    beside = "".join(f"\n      {name}: {plain(value)}" for name, value in peers.items())
    return (
        f"  {'met    ' if record['met'] else 'NOT MET'} {record['what']}: "
        f"{plain(record['value'])} {record['unit']}{ratio} (goal {record['goal']}){beside}"
    )


def plain(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory": memory(),
        "load average": ", ".join(f"{value:.1f}" for value in os.getloadavg()),
        "Python": platform.python_version(),
        "evara_core": evara_core.__version__,
        "SQLite": sqlite3.sqlite_version,
        "packages": versions(),
    }


def processor() -> str:
    try:
        for each in Path("/proc/cpuinfo").read_text().splitlines():
            if each.startswith("model name"):
                return each.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return ""
    return f"{size / 2**30:.0f} GB"


def versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
