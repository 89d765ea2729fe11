"""Run benchmark suites: `./dev bench [SUITE ...] [--quick] [--json FILE]`.

A suite is a module of this package with `run(*, quick)`, which returns records:

    id      permanent name of the promise
    what    the promise, in words
    value   what was measured
    unit    of `value`
    floor   what cannot be beaten on this machine, in the same unit; None if there is none
    ratio   the figure that `goal` speaks of, when it is not `value` itself
    goal    such as "<= 2.5" or ">= 0.8"
    met     whether it holds
    peers   {name: value}, measured in the same run

Exit status 1 means that a promise is not met, 2 that something could not be run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

import benchmarks
import evara_core

HELPERS = {"__main__", "baseline", "reference_data", "report", "storage_data", "support"}


def suites() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in names if name not in HELPERS)


def main(arguments: list[str] | None = None) -> int:
    known = suites()
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure the promises.")
    parser.add_argument("suite", nargs="*", metavar="SUITE", help=f"of: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller data")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.suite) - set(known))
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)} (there are: {', '.join(known)})")

    promises: list[dict[str, object]] = []
    broken: list[str] = []
    for name in options.suite or known:
        started = time.perf_counter()
        print(f"{name} …", flush=True)
        try:
            found = importlib.import_module(f"benchmarks.{name}").run(quick=options.quick)
        except Exception:  # noqa: BLE001 - one broken suite must not hide the others
            traceback.print_exc()
            broken.append(name)
            continue
        for record in found:
            promises.append({"suite": name, **record})
            print(line(record), flush=True)
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)

    report = {"machine": machine(), "quick": options.quick, "promises": promises, "broken": broken}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
        print(f"written: {options.json}")
    missed = [str(record["id"]) for record in promises if not record["met"]]
    if missed:
        print(f"NOT MET: {', '.join(missed)}")
    if broken:
        print(f"could not be run: {', '.join(broken)}")
        return 2
    return 1 if missed else 0


def line(record: dict[str, object]) -> str:
    ratio = "" if record.get("ratio") is None else f", ratio {figure(record['ratio'])}"
    peers = record.get("peers") or {}
    assert isinstance(peers, dict)
    beside = "".join(f"\n      {name}: {figure(value)}" for name, value in peers.items())
    return (
        f"  {'met    ' if record['met'] else 'NOT MET'} {record['what']}: "
        f"{figure(record['value'])} {record['unit']}{ratio} (goal {record['goal']}){beside}"
    )


def figure(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "evara_core": evara_core.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
